package receive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/internal/reload"
)

// newHolding returns a gate whose journal tells nothing before its own gate is opened.
func newHolding(t testing.TB, change func(o *Options)) *gate {
	t.Helper()
	return newServing(t, func(o *Options) {
		j := o.Journal.(*fakeJournal)
		unlimited(t)(o)
		j.waiting, j.gate = make(chan struct{}, 16), make(chan struct{})
		o.Journal = j
		if change != nil {
			change(o)
		}
	})
}

// silent fails the test if anything comes to c within a while.
func (c *client) silent() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("something came before the journal told (%v)", err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	c.r = bufio.NewReader(c.conn) // it keeps its error
}

// outcomeOf returns how often an outcome was counted for the unsigned app.
func (g *gate) outcomeOf(t testing.TB, o outcome) int64 {
	t.Helper()
	acc, ok := g.accounts.find(unsignedApp)
	if !ok {
		t.Fatal("no such app")
	}
	return int64(acc.ledger.outcomes[o].Load())
}

// inFlightIs waits until so many callbacks are in flight.
func (g *gate) inFlightIs(t testing.TB, n int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); g.inFlight.now.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d callbacks in flight, want %d", g.inFlight.now.Load(), n)
		}
	}
}

// TestHeldAnswer: no byte leaves before the journal has told, nothing is counted before, and
// the connection goes on.
func TestHeldAnswer(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	c.silent()
	if n := g.outcomeOf(t, outcomeAccepted); n != 0 {
		t.Errorf("%d accepted before it was", n)
	}
	g.inFlightIs(t, 1)
	close(g.journal.gate)
	c.read("POST").wantOK(t)
	if n := g.outcomeOf(t, outcomeAccepted); n != 1 {
		t.Errorf("%d accepted, want 1", n)
	}
	g.inFlightIs(t, 0)
	c.send(post(target(unsignedApp, "Drop.X"), "{}"))
	c.read("POST").wantOK(t)
}

// TestHeldAnswerNotConfirmed: the 200 that fasthttp wrote never leaves; the refusal is listed
// with where it came from, and the connection goes on.
func TestHeldAnswerNotConfirmed(t *testing.T) {
	g := newHolding(t, func(o *Options) { o.Journal.(*fakeJournal).waitErr = journal.ErrNotConfirmed })
	close(g.journal.gate)
	c := g.dial(t)
	for range 2 {
		c.send(post(target(unsignedApp, alarm), "{}"))
		got := c.read("POST")
		got.wantRefusal(t, unconfirmed)
		if got.close {
			t.Error("the connection is closed")
		}
	}
	acc, _ := g.accounts.find(unsignedApp)
	list := acc.ledger.refusals()
	if len(list) != 2 || string(list[0].command[:list[0].size]) != alarm || list[0].source.String() != "127.0.0.1" || list[0].app != unsignedApp {
		t.Errorf("listed: %+v", list)
	}
	if n := g.outcomeOf(t, outcome(unconfirmed)); n != 2 || g.outcomeOf(t, outcomeAccepted) != 0 {
		t.Errorf("%d not confirmed, %d accepted", n, g.outcomeOf(t, outcomeAccepted))
	}
}

// TestHeldPipelined: answers come in the order of the requests, whether these came in one
// piece or not, and whether or not they need the journal.
func TestHeldPipelined(t *testing.T) {
	wanted, refused := post(target(unsignedApp, alarm), "{}"), post(target(signedApp, alarm), "{}")
	for _, tt := range []struct {
		name   string
		pieces []string
	}{
		{"in one piece", []string{wanted + refused + wanted}},
		{"one after the other, before an answer", []string{wanted, refused, wanted}},
		{"cut within a request", []string{wanted + refused[:20], refused[20:] + wanted}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newHolding(t, nil)
			c := g.dial(t)
			c.send(tt.pieces[0])
			<-g.journal.waiting
			for _, piece := range tt.pieces[1:] {
				c.send(piece)
			}
			c.silent()
			close(g.journal.gate)
			c.read("POST").wantOK(t)
			c.read("POST").wantRefusal(t, refusedSignMissing)
			c.read("POST").wantOK(t)
			g.inFlightIs(t, 0)
		})
	}
}

