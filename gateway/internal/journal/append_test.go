package journal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// gate is a file system whose syncs of segments wait until the test lets them go.
type gate struct {
	*vfs.Faulty
	mu     sync.Mutex
	closed chan struct{}
}

func newGate(inner FS) *gate {
	g := &gate{}
	g.Faulty = vfs.NewFaulty(inner, func(op vfs.Op) vfs.Fault {
		g.mu.Lock()
		c := g.closed
		g.mu.Unlock()
		if c != nil && op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, segmentSuffix) || c != nil && op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, spareSuffix) {
			<-c
		}
		return vfs.Fault{}
	})
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.closed)
	g.closed = nil
}

func TestAppendAllocatesNothing(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxBytes, o.SegmentBytes, o.BatchBytes = 64<<20, 4<<20, 1<<20
	j := mustOpen(t, o)
	defer mustClose(t, j)
	payload := bytes.Repeat([]byte{'p'}, 200)
	fill := func(dst []byte) []byte { return append(dst, payload...) }
	mustSync(t, j, "the first segment is there")
	// Averages over runs are whole numbers: what the committer allocates for each batch,
	// shared by many appends, does not show, one allocation an append would.
	if n := testing.AllocsPerRun(5000, func() {
		if _, err := j.Append(false, fill); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	eventually(t, "room after the burst", j.hasRoom)
	tk := mustSync(t, j, "synced")
	if n := testing.AllocsPerRun(1000, func() { _ = j.Wait(tk, Disk) }); n != 0 {
		t.Errorf("Wait for a synced entry allocates %v times", n)
	}
}

func TestPayloadBounds(t *testing.T) {
	j := mustOpen(t, small(vfs.NewMem()))
	defer mustClose(t, j)
	var foreign []byte
	rows := []struct {
		name string
		fill func([]byte) []byte
		want string
		err  error
	}{
		{"empty", func(dst []byte) []byte { return dst }, "", nil},
		{"nil", func([]byte) []byte { return nil }, "", nil},
		{"one byte", text("a"), "a", nil},
		{"as long as allowed", text(strings.Repeat("m", 4<<10)), strings.Repeat("m", 4<<10), nil},
		{"one byte longer", text(strings.Repeat("m", 4<<10+1)), "", ErrTooLarge},
		{"much longer", text(strings.Repeat("m", 1<<20)), "", ErrTooLarge},
		{"a slice of its own", func([]byte) []byte { foreign = []byte("foreign"); return foreign }, "foreign", nil},
	}
	var want []string
	for _, row := range rows {
		before := j.Stats().Appended
		tk, err := j.Append(false, row.fill)
		if !errors.Is(err, row.err) {
			t.Errorf("%s: %v, want %v", row.name, err, row.err)
		}
		if err != nil {
			if after := j.Stats().Appended; after != before {
				t.Errorf("%s: refused and took LSN %d", row.name, after)
			}
			continue
		}
		want = append(want, row.want)
		if err := j.Wait(tk, Disk); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if got := payloads(readAllFrom(t, j, 1)); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("read %.100q", got)
	}
}

func TestPanicInFillLeavesTheJournalUsable(t *testing.T) {
	j := mustOpen(t, small(vfs.NewMem()))
	defer mustClose(t, j)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = j.Append(false, func([]byte) []byte { panic("caller's bug") })
	}()
	if tk := mustSync(t, j, "next"); tk.LSN != 1 {
		t.Errorf("LSN %d after a panic, want 1", tk.LSN)
	}
}

// J1: an answer at disk comes after the sync of its batch and of the directory entry.
func TestWaitFollowsSyncs(t *testing.T) {
	mem := vfs.NewMem()
	var headed, headSynced, renamed, dirSynced, written, synced atomic.Int64 // the first of each after the one before
	var clock atomic.Int64
	var counting atomic.Bool
	fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		now := clock.Add(1)
		switch {
		case !counting.Load():
		case op.Kind == vfs.KindWrite && op.Size == blockBytes && strings.HasSuffix(op.Name, spareSuffix):
			headed.CompareAndSwap(0, now)
		case op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, spareSuffix) && headSynced.Load() == 0:
			headSynced.Store(now)
		case op.Kind == vfs.KindRename && strings.HasSuffix(op.Name, spareSuffix):
			renamed.CompareAndSwap(0, now)
		case op.Kind == vfs.KindSyncDir && renamed.Load() > 0:
			dirSynced.CompareAndSwap(0, now) // later ones are of the next spare
		case op.Kind == vfs.KindWrite && op.Size == blockBytes*2 && strings.HasSuffix(op.Name, spareSuffix):
			written.CompareAndSwap(0, now) // handles keep the name under which they were opened
		case op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, spareSuffix) && written.Load() > 0:
			synced.CompareAndSwap(0, now)
		}
		return vfs.Fault{}
	})
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, small(fsys))
		time.Sleep(time.Second) // spare and ballast are made: the only names that change are the segment's
		counting.Store(true)
		mustSync(t, j, strings.Repeat("x", 4<<10))
		h, k, r, d, w, s := headed.Load(), headSynced.Load(), renamed.Load(), dirSynced.Load(), written.Load(), synced.Load()
		if !slices.IsSorted([]int64{1, h, k, r, d, w, s}) {
			t.Errorf("order: header %d, sync %d, rename %d, directory sync %d, write %d, sync %d", h, k, r, d, w, s)
		}
		mustClose(t, j)
	})
}

func TestStalledDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(vfs.NewMem())
		j := mustOpen(t, small(g))
		mustSync(t, j, "before")
		g.shut()
		tk := mustStart(t, j, "stalled")
		synctest.Wait()
		second := mustAppend(t, j, "in the next batch")
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := j.Wait(tk, Disk); !errors.Is(err, ErrNotConfirmed) {
					t.Errorf("waiter of a stalled batch: %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took < DefaultAckDeadline || took > 2*time.Second {
			t.Errorf("waiters released after %v", took)
		}
		if err := j.Wait(second, Disk); !errors.Is(err, ErrNotConfirmed) {
			t.Errorf("waiter of the batch behind: %v", err)
		}
		if err := j.Wait(second, Memory); err != nil {
			t.Errorf("memory waits: %v", err)
		}
		if _, err := j.Append(false, text("refused")); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrFull) {
			t.Errorf("append behind batches that were given up: %v", err)
		}
		if st := j.Stats(); st.Synced != 1 || st.Appended != 3 {
			t.Errorf("stats while stalled: %+v", st)
		}
		g.open()
		synctest.Wait()
		if err := j.Wait(tk, Disk); err != nil {
			t.Errorf("asked again after the stall: %v", err)
		}
		mustSync(t, j, "after")
		if got := payloads(readAllFrom(t, j, 1)); len(got) != 4 {
			t.Errorf("entries %q: what was not confirmed comes once", got)
		}
		mustClose(t, j)
	})
}

func TestBothBatchesFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(vfs.NewMem())
		j := mustOpen(t, small(g))
		mustSync(t, j, "before")
		g.shut()
		taken := 1
		mustStart(t, j, "goes out at once")
		synctest.Wait()
		for ; ; taken++ {
			if _, err := j.TryAppend(false, text(strings.Repeat("y", 1000))); err != nil {
				if !errors.Is(err, ErrBusy) {
					t.Fatalf("append %d: %v", taken, err)
				}
				break
			}
			if taken > 100 {
				t.Fatal("memory is not bounded")
			}
		}
		g.open()
		synctest.Wait()
		if got := len(readAllFrom(t, j, 1)); got != taken+1 {
			t.Errorf("took %d, found %d", taken+1, got)
		}
		mustClose(t, j)
	})
}

func TestSubscribe(t *testing.T) {
	j := mustOpen(t, small(vfs.NewMem()))
	defer mustClose(t, j)
	a, b := j.Subscribe(), j.Subscribe()
	mustSync(t, j, "one")
	mustSync(t, j, "two")
	for _, c := range []<-chan struct{}{a, b} {
		select {
		case <-c:
		case <-time.After(5 * time.Second):
			t.Fatal("a subscriber heard nothing")
		}
	}
}

// J14: Close drains and syncs what was taken, and says so when it cannot.
func TestClose(t *testing.T) {
	t.Run("drains", func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		for range 20 {
			mustAppend(t, j, "not waited for")
		}
		mustClose(t, j)
		mustClose(t, j) // again: the same answer
		if _, err := j.Append(false, text("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("append after Close: %v", err)
		}
		mem.Cut()
		mem.Restart(testRand())
		j = mustOpen(t, small(mem))
		if got := readAllFrom(t, j, 1); len(got) != 20 {
			t.Errorf("%d of 20 entries after Close and power loss", len(got))
		}
		mustClose(t, j)
	})
	t.Run("reports a device that takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var dead atomic.Bool
			j := mustOpen(t, small(vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
				if dead.Load() && op.Kind.Changes() {
					return vfs.Fault{Err: syscall.EIO}
				}
				return vfs.Fault{}
			})))
			mustSync(t, j, "good")
			dead.Store(true)
			tk := mustAppend(t, j, "lost")
			err := j.Close()
			if !errors.Is(err, errGivenUp) || !errors.Is(err, syscall.EIO) {
				t.Errorf("Close: %v", err)
			}
			if err := j.Wait(tk, Disk); !errors.Is(err, ErrNotConfirmed) {
				t.Errorf("waiter: %v", err)
			}
		})
	})
}

