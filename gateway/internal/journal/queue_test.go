package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// pass lets the syncs go that wait, not those that come later.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.closed)
	g.closed = make(chan struct{})
}

// outcome is what became of an append.
type outcome struct {
	name string
	tk   Ticket
	err  error
	took time.Duration
}

// stall is a journal on a device that stalls, with one batch being written and one that
// takes nothing but reserve.
type stall struct {
	*gate
	j     *Journal
	taken int

	wg   sync.WaitGroup
	mu   sync.Mutex
	done []outcome // guarded by mu
}

// newStall writes so many blocks before the stall. With alarms, the second batch takes not
// even reserve.
func newStall(t testing.TB, fsys FS, blocks int, alarms bool) *stall {
	t.Helper()
	s := &stall{gate: newGate(fsys)}
	s.j = mustOpen(t, small(s.gate))
	for range blocks {
		mustSync(t, s.j, "before")
	}
	s.shut()
	mustStart(t, s.j, "stalls")
	synctest.Wait()
	s.taken = blocks + 1
	s.fill(t, false)
	if alarms {
		s.fill(t, true)
	}
	return s
}

func (s *stall) fill(t testing.TB, reserve bool) {
	t.Helper()
	for n := 0; ; n++ {
		_, err := s.j.TryAppend(reserve, text(strings.Repeat("y", 100)))
		if errors.Is(err, ErrBusy) {
			break
		}
		if err != nil || n > 1000 {
			t.Fatalf("append %d until the batch is full: %v", n, err)
		}
		s.taken++
	}
}

// append appends in a goroutine of its own, which has begun to wait when it returns.
func (s *stall) append(name string, reserve bool, fill func([]byte) []byte) {
	began := time.Now()
	s.wg.Go(func() {
		tk, err := s.j.Append(reserve, fill)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done = append(s.done, outcome{name, tk, err, time.Since(began)})
	})
	synctest.Wait()
}

// outcomes waits for all of them and returns them by LSN.
func (s *stall) outcomes() []outcome {
	s.wg.Wait()
	slices.SortStableFunc(s.done, func(a, b outcome) int { return int(a.tk.LSN) - int(b.tk.LSN) })
	return s.done
}

func names(list []outcome) string {
	var b []string
	for _, o := range list {
		b = append(b, o.name)
	}
	return strings.Join(b, " ")
}

// A stall of the device costs nobody anything that is over before the deadline. Who waits
// comes in the order of arrival, alarms before others.
func TestAppendWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStall(t, vfs.NewMem(), 1, true)
		s.append("a", false, text("a"))
		s.append("b", false, text("b"))
		s.append("alarm", true, text("alarm"))
		s.append("c", false, text("c"))
		s.append("too large", false, text(strings.Repeat("z", 1<<20)))
		s.append("d", false, text("d"))
		time.Sleep(200 * time.Millisecond)
		if len(s.done) > 0 {
			t.Errorf("%+v while the device stalls", s.done)
		}
		s.open()
		got := s.outcomes()
		if n := names(got); n != "too large alarm a b c d" {
			t.Errorf("places: %s", n)
		}
		if !errors.Is(got[0].err, ErrTooLarge) {
			t.Errorf("too large: %v", got[0].err)
		}
		for _, o := range got[1:] {
			if o.err != nil || o.took > 250*time.Millisecond {
				t.Errorf("%s: %v after %v", o.name, o.err, o.took)
			}
			if err := s.j.Wait(o.tk, Disk); err != nil {
				t.Errorf("%s: %v", o.name, err)
			}
		}
		if n := len(readAllFrom(t, s.j, 1)); n != s.taken+5 {
			t.Errorf("took %d, found %d", s.taken+5, n)
		}
		if n := testutil.ToFloat64(s.j.metrics.delayed); n != 6 {
			t.Errorf("delayed appends: %v, want 6", n)
		}
		mustClose(t, s.j)
	})
}