// TestHeldPipelinedNotConfirmed: a 200 that stands in one buffer with what follows it is not
// replaced, so nothing of that leaves, and nothing of it is taken.
func TestHeldPipelinedNotConfirmed(t *testing.T) {
	g := newHolding(t, func(o *Options) { o.Journal.(*fakeJournal).waitErr = journal.ErrNotConfirmed })
	close(g.journal.gate)
	c := g.dial(t)
	c.send(strings.Repeat(post(target(unsignedApp, alarm), "{}"), 3))
	if resp, err := http.ReadResponse(c.r, nil); err == nil {
		t.Errorf("an answer came: %s", resp.Status)
	}
	if n := len(g.journal.entries(t)); n != 1 {
		t.Errorf("%d callbacks were taken, want the first alone", n)
	}
	if n := g.outcomeOf(t, outcome(unconfirmed)); n != 1 {
		t.Errorf("%d not confirmed, want 1", n)
	}
	g.inFlightIs(t, 0)
}

// TestHeldBehindOthers: an answer that stands in one buffer with those of requests before it is not
// replaced, as only one answer can be: none of them may pass for another's.
func TestHeldBehindOthers(t *testing.T) {
	dropped := post(target(unsignedApp, "Drop.X"), "{}")
	g := newHolding(t, func(o *Options) {
		j := o.Journal.(*fakeJournal)
		j.waiting, j.waitErr = nil, journal.ErrNotConfirmed
	})
	close(g.journal.gate)
	for n := range 40 { // about 25 answers fill fasthttp's buffer, so that some are cut in two
		c := g.dial(t)
		c.send(strings.Repeat(dropped, n+1) + post(target(unsignedApp, alarm), "{}"))
		c.send(post(target(unsignedApp, "Drop.Y"), "{}"))
		for answers := 0; ; answers++ {
			resp, err := http.ReadResponse(c.r, &http.Request{Method: "POST"})
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%d before it: after %d answers comes what is none: %v", n+1, answers, err)
				}
				break
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				break
			}
			switch {
			case resp.StatusCode != http.StatusOK && answers <= n:
				t.Fatalf("%d before it: answer %d is %s", n+1, answers, resp.Status)
			case answers > n && resp.StatusCode == http.StatusOK:
				t.Fatalf("%d before it: answer %d is of a request that comes later", n+1, answers)
			}
		}
		g.inFlightIs(t, 0)
	}
}

// TestHeldBehindARefusal: an answer that is written anew, as the gateway is leaving, does not take
// the place of the refusal that stands before it.
func TestHeldBehindARefusal(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(signedApp, alarm), "{}") + post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	g.Leave()
	close(g.journal.gate)
	c.read("POST").wantRefusal(t, refusedSignMissing)
	c.read("POST").wantOK(t)
}

// TestHeldBefore100Continue: a client that waits for 100 Continue behind a held answer does not
// wait for nothing, whatever comes of that.
func TestHeldBefore100Continue(t *testing.T) {
	expects := strings.TrimSuffix(post(target(unsignedApp, "Drop.X"), "{}"), "{}")
	expects = strings.Replace(expects, "Host:", "Expect: 100-continue\r\nHost:", 1)
	for _, waitErr := range []error{nil, journal.ErrNotConfirmed} {
		g := newHolding(t, func(o *Options) { o.Journal.(*fakeJournal).waitErr = waitErr })
		c := g.dial(t)
		c.send(post(target(unsignedApp, alarm), "{}") + expects)
		<-g.journal.waiting
		c.silent()
		close(g.journal.gate)
		if waitErr != nil {
			c.closed()
			continue
		}
		c.read("POST").wantOK(t)
		if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if line, err := c.r.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		c.send("{}")
		c.read("POST").wantOK(t)
	}
}

// TestHeldOneAtATime: a client that does not wait for its answers has one callback in flight, and
// in the journal, at a time.
func TestHeldOneAtATime(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	c.send(post(target(unsignedApp, alarm), "{}"))
	c.silent()
	if n, inFlight := len(g.journal.entries(t)), g.inFlight.now.Load(); n != 1 || inFlight != 1 {
		t.Errorf("%d entries, %d in flight, want 1 of each", n, inFlight)
	}
	close(g.journal.gate)
	c.read("POST").wantOK(t)
	c.read("POST").wantOK(t)
}

// TestHeldBeforeHalfARequest: a callback is in flight until the journal has told, however long
// the rest of the request behind it is in coming.
func TestHeldBeforeHalfARequest(t *testing.T) {
	g := newHolding(t, func(o *Options) { o.ReadTimeout = time.Minute })
	c := g.dial(t)
	next := post(target(unsignedApp, "Drop.X"), "{}")
	c.send(post(target(unsignedApp, alarm), "{}") + next[:len(next)-1])
	select {
	case <-g.journal.waiting:
	case <-time.After(10 * time.Second):
		close(g.journal.gate)
		t.Fatal("the journal is not asked before the rest of the next request is there")
	}
	g.inFlightIs(t, 1)
	close(g.journal.gate)
	g.inFlightIs(t, 0)
	c.send(next[len(next)-1:])
	c.read("POST").wantOK(t)
	c.read("POST").wantOK(t)
}

