package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

func testRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// fillUp appends and syncs until ErrFull, and returns the last LSN taken. It lets the
// background goroutine finish what each append set off, so it runs in a bubble.
func fillUp(t testing.TB, j *Journal, reserve bool) (last Ticket, n int) {
	t.Helper()
	for ; ; n++ {
		if n > 10_000 {
			t.Fatalf("J9: %d entries taken, many times the budget", n)
		}
		tk, err := j.Append(reserve, text(fmt.Sprintf("%d %s", n, strings.Repeat("f", 2000))))
		if errors.Is(err, ErrFull) && !errors.Is(err, ErrBusy) {
			return last, n
		}
		if err == nil {
			last = tk
			err = j.Wait(tk, Disk)
		}
		if err != nil {
			t.Fatalf("append %d: %v", n, err)
		}
		synctest.Wait()
	}
}

// J9: the budget refuses, never drops; the last tenth is for reserve; settling makes room.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := small(mem)
		o.Retain = time.Hour // retention gives way to the budget
		j := mustOpen(t, o)
		hasRoom := func(ordinary, reserve bool) {
			t.Helper()
			if j.HasRoom(false) != ordinary || j.HasRoom(true) != reserve {
				t.Errorf("HasRoom says %v, with reserve %v, want %v and %v", j.HasRoom(false), j.HasRoom(true), ordinary, reserve)
			}
		}
		hasRoom(true, true)
		_, ordinary := fillUp(t, j, false)
		hasRoom(false, true)
		last, reserved := fillUp(t, j, true)
		hasRoom(false, false)
		if ordinary == 0 || reserved == 0 {
			t.Fatalf("%d ordinary, then %d with reserve", ordinary, reserved)
		}
		if _, err := j.Append(false, text("small")); !errors.Is(err, ErrFull) {
			t.Errorf("ordinary entry into the reserve: %v", err)
		}
		st := j.Stats()
		if st.Bytes > st.LimitBytes || mem.Used() > o.MaxBytes+2*slotBytes+j.sizes.batch+4*slotBytes+blockBytes {
			t.Errorf("budget %d: %d bytes in segments, %d on disk", st.LimitBytes, st.Bytes, mem.Used())
		}
		all := readAllFrom(t, j, 1)
		if len(all) != ordinary+reserved || int64(len(all)) != st.Entries {
			t.Errorf("took %d, read %d, stats say %d", ordinary+reserved, len(all), st.Entries)
		}
		j.Checkpoint(last.LSN/2, nil)
		time.Sleep(checkpointSync + 3*keepEvery)
		synctest.Wait()
		if _, n := fillUp(t, j, false); n < ordinary/4 {
			t.Errorf("only %d entries fit after half of the journal was settled", n)
		}
		mustClose(t, j)
	})
}

func TestSettledEntriesFlowThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, tiny(mem))
		r := j.Reader(1)
		for i := range 600 { // several times the budget
			tk := mustSync(t, j, fmt.Sprintf("%d %s", i, strings.Repeat("z", 1500)))
			e, ok, err := r.Next()
			if !ok || err != nil || e.LSN != tk.LSN {
				t.Fatalf("entry %d: %v %v %v", i, e.LSN, ok, err)
			}
			j.Checkpoint(tk.LSN, nil)
			time.Sleep(20 * time.Millisecond)
		}
		r.Close()
		if st := j.Stats(); st.Entries != 0 || !st.OldestUndelivered.IsZero() || st.Bytes > st.LimitBytes {
			t.Errorf("stats %+v", st)
		}
		mustClose(t, j)
	})
}

