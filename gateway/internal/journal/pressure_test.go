package journal

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// On a full device a spare is tried once a second.
func TestFullDeviceIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var tries, bytes atomic.Int64
		f := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			switch {
			case op.Kind == vfs.KindCreate && strings.HasSuffix(op.Name, spareSuffix+tmpSuffix):
				tries.Add(1)
			case op.Kind == vfs.KindWrite && strings.HasSuffix(op.Name, spareSuffix+tmpSuffix):
				bytes.Add(int64(op.Size))
			}
			return vfs.Fault{}
		})
		o := Options{Dir: testDir, FS: f, MaxBytes: 64 << 20, Retain: -1} // segments of 8 MiB
		j := mustOpen(t, o)
		mustSync(t, j, "first")
		time.Sleep(time.Second)
		mem.SetCapacity(mem.Used() + 7<<20) // less than a segment is free
		for full := false; !full; {         // in peace: the keeper keeps up
			tk, err := j.Append(true, text(strings.Repeat("x", 256<<10)))
			if full = errors.Is(err, ErrFull); !full {
				full = j.Wait(tk, Disk) != nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Second)
		tries.Store(0)
		bytes.Store(0)
		time.Sleep(10 * time.Second)
		if n := tries.Load(); n > 15 {
			t.Errorf("in 10 s without any append %d spares were tried, %d MiB written and synced and removed again; probeEvery is %v", n, bytes.Load()>>20, probeEvery)
		}
		mem.SetCapacity(0)
		time.Sleep(3 * time.Second)
		mustClose(t, j)
	})
}

// What matters less must not cost an alarm: while the device stalls for a moment, ordinary
// entries fill both batches and an entry with reserve finds no place.
func TestReserveInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(vfs.NewMem())
		j := mustOpen(t, small(g))
		mustSync(t, j, "before")
		g.shut()
		mustStart(t, j, "goes out at once")
		synctest.Wait()
		for {
			if _, err := j.TryAppend(false, text(strings.Repeat("y", 1000))); err != nil {
				break
			}
		}
		_, err := j.TryAppend(true, text("the alarm"))
		if errors.Is(err, ErrBusy) {
			t.Errorf("the alarm was refused: %v", err)
		}
		g.open()
		synctest.Wait()
		mustClose(t, j)
	})
}