// More wait than a batch takes: nobody is woken in vain, nobody starves, and who comes later
// does not pass them.
func TestQueueIsLongerThanABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStall(t, vfs.NewMem(), 1, false)
		const n = 40 // of 1,000 bytes, 16 KiB to a batch
		for i := range n {
			s.append(fmt.Sprintf("%02d", i), false, text(strings.Repeat("q", 1000)))
		}
		s.pass()
		synctest.Wait()
		if done := len(s.done); done > 0 {
			// The full batch is being written, and the next one was filled from the queue.
			if done >= 16 {
				t.Errorf("%d found a place in one batch", done)
			}
		} else {
			t.Error("the next batch was not filled")
		}
		s.append("later", false, text("later"))
		s.open()
		got := s.outcomes()
		if !slices.IsSortedFunc(got, func(a, b outcome) int { return strings.Compare(a.name, b.name) }) || len(got) != n+1 {
			t.Errorf("places: %s", names(got))
		}
		for _, o := range got {
			if o.err != nil {
				t.Errorf("%s: %v", o.name, o.err)
			}
		}
		mustClose(t, s.j)
	})
}

// A stall of half a minute: each is refused in time, what is held is what waits, and it goes
// on by itself.
func TestLongStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStall(t, vfs.NewMem(), 1, false)
		began := time.Now()
		n := 0
		for ; time.Since(began) < 30*time.Second; n++ {
			s.append(fmt.Sprint(n), n%10 == 0, text("in the stall"))
			time.Sleep(100 * time.Millisecond)
		}
		s.open()
		taken := 0
		for _, o := range s.outcomes() {
			if o.err == nil {
				taken++
			} else if !errors.Is(o.err, ErrBusy) || o.took < DefaultAckDeadline || o.took > DefaultAckDeadline*(deadlineParts+2)/deadlineParts {
				t.Errorf("append %s: %v after %v", o.name, o.err, o.took)
			}
		}
		if late := int(DefaultAckDeadline / (100 * time.Millisecond)); taken < late {
			t.Errorf("%d of %d were taken, want at least those %d that came last", taken, n, late)
		}
		mustSync(t, s.j, "after")
		if got := len(readAllFrom(t, s.j, 1)); got != s.taken+taken+1 {
			t.Errorf("took %d, found %d", s.taken+taken+1, got)
		}
		mustClose(t, s.j)
	})
}

// Waiting for room and then for the sync has one deadline together, which is not that of
// who came later into the same batch.
func TestRoomAndSyncHaveOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStall(t, vfs.NewMem(), 1, false)
		s.append("early", false, text("early"))
		began := time.Now()
		time.Sleep(time.Second)
		s.pass()
		s.wg.Wait()
		early := s.outcomes()[0].tk
		later := mustAppend(t, s.j, "later")
		if early.LSN+1 != later.LSN {
			t.Fatalf("LSNs %d and %d", early.LSN, later.LSN)
		}
		slack := DefaultAckDeadline * 2 / deadlineParts
		if err := s.j.Wait(early, Disk); !errors.Is(err, ErrNotConfirmed) || time.Since(began) > DefaultAckDeadline+slack {
			t.Errorf("%v, %v after it came", err, time.Since(began))
		}
		if err := s.j.Wait(later, Disk); !errors.Is(err, ErrNotConfirmed) || time.Since(began) < time.Second+DefaultAckDeadline {
			t.Errorf("who came a second later: %v, %v after the first came", err, time.Since(began))
		}
		s.open()
		synctest.Wait()
		if err := s.j.Wait(early, Disk); err != nil {
			t.Errorf("asked again after the stall: %v", err)
		}
		mustClose(t, s.j)
	})
}

