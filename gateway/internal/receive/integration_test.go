package receive

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
)

var _ appender = (*journal.Journal)(nil)

// openJournal opens a journal in dir. A small one: most of the time goes into filling
// spare segments.
func openJournal(t testing.TB, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	o.Dir = dir
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func closeJournal(t testing.TB, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRealJournal sends callbacks from several connections, at every ack level that needs
// no Kafka, and finds each one that was answered 200 in the journal after it was opened
// again, once, and each connection's in the order in which it sent them.
func TestRealJournal(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, journal.Options{AckDeadline: 20 * time.Second})
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal = j
	})
	const connections, each = 8, 50
	var senders sync.WaitGroup
	for n := range connections {
		c := g.dial(t)
		senders.Go(func() {
			for i := range each {
				command := [...]string{alarm, otherCommand, "Memory.X"}[i%3]
				c.send(post(target(unsignedApp, command), fmt.Sprintf("%d %d", n, i)))
				if got := c.read("POST"); got.status != http.StatusOK || got.body != okAnswer {
					t.Errorf("connection %d, callback %d: %+v", n, i, got)
				}
			}
		})
	}
	senders.Wait()
	closeJournal(t, j)

	j = openJournal(t, dir, journal.Options{})
	defer closeJournal(t, j)
	r := j.Reader(0)
	defer r.Close()
	var next [connections]int
	deadline := time.Now().Add(20 * time.Second)
	for total := 0; total < connections*each; {
		e, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			if time.Now().After(deadline) {
				t.Fatalf("%d entries in the journal, want %d", total, connections*each)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		parsed, err := entry.Parse(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		var n, i int
		if _, err := fmt.Sscanf(string(parsed.Callback.Body), "%d %d", &n, &i); err != nil || next[n] != i {
			t.Fatalf("body %q of connection %d, want number %d (%v)", parsed.Callback.Body, n, next[n], err)
		}
		next[n]++
		total++
	}
	if e, ok, _ := r.Next(); ok {
		t.Errorf("one more entry than callbacks: %d", e.LSN)
	}
}

// TestRealJournalFull fills the budget: others are refused first and the alarm takes the
// last tenth, then it is refused too, at once and as not taken.
func TestRealJournalFull(t *testing.T) {
	const body = 128 << 10
	j := openJournal(t, t.TempDir(), journal.Options{MaxBytes: 32 << 20, MaxPayload: body + 16<<10, AckDeadline: 20 * time.Second})
	defer closeJournal(t, j)
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal = j
	})
	c := g.dial(t)
	fill := func(command string) (taken int) {
		t.Helper()
		busy := time.Now().Add(20 * time.Second)
		for time.Now().Before(busy) {
			c.send(post(target(unsignedApp, command), string(make([]byte, body))))
			got := c.read("POST")
			switch {
			case got.status == http.StatusOK:
				taken++
			case got.body == string(refusals[refusedJournalFull].envelope):
				got.wantRefusal(t, refusedJournalFull)
				return taken
			default:
				got.wantRefusal(t, refusedBusy)
			}
		}
		t.Fatal("the journal never became full")
		return 0
	}
	others := fill(otherCommand)
	alarms := fill(alarm)
	if others == 0 || alarms == 0 {
		t.Errorf("%d others and %d alarms were taken, want some of each", others, alarms)
	}
}

// TestRealJournalBroker answers at broker: nil when settled as delivered, parked when kept
// aside, not confirmed when nobody settles.
func TestRealJournalBroker(t *testing.T) {
	j := openJournal(t, t.TempDir(), journal.Options{})
	defer closeJournal(t, j)
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal = j
	})
	r := j.Reader(0)
	defer r.Close()
	for _, tt := range []struct {
		name   string
		settle func(lsn journal.LSN)
		want   refusal
	}{
		{"delivered", func(lsn journal.LSN) { j.Settle(lsn, true) }, notRefused},
		{"parked", func(lsn journal.LSN) { j.Settle(lsn, false) }, unconfirmedParked},
		{"nobody answers", func(journal.LSN) {}, unconfirmed},
	} {
		c := g.dial(t)
		c.send(post(target(unsignedApp, "Broker.X"), "{}"))
		tt.settle(nextLSN(t, r))
		got := c.read("POST")
		if tt.want == notRefused {
			got.wantOK(t)
		} else {
			got.wantRefusal(t, tt.want)
		}
	}
}

// nextLSN waits for the next synced entry.
func nextLSN(t testing.TB, r *journal.Reader) journal.LSN {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if e, ok, err := r.Next(); err != nil {
			t.Fatal(err)
		} else if ok {
			return e.LSN
		}
	}
	t.Fatal("no entry was synced")
	return 0
}

// TestRealJournalNoAllocation is TestNoAllocation with nothing faked, as far as the journal
// lets itself be measured: its committer runs beside.
func TestRealJournalNoAllocation(t *testing.T) {
	skipUnderRace(t)
	j := openJournal(t, t.TempDir(), journal.Options{MaxBytes: 512 << 20})
	defer closeJournal(t, j)
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.Journal = j
	})
	ctx := newContext(post(target(unsignedApp, "Memory.X"), alarmBody))
	n := testing.AllocsPerRun(2000, func() {
		g.Handler(ctx)
		if ctx.Response.StatusCode() != http.StatusOK {
			t.Fatalf("%s", ctx.Response.Body())
		}
		ctx.Response.Reset()
	})
	if n != 0 {
		t.Errorf("%v allocations per callback", n)
	}
}

// BenchmarkRealJournal is the whole of a callback but the socket.
func BenchmarkRealJournal(b *testing.B) {
	for _, bb := range []struct{ name, command string }{{"memory", "Memory.X"}, {"disk", alarm}} {
		b.Run(bb.name, func(b *testing.B) {
			j := openJournal(b, b.TempDir(), journal.Options{MaxBytes: 4 << 30})
			defer closeJournal(b, j)
			g := newGate(b, func(o *Options) {
				unlimited(b)(o)
				o.Journal = j
			})
			var busy atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(128)
			b.RunParallel(func(pb *testing.PB) {
				ctx := newContext(post(target(unsignedApp, bb.command), alarmBody))
				for pb.Next() {
					g.Handler(ctx)
					switch {
					case ctx.Response.StatusCode() == http.StatusOK:
					case string(ctx.Response.Body()) == string(refusals[refusedBusy].envelope):
						busy.Add(1) // at memory nothing else slows the senders down
					default:
						b.Errorf("%s", ctx.Response.Body())
						return
					}
					ctx.Response.Reset()
				}
			})
			b.ReportMetric(float64(busy.Load())/float64(b.N), "busy/op")
		})
	}
}
