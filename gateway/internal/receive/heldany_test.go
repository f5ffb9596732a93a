package receive

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// fickle is a journal that confirms some entries and others not, each in its own time.
type fickle struct {
	mu       sync.Mutex
	random   *rand.Rand       // guarded by mu
	entries  []*fickleEntry   // guarded by mu: by LSN, from 1
	outcomes map[string]error // guarded by mu: by body, once it is decided
}

type fickleEntry struct {
	body    string
	decided chan struct{}
	err     error
}

func (j *fickle) Append(_ bool, fill func([]byte) []byte) (journal.Ticket, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	parsed, err := entry.Parse(fill(nil))
	if err != nil {
		return journal.Ticket{}, err
	}
	if j.random.IntN(8) == 0 {
		return journal.Ticket{}, journal.ErrBusy
	}
	e := &fickleEntry{body: string(parsed.Callback.Body), decided: make(chan struct{})}
	if j.random.IntN(6) == 0 {
		e.err = journal.ErrNotConfirmed
	}
	j.entries = append(j.entries, e)
	decide := func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.outcomes[e.body] = e.err
		close(e.decided)
	}
	time.AfterFunc(time.Duration(j.random.IntN(3_000))*time.Microsecond, decide)
	return journal.Ticket{LSN: journal.LSN(len(j.entries))}, nil
}

func (j *fickle) entry(t journal.Ticket) *fickleEntry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries[t.LSN-1]
}

func (j *fickle) TryAppend(reserve bool, fill func([]byte) []byte) (journal.Ticket, error) {
	return j.Append(reserve, fill)
}

func (j *fickle) Wait(t journal.Ticket, level journal.Level) error {
	if level == journal.Memory {
		return nil
	}
	e := j.entry(t)
	<-e.decided
	return e.err
}

func (j *fickle) Notify(t journal.Ticket, w *journal.Waiter) bool {
	e := j.entry(t)
	select {
	case <-e.decided:
		return false
	default:
	}
	go func() {
		<-e.decided
		w.Tell(e.err)
	}()
	return true
}

// outcome returns how an entry was decided, and whether it is there and was.
func (j *fickle) outcome(body string) (err error, decided bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err, decided = j.outcomes[body]
	return err, decided
}

// TestHeldAnyHow: whatever clients send in whatever pieces, each answer is of its own request and
// says what became of it, a 200 no sooner than that is known. A connection ends without all answers
// only where an answer that had become wrong was among what was written together.
func TestHeldAnyHow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	j := &fickle{random: rand.New(rand.NewPCG(seed, 0)), outcomes: map[string]error{}}
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal = j
	})
	var clients sync.WaitGroup
	for n := range 16 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n+1)))
			for turn := range 30 {
				g.anyHow(t, j, random, fmt.Sprintf("%d-%d", n, turn))
			}
		})
	}
	clients.Wait()
	g.inFlightIs(t, 0)
}

// anyHow sends requests of all kinds over one connection and holds the answers to them.
func (g *gate) anyHow(t *testing.T, j *fickle, random *rand.Rand, name string) {
	c := g.dial(t)
	defer c.conn.Close()
	commands := []string{alarm, alarm, alarm, "Memory.X", "Broker.X", "Drop.X", refusedCommand}
	var sent []string
	text := ""
	for i := range 1 + random.IntN(40) {
		command, app := commands[random.IntN(len(commands))], int64(unsignedApp)
		if command == refusedCommand {
			app = signedApp
		}
		sent = append(sent, command)
		text += post(target(app, command), bodyOf(name, i))
	}
	go c.dribble(text, rand.New(rand.NewPCG(random.Uint64(), 0)))
	for i, command := range sent {
		resp, err := http.ReadResponse(c.r, &http.Request{Method: "POST"})
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err != nil {
			if !j.mayCut(name, i, len(sent)) {
				t.Errorf("%s: the connection ended at answer %d of %d: %v", name, i, len(sent), err)
			}
			return
		}
		outcome, decided := j.outcome(bodyOf(name, i))
		want := 503 // not taken, or not confirmed
		switch {
		case command == refusedCommand:
			want = 401
		case command == "Drop.X", decided && (outcome == nil || command == "Memory.X"):
			want = 200
		case command == "Memory.X":
			want = resp.StatusCode // it may be answered before that is known
		}
		if resp.StatusCode != want {
			t.Errorf("%s: answer %d, to %s, is %s; decided: %v, %v", name, i, command, resp.Status, decided, outcome)
			return
		}
	}
}

// refusedCommand is sent without Sign by who has to send one.
const refusedCommand = "Refused.X"

func bodyOf(name string, i int) string { return fmt.Sprintf("%s-%d", name, i) }

// dribble sends text in pieces.
func (c *client) dribble(text string, random *rand.Rand) {
	for text != "" {
		n := min(len(text), 1+random.IntN(2000))
		c.send(text[:n])
		if text = text[n:]; random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond) // any pause will do
		}
	}
}

// mayCut reports whether one of the requests from i to n was not confirmed.
func (j *fickle) mayCut(name string, i, n int) bool {
	for ; i < n; i++ {
		if err, _ := j.outcome(bodyOf(name, i)); err != nil {
			return true
		}
	}
	return false
}