// What ends the waiting for good ends it at once.
func TestQueueIsSentAway(t *testing.T) {
	for _, row := range []struct {
		name   string
		blocks int // of 15 in a segment
		end    func(s *stall, dead *atomic.Bool)
		want   error
	}{
		{"closed", 1, func(s *stall, _ *atomic.Bool) { go func() { _ = s.j.Close() }() }, ErrClosed},
		{"no budget", 13, func(s *stall, _ *atomic.Bool) { s.j.SetMaxBytes(1) }, ErrFull},
		{"the device fails", 1, func(s *stall, dead *atomic.Bool) { dead.Store(true); s.open() }, ErrFull},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dead atomic.Bool
				s := newStall(t, vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
					if dead.Load() && op.Kind.Changes() {
						return vfs.Fault{Err: syscall.EIO}
					}
					return vfs.Fault{}
				}), row.blocks, true)
				s.append("a", false, text("a"))
				s.append("alarm", true, text("alarm"))
				row.end(s, &dead)
				for _, o := range s.outcomes() {
					if !errors.Is(o.err, row.want) || errors.Is(o.err, ErrBusy) || o.took > 0 {
						t.Errorf("%s: %v after %v, want %v", o.name, o.err, o.took, row.want)
					}
				}
				if !dead.Swap(false) {
					s.open()
				}
				_ = s.j.Close()
			})
		})
	}
}

// A panic in fill is its caller's, also when the committer runs it.
func TestPanicOfWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStall(t, vfs.NewMem(), 1, false)
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = s.j.Append(false, func([]byte) []byte { panic("caller's bug") })
		}()
		synctest.Wait()
		s.append("behind it", false, text("behind it"))
		s.open()
		if p := <-panicked; p != "caller's bug" {
			t.Errorf("panic %v", p)
		}
		if o := s.outcomes()[0]; o.err != nil || s.j.Wait(o.tk, Disk) != nil {
			t.Errorf("behind a panic: %v", o.err)
		}
		mustClose(t, s.j)
	})
}

// Also when the first batch that was filled from the queue had no room for it: it neither waits
// for its deadline nor holds up who is behind it.
func TestPanicOfWhoWaitedTwice(t *testing.T) {
	for n := range 20 { // one of these numbers fills the batch
		synctest.Test(t, func(t *testing.T) {
			s := newStall(t, vfs.NewMem(), 1, false)
			for range n {
				s.append("before it", false, text(strings.Repeat("q", 1000)))
			}
			panicked := make(chan any, 1)
			began := time.Now()
			go func() {
				defer func() { panicked <- recover() }()
				_, _ = s.j.Append(false, func([]byte) []byte { panic("caller's bug") })
			}()
			synctest.Wait()
			s.append("behind it", false, text("behind it"))
			s.open()
			if p := <-panicked; p != "caller's bug" || time.Since(began) > 0 {
				t.Errorf("behind %d: panic %v after %v", n, p, time.Since(began))
			}
			for _, o := range s.outcomes() {
				if o.err != nil || o.took > 0 {
					t.Errorf("behind %d, %s: %v after %v", n, o.name, o.err, o.took)
				}
			}
			mustClose(t, s.j)
		})
	}
}

// Without fake time, for the race detector: many more senders than a batch takes.
func TestManyWaitForRoom(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxBytes, o.Retain = 16<<20, -1
	o.AckDeadline = time.Minute
	j := mustOpen(t, o)
	defer mustClose(t, j)
	const senders, each = 64, 50
	payload := strings.Repeat("m", 1000)
	var wg sync.WaitGroup
	for w := range senders {
		wg.Go(func() {
			for i, last := 0, LSN(0); i < each; i++ {
				tk, err := j.Append(w == 0, text(payload))
				if err != nil || tk.LSN <= last {
					t.Errorf("LSN %d after %d, %v", tk.LSN, last, err)
					return
				}
				last = tk.LSN
				if w%2 == 0 {
					if err := j.Wait(tk, Disk); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	mustSync(t, j, "last")
	if n := len(readAllFrom(t, j, 1)); n != senders*each+1 {
		t.Errorf("took %d, found %d", senders*each+1, n)
	}
}