// TestHeldBeforeMalformed: what fasthttp answers by itself goes out behind the held answer.
func TestHeldBeforeMalformed(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}") + "nonsense\r\n\r\n")
	<-g.journal.waiting
	c.silent()
	close(g.journal.gate)
	c.read("POST").wantOK(t)
	c.read("POST").wantRefusal(t, refusedHTTP)
	c.closed()
}

// TestHeldClientGone: a client that does not wait costs nothing but its answer.
func TestHeldClientGone(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	close(g.journal.gate)
	g.inFlightIs(t, 0)
	if n := g.outcomeOf(t, outcomeAccepted); n != 1 {
		t.Errorf("%d accepted, want 1: it is in the journal", n)
	}
}

// TestHeldWhileLeaving: the answer says that it is the last, although it was written before
// that was known, and Shutdown waits for it, however long after the last word it comes.
func TestHeldWhileLeaving(t *testing.T) {
	g := newHolding(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	done := g.stopping(t)
	c.silent()
	select {
	case err := <-done:
		t.Fatalf("shutdown did not wait: %v", err)
	case <-time.After(2 * lastWord):
	}
	close(g.journal.gate)
	got := c.read("POST")
	got.wantOK(t)
	if !got.close {
		t.Error("the answer does not say that the connection is closed")
	}
	c.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHeldForNobody: where an answer cannot be held the handler waits, with the same result.
func TestHeldForNobody(t *testing.T) {
	long := strings.Repeat("x", maxHeldBytes)
	for _, tt := range []struct {
		name, raw string
		change    func(o *Options)
		want      string
	}{
		{name: "HTTP/1.0", raw: strings.Replace(post(target(unsignedApp, alarm), "{}"), "HTTP/1.1", "HTTP/1.0", 1), want: okAnswer},
		{name: "last request", raw: strings.Replace(post(target(unsignedApp, alarm), "{}"), "Host:", "Connection: close\r\nHost:", 1), want: okAnswer},
		{name: "long answer", raw: post(target(unsignedApp, "Long.X"), "{}"), want: `"ErrorInfo":"` + long + `"`, change: func(o *Options) {
			o.Routes = reload.Fixed("routes", parseRoutes(t, fmt.Sprintf("routes:\n  - {command: Long.*, topic: im.callbacks.raw, answer: {ErrorCode: 0, ErrorInfo: %q}}\n", long)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newHolding(t, tt.change)
			c := g.dial(t)
			c.send(tt.raw)
			<-g.journal.waiting
			c.silent()
			close(g.journal.gate)
			if got := c.read("POST"); got.status != http.StatusOK || !strings.Contains(got.body, tt.want) {
				t.Errorf("status %d, body %.100s", got.status, got.body)
			}
		})
	}
}

// narrow is a listener whose connections take little that nobody reads.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(1)
	}
	return c, err
}

// TestHeldForADeafClient: a client that sends and never reads holds up nobody but itself, and
// not for longer than WriteTimeout.
func TestHeldForADeafClient(t *testing.T) {
	j := openJournal(t, "/journal", journal.Options{FS: vfs.NewMem(), Retain: -1}) // no disk that stalls
	defer closeJournal(t, j)
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal, o.WriteTimeout = j, 3*time.Second
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- g.Serve(narrow{ln}) }()
	defer func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := errors.Join(g.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	}()

	one := post(target(unsignedApp, alarm), "{}")
	c := g.dial(t)
	deaf := deafTo(t, g.addr)
	for sent := int64(0); ; sent++ {
		if _, err := deaf.Write([]byte(one)); err != nil {
			return // the gateway has had enough of it
		}
		began := time.Now()
		c.send(one)
		c.read("POST").wantOK(t)
		if took := time.Since(began); took > 2*time.Second { // a disk under load, too
			t.Errorf("exchange %d beside the deaf client took %v", sent, took)
		}
		if sent%100 == 99 {
			j.Checkpoint(j.Stats().Synced, nil) // delivered, so that the journal does not fill
		}
		if sent == 100_000 {
			t.Fatal("the gateway waits for a client that does not read")
		}
	}
}

// deafTo returns a connection that takes hardly a byte that nobody reads.
func deafTo(t *testing.T, addr string) net.Conn {
	t.Helper()
	deaf, err := (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1) }); e != nil {
			return e
		}
		return err
	}}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	return deaf
}
