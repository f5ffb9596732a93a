package day

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/plan"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// small and whole are the days that are played.
var (
	small = plan.Settings{Seed: 1, Apps: 20, Callbacks: 5_000, Waves: 12}
	whole = plan.Settings{Seed: 1, Apps: 300, Callbacks: 400_000, Waves: 48}
)

// settings returns the day to play: the small one, or what the environment says.
func settings(t *testing.T) plan.Settings {
	t.Helper()
	s := small
	if os.Getenv("TIDEGATE_TEST_DAY") == "whole" {
		s = whole
	}
	if text := os.Getenv("TIDEGATE_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("TIDEGATE_TEST_SEED: %v", err)
		}
		s.Seed = seed
	}
	return s
}

// Promise: after a day of callbacks that come twice, late, malformed and out of order, with
// consumers killed, stopped and added all along, the saved rows, dead letters and notices are
// those of a plain computation.
func TestDay(t *testing.T) {
	s := settings(t)
	p, err := plan.New(s)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, p)
	began := time.Now()
	m.add()
	for m.shared && m.born < 3 {
		m.add()
	}
	d := &played{machine: m}
	random := rand.New(rand.NewPCG(s.Seed, 3))
	for k := range p.Waves {
		if err := m.clock.Set(p.Waves[k].At); err != nil {
			t.Fatal(err)
		}
		d.wave(k, random)
	}
	took := time.Since(began)
	d.compare()
	d.report(s, took)
}

// played is the day as far as it was played.
type played struct {
	*machine
	sent     atomic.Int64
	standing []map[string]string // after each wave: the alerts that stood
	played   []time.Time         // when that was, by the machine's clock
	counts   counts
}

// wave plays one wave: the callbacks are sent, something happens to the consumers, and then all
// that is there to be handled and to be told is waited for.
func (d *played) wave(k int, random *rand.Rand) {
	t := d.t
	t.Helper()
	w := &d.plan.Waves[k]
	before := d.sent.Load()
	ended := make(chan error, 1)
	go func() { ended <- d.send(w, &d.sent) }()
	fault := time.Now()
	mend := d.fault(k, random, func(share float64) {
		for deadline := time.Now().Add(patience); d.sent.Load()-before < int64(share*float64(len(w.Calls))) && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond)
		}
		fault = time.Now()
	})
	if err := <-ended; err != nil {
		t.Fatalf("wave %d: %v", k, err)
	}
	mend(fault)
	d.settled(k)
	stand, err := d.relay.standing()
	if err != nil {
		t.Fatal(err)
	}
	d.standing, d.played = append(d.standing, stand), append(d.played, time.Now())
}

// fault does something to the consumers while the wave is sent. It returns what has to be done
// before the wave can end.
func (d *played) fault(k int, random *rand.Rand, after func(share float64)) (mend func(since time.Time)) {
	nothing := func(time.Time) {}
	every := 2
	if !d.shared {
		every = 4 // while its one consumer is away, a wave waits for the session's end
	}
	if k%every != 1 {
		return nothing
	}
	share := 0.1 + 0.8*random.Float64()
	victim := random.IntN(len(d.consumers))
	c := d.consumers[victim]
	leave := func() { d.consumers = slices.Delete(d.consumers, victim, victim+1) }
	after(share)
	switch k / every % 4 {
	case 0:
		d.faults["killed (-9)"]++
		d.must(c.Kill())
		leave()
		d.add()
	case 1:
		d.faults["stopped (SIGSTOP) beyond the session"]++
		d.must(c.Pause())
		return func(since time.Time) {
			time.Sleep(time.Until(since.Add(session + 2*time.Second))) // beyond the session: there is nothing to poll for
			d.must(c.Resume())
		}
	case 2:
		d.faults["stopped (SIGTERM)"]++
		d.must(c.Stop(d.t.Context()))
		leave()
		d.add()
	case 3:
		if !d.shared { // SQLite has one consumer
			d.faults["killed (-9)"]++
			d.must(c.Kill())
			leave()
			d.add()
			break
		}
		d.faults["added"]++
		d.add()
		if len(d.consumers) > 4 {
			d.faults["killed (-9)"]++
			d.must(c.Kill())
			leave()
		}
	}
	return nothing
}

func (d *played) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// leaseTTL is how long nobody sends to a channel after the consumer that did was lost. The clock
// is moved on by as much where that is what a wave waits for.
const leaseTTL = 31 * time.Second

// settled waits until everything sent so far was saved, and everybody told.
func (d *played) settled(k int) {
	t := d.t
	t.Helper()
	began, moved := time.Now(), 0
	for {
		var saved, unrouted, pending int64
		err := d.db.QueryRow(`SELECT (SELECT coalesce(sum("offset" + 1), 0) FROM progress), (SELECT count(*) FROM notice WHERE routed_at IS NULL), (SELECT count(*) FROM dispatch WHERE state = 'pending')`).
			Scan(&saved, &unrouted, &pending)
		if err == nil && saved >= d.sent.Load() && unrouted == 0 && pending == 0 {
			return
		}
		waited := time.Since(began)
		if waited > patience {
			t.Fatalf("wave %d: %d of %d records saved, %d notices given to nobody, %d not sent (%v)", k, saved, d.sent.Load(), unrouted, pending, err)
		}
		if err == nil && saved >= d.sent.Load() && waited > 3*time.Second && moved == 0 {
			moved++
			d.must(d.clock.Set(d.clock.Now().Add(leaseTTL)))
		}
		for _, c := range append([]*stack.Child{d.gateway}, d.consumers...) {
			select {
			case err := <-c.Unasked():
				t.Fatalf("wave %d: %v", k, err)
			default:
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
}

func (d *played) report(s plan.Settings, took time.Duration) {
	t := d.t
	t.Helper()
	t.Logf("%+v in %s: %+v, faults %v", s, took.Round(time.Second), d.counts, d.faults)
	path := os.Getenv("TIDEGATE_TEST_REPORT")
	if path == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(path, []byte(d.page(s, took)), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, path)
}
