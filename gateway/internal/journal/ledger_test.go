package journal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// ledger is what the outside world knows of a journal over several lives: what was
// appended, acknowledged, read and settled. It is compared with what recovery returns.
type ledger struct {
	mu       sync.Mutex
	appended map[LSN]string // by Append's answer
	acked    map[LSN]bool   // Wait at Disk said nil
	read     map[LSN]string // by a reader: may have been forwarded
	settled  LSN            // highest that Checkpoint was told
	broken   []string       // promises that were broken
}

func newLedger() *ledger {
	return &ledger{appended: map[LSN]string{}, acked: map[LSN]bool{}, read: map[LSN]string{}}
}

func (l *ledger) complain(format string, a ...any) {
	l.broken = append(l.broken, fmt.Sprintf(format, a...))
}

func (l *ledger) append(lsn LSN, payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.appended[lsn]; ok {
		l.complain("J15: LSN %d was given to %.20q and to %.20q", lsn, old, payload)
	}
	l.appended[lsn] = payload
}

func (l *ledger) ack(lsn LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[lsn] = true
}

func (l *ledger) saw(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.read[e.LSN]; ok && old != string(e.Payload) {
		l.complain("J15: LSN %d was read as %.20q and as %.20q", e.LSN, old, e.Payload)
	}
	l.read[e.LSN] = string(e.Payload)
}

func (l *ledger) settle(lsn LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = max(l.settled, lsn)
}

// compare reads the whole recovered journal and notes every broken promise.
func (l *ledger) compare(j *Journal) {
	settled, _ := j.Restored()
	l.mu.Lock()
	defer l.mu.Unlock()
	if settled > l.settled {
		l.complain("J10: restored %d as settled, told at most %d", settled, l.settled)
	}
	for _, c := range j.Stats().Corruptions {
		l.complain("J5: false alarm: %s", c)
	}
	r := j.Reader(settled + 1)
	defer r.Close()
	found, last := map[LSN]bool{}, LSN(0)
	for {
		e, ok, err := r.Next()
		if err != nil {
			l.complain("J3: read: %v", err)
			return
		}
		if !ok {
			break
		}
		if e.LSN <= last {
			l.complain("J2: LSN %d after %d", e.LSN, last)
		}
		last = e.LSN
		if want, ok := l.appended[e.LSN]; !ok || want != string(e.Payload) {
			l.complain("J2: LSN %d is %.20q, was appended as %.20q", e.LSN, e.Payload, want)
		}
		found[e.LSN] = true
		l.read[e.LSN] = string(e.Payload) // it may be forwarded from now on
	}
	for lsn := range l.acked {
		if lsn > settled && !found[lsn] {
			l.complain("J1, J2: LSN %d was acknowledged at disk and is gone", lsn)
		}
	}
	for lsn, payload := range l.read {
		if lsn > settled && !found[lsn] {
			l.complain("J4: LSN %d was read and is gone", lsn)
		}
		if want := l.appended[lsn]; want != payload {
			l.complain("J15: LSN %d was read as %.20q, appended as %.20q", lsn, payload, want)
		}
	}
	if n := j.Stats().Entries; n != int64(len(found)) {
		l.complain("stats say %d entries, reader found %d", n, len(found))
	}
}

// check fails the test when a promise was broken.
func (l *ledger) check(t testing.TB, what string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.broken) > 0 {
		t.Fatalf("%s: %d promises broken:\n%s", what, len(l.broken), strings.Join(l.broken[:min(8, len(l.broken))], "\n"))
	}
}

// scenario is what the crash tests put a journal through.
type scenario struct {
	lives, writers, each int
	maxPayload           int
}

var usual = scenario{lives: 3, writers: 3, each: 14, maxPayload: 2 << 10}

// tiny are options with segments of a few batches, so that a short scenario activates,
// retires and recycles many.
func tiny(fsys FS) Options {
	return Options{Dir: testDir, FS: fsys, MaxBytes: 16 * 20 << 10, MaxPayload: 2 << 10, Retain: -1, SegmentBytes: 20 << 10, BatchBytes: 8 << 10}
}

// run opens, appends from several goroutines, reads, checkpoints, closes, and again. It
// goes on where it can after an error, and reports what opened and closed cleanly.
func (s scenario) run(o Options, l *ledger, seed uint64) (clean int) {
	for life := range s.lives {
		j, err := Open(o)
		if err != nil {
			continue
		}
		s.live(j, l, life, seed)
		if j.Close() == nil {
			clean++
		}
	}
	return clean
}

func (s scenario) live(j *Journal, l *ledger, life int, seed uint64) {
	var wg sync.WaitGroup
	for w := range s.writers {
		wg.Go(func() { s.write(j, l, w, fmt.Sprintf("%d/%d", life, w), seed) })
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { forward(j, l, stop) })
	wg.Wait()
	close(stop)
	reader.Wait()
}

func (s scenario) write(j *Journal, l *ledger, w int, name string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, uint64(w)))
	for i := range s.each {
		payload := fmt.Sprintf("%s/%d/%s", name, i, strings.Repeat("x", r.IntN(s.maxPayload-32)))
		tk, err := j.Append(false, text(payload))
		if err != nil {
			continue
		}
		l.append(tk.LSN, payload)
		if r.IntN(4) == 0 {
			continue // level memory
		}
		if j.Wait(tk, Disk) == nil {
			l.ack(tk.LSN)
		}
	}
}

// forward plays the forwarder: it reads, settles most of it, and checkpoints.
func forward(j *Journal, l *ledger, stop chan struct{}) {
	synced := j.Subscribe()
	settled, _ := j.Restored()
	r := j.Reader(settled + 1)
	defer r.Close()
	for n := 0; ; n++ {
		e, ok, err := r.Next()
		switch {
		case err != nil:
			return
		case ok:
			l.saw(e)
			if n%3 == 0 {
				l.settle(e.LSN)
				j.Settle(e.LSN, true)
				j.Checkpoint(e.LSN, []Cursor{{Lane: "a/0", LSN: e.LSN}})
			}
			continue
		}
		select {
		case <-synced:
		case <-stop:
			return
		}
	}
}

// reopen recovers on a healthy file system, compares, and recovers again after a crash
// that comes before anything was written: J4 holds only if the first one synced.
func reopen(t testing.TB, mem *vfs.Mem, o Options, l *ledger, r *rand.Rand, what string) {
	t.Helper()
	o.FS = mem
	for round := range 2 {
		if rep, err := verifyFS(mem, o.Dir); err == nil && !rep.OK() {
			t.Fatalf("%s: verify of the crashed directory: %v", what, rep.Corruptions)
		}
		j, err := Open(o)
		if err != nil {
			t.Fatalf("%s: recovery %d: %v", what, round, err)
		}
		l.compare(j)
		mem.Cut()
		_ = j.Close() // the power is off: its error is wanted
		l.check(t, fmt.Sprintf("%s, recovery %d", what, round))
		mem.Restart(r)
	}
	j, err := Open(o)
	if err != nil {
		t.Fatalf("%s: last recovery: %v", what, err)
	}
	tk, err := j.Append(true, text("after all"))
	if err == nil {
		err = j.Wait(tk, Disk)
	}
	l.append(tk.LSN, "after all")
	l.ack(tk.LSN)
	l.compare(j)
	closed := j.Close()
	if err != nil || closed != nil {
		t.Fatalf("%s: after recovery: append %v, close %v", what, err, closed)
	}
	l.check(t, what+", after recovery")
}