// J10: a segment lives until the checkpoint that settles it is durable, and then as long
// as Retain says.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var deaf atomic.Bool
		fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			if deaf.Load() && strings.Contains(op.Name, checkpointName) && op.Kind == vfs.KindSync {
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		})
		o := small(fsys)
		o.Retain = time.Minute
		j := mustOpen(t, o)
		var last Ticket
		for i := range 60 {
			last = mustSync(t, j, fmt.Sprintf("%d %s", i, strings.Repeat("r", 3000)))
		}
		segments := j.Stats().Segments
		deaf.Store(true)
		j.Checkpoint(last.LSN, nil)
		time.Sleep(3 * time.Minute)
		if n := j.Stats().Segments; n != segments {
			t.Errorf("J10: %d of %d segments left, and no checkpoint was ever durable", n, segments)
		}
		deaf.Store(false)
		time.Sleep(54 * time.Second)
		if got := len(readAllFrom(t, j, 1)); got != 60 {
			t.Errorf("%d of 60 entries can be replayed within the retention", got)
		}
		time.Sleep(12 * time.Second)
		if n := j.Stats().Segments; n != 1 {
			t.Errorf("%d segments after the retention", n)
		}
		mustClose(t, j)
	})
}

func TestReaderHoldsItsSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, tiny(vfs.NewMem()))
		for i := range 40 {
			mustSync(t, j, fmt.Sprintf("%02d %s", i, strings.Repeat("h", 1500)))
		}
		r := j.Reader(1)
		first, ok, err := r.Next()
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		j.Checkpoint(j.Stats().Synced, nil)
		time.Sleep(time.Minute)
		if string(first.Payload[:2]) != "00" {
			t.Errorf("the view changed to %q", first.Payload[:2])
		}
		if rest := drain(t, r); len(rest) != 39 {
			t.Errorf("%d entries follow the first", len(rest))
		}
		r.Close()
		time.Sleep(time.Minute)
		if n := j.Stats().Segments; n != 1 {
			t.Errorf("%d segments after the reader left", n)
		}
		if c := j.Stats().Corruptions; len(c) != 0 {
			t.Errorf("false alarm: %v", c)
		}
		mustClose(t, j)
	})
}

// J8: a full device refuses appends, keeps everything else going, and resumes by itself.
func TestDeviceFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		mustSync(t, j, "first")
		time.Sleep(time.Second)
		mem.SetCapacity(mem.Used()) // somebody else filled the disk
		last, n := fillUp(t, j, true)
		if n == 0 {
			t.Fatal("what was reserved on disk must be usable")
		}
		// The second segment was there as a spare, a third cannot be made.
		if st := j.Stats(); st.Segments > 3 || !errors.Is(st.Err, syscall.ENOSPC) {
			t.Errorf("stats on a full device: %d segments, %v", st.Segments, st.Err)
		}
		if got := len(readAllFrom(t, j, 1)); got != n+1 {
			t.Errorf("%d of %d entries readable", got, n+1)
		}
		j.Checkpoint(last.LSN-1, []Cursor{{"lane", last.LSN - 1}})
		time.Sleep(3 * time.Second)
		if c, _, _, err := loadCheckpoint(mem, testDir, j.ID()); err != nil || c.settled != last.LSN-1 {
			t.Errorf("checkpoint on a full device: %+v, %v", c, err)
		}
		mem.SetCapacity(0)
		time.Sleep(3 * probeEvery)
		mustSync(t, j, "resumed")
		time.Sleep(3 * probeEvery)
		if err := j.Stats().Err; err != nil {
			t.Errorf("still: %v", err)
		}
		mustClose(t, j)
	})
}

// J8: read-only in the middle of it all, and back.
func TestDeviceReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var readOnly atomic.Bool
		j := mustOpen(t, small(vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
			if readOnly.Load() && op.Kind.Changes() {
				return vfs.Fault{Err: syscall.EROFS}
			}
			return vfs.Fault{}
		})))
		mustSync(t, j, "before")
		readOnly.Store(true)
		tk := mustAppend(t, j, "caught in between")
		if err := j.Wait(tk, Disk); !errors.Is(err, ErrNotConfirmed) {
			t.Errorf("wait on a read-only device: %v", err)
		}
		if _, err := j.Append(true, text("refused")); !errors.Is(err, ErrFull) {
			t.Errorf("append on a read-only device: %v", err)
		}
		if got := payloads(readAllFrom(t, j, 1)); len(got) != 1 {
			t.Errorf("readers follow synced: %q", got)
		}
		readOnly.Store(false)
		time.Sleep(3 * time.Second)
		mustSync(t, j, "after")
		if got := strings.Join(payloads(readAllFrom(t, j, 1)), "|"); got != "before|caught in between|after" {
			t.Errorf("entries %q", got)
		}
		mustClose(t, j)
	})
}