// waiterOf returns a Waiter and where it puts what it is told.
func waiterOf(n int) (*Waiter, <-chan error) {
	told := make(chan error, n)
	return &Waiter{Tell: func(err error) { told <- err }}, told
}

// J1: who asked to be told hears of success only after the sync, and of a deadline as those
// who wait do; each once, the oldest first.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(vfs.NewMem())
		j := mustOpen(t, small(g))
		before := mustSync(t, j, "before")
		w, toldFirst := waiterOf(2)
		if j.Notify(before, w) {
			t.Error("an entry that is synced still has waiters")
		}

		g.shut()
		first := mustAppend(t, j, "in the batch that is being synced")
		synctest.Wait()
		second := mustAppend(t, j, "in the next one")
		var order []int
		var mu sync.Mutex
		for n := range 3 {
			if !j.Notify(second, &Waiter{Tell: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if order = append(order, n); err != nil {
					t.Errorf("after the sync: %v", err)
				}
			}}) {
				t.Error("nobody was told anything of the second batch, and yet it is decided")
			}
		}
		if !j.Notify(first, w) {
			t.Fatal("decided before its sync")
		}
		time.Sleep(DefaultAckDeadline / 2)
		if len(toldFirst) > 0 || len(order) > 0 {
			t.Error("told before the sync")
		}
		g.open()
		synctest.Wait()
		if err := <-toldFirst; err != nil {
			t.Errorf("after the sync: %v", err)
		}
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("told in the order %v", order)
		}

		g.shut()
		stalled := mustAppend(t, j, "stalled")
		began := time.Now()
		if !j.Notify(stalled, w) {
			t.Fatal("a waiter can be used again")
		}
		if err := <-toldFirst; !errors.Is(err, ErrNotConfirmed) {
			t.Errorf("of a stalled batch: %v", err)
		}
		if took := time.Since(began); took < DefaultAckDeadline || took > 2*time.Second {
			t.Errorf("told after %v", took)
		}
		if j.Notify(stalled, w) {
			t.Error("joined a batch whose waiters were sent away")
		}
		g.open()
		synctest.Wait()
		last := mustAppend(t, j, "last")
		joined := j.Notify(last, w)
		mustClose(t, j)
		if joined && len(toldFirst) != 1 || !joined && len(toldFirst) != 0 {
			t.Errorf("told %d times, joined: %v", len(toldFirst), joined)
		}
	})
}

// A waiter that was told knows no other one: each belongs to a connection, and who has nothing more
// to wait for would keep those of long ago in memory.
func TestToldWaitersLetGoOfEachOther(t *testing.T) {
	j := mustOpen(t, small(vfs.NewMem()))
	defer mustClose(t, j)
	tk := mustAppend(t, j, "entry")
	var list [3]Waiter
	var left sync.WaitGroup
	for i := range list {
		left.Add(1)
		list[i].Tell = func(error) {
			if list[i].next != nil {
				t.Errorf("waiter %d still has the next one", i)
			}
			left.Done()
		}
		if !tk.round.told.join(&list[i]) {
			t.Skip("the batch left before anybody could wait for it")
		}
	}
	j.want(tk.round)
	left.Wait()
}

// TestNotifyAllocatesNothing lets the batches, which do allocate, be shared by many entries.
func TestNotifyAllocatesNothing(t *testing.T) {
	const entries = 500
	o := small(vfs.NewMem())
	o.MaxBytes, o.SegmentBytes, o.BatchBytes = 64<<20, 4<<20, 1<<20
	j := mustOpen(t, o)
	defer mustClose(t, j)
	var left sync.WaitGroup
	list := make([]Waiter, entries)
	for i := range list {
		list[i].Tell = func(err error) {
			if err != nil {
				t.Error(err)
			}
			left.Done()
		}
	}
	fill := text("entry")
	n := testing.AllocsPerRun(20, func() {
		left.Add(entries)
		for i := range list {
			tk, err := j.Append(false, fill)
			if err != nil {
				t.Fatal(err)
			}
			if !j.Notify(tk, &list[i]) {
				list[i].Tell(j.Wait(tk, Disk))
			}
		}
		left.Wait()
	})
	if n > entries/2 {
		t.Errorf("%v allocations for %d entries", n, entries)
	}
}