func TestDefaultBudgetIsRemembered(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.MaxBytes = 0
	mem.SetCapacity(100 << 20)
	j := mustOpen(t, o)
	first := j.Stats().LimitBytes
	mustClose(t, j)
	if first != 80<<20 {
		t.Errorf("default budget of 100 MiB free: %d", first)
	}
	mem.SetCapacity(50 << 20)
	j = mustOpen(t, o)
	if again := j.Stats().LimitBytes; again != first {
		t.Errorf("second start: %d, first said %d", again, first)
	}
	j.SetMaxBytes(1)
	if n := j.Stats().LimitBytes; n != MinBytes(o.MaxPayload) {
		t.Errorf("SetMaxBytes below the least: %d", n)
	}
	mustClose(t, j)
}

func TestSmallestBudget(t *testing.T) {
	o := Options{Dir: testDir, FS: vfs.NewMem(), MaxPayload: 16 << 10, Retain: -1}
	o.MaxBytes = MinBytes(o.MaxPayload) - 1
	if _, err := Open(o); !errors.Is(err, ErrBudget) {
		t.Errorf("below the least: %v", err)
	}
	o.MaxBytes++
	synctest.Test(t, func(t *testing.T) {
		o.FS = vfs.NewMem()
		j := mustOpen(t, o)
		for i := range 50 {
			tk, err := j.Append(false, text(strings.Repeat("b", 16<<10)))
			if err == nil {
				err = j.Wait(tk, Disk)
			}
			if err != nil {
				t.Fatalf("entry %d of the largest size: %v", i, err)
			}
			j.Checkpoint(tk.LSN, nil)
			time.Sleep(2 * time.Second)
		}
		mustClose(t, j)
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := small(vfs.NewMem())
	o.Metrics = reg
	j := mustOpen(t, o)
	mustSync(t, j, "one")
	want := `
# HELP tidegate_gateway_journal_entries Entries appended and not settled.
# TYPE tidegate_gateway_journal_entries gauge
tidegate_gateway_journal_entries 1
# HELP tidegate_gateway_journal_limit_bytes The budget.
# TYPE tidegate_gateway_journal_limit_bytes gauge
tidegate_gateway_journal_limit_bytes 1.048576e+06
# HELP tidegate_gateway_journal_seconds_to_full Until the budget is used up at the present rate; +Inf when it is not growing.
# TYPE tidegate_gateway_journal_seconds_to_full gauge
tidegate_gateway_journal_seconds_to_full +Inf
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), metricsPrefix+"entries", metricsPrefix+"limit_bytes", metricsPrefix+"seconds_to_full"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"bytes", "oldest_undelivered_seconds", "sync_seconds", "batch_entries"} {
		if n, err := testutil.GatherAndCount(reg, metricsPrefix+name); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	o.FS = vfs.NewMem()
	if _, err := Open(o); err == nil {
		t.Error("two journals in one registry")
	}
	mustClose(t, j)
	j = mustOpen(t, o)
	mustClose(t, j)
}

func TestSecondsToFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, small(vfs.NewMem()))
		for range 60 {
			mustSync(t, j, "4 KiB each")
			time.Sleep(time.Second)
		}
		seconds := testutil.ToFloat64(j.metrics.all[8])
		if seconds < 30 || seconds > 600 {
			t.Errorf("%v s until full at 4-8 KiB/s in 1 MiB", seconds)
		}
		if age := time.Since(j.Stats().OldestUndelivered); age < 59*time.Second || age > 62*time.Second {
			t.Errorf("oldest is %v old, want a minute", age)
		}
		mustClose(t, j)
	})
}
