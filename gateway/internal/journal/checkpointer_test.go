package journal

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// J6, J7, J10: the checkpoint's sync fails once. It must not be synced again and believed: what
// was written before a failed sync may be gone.
func TestCheckpointSyncFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var fail atomic.Bool
		f := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			if op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, "/"+checkpointName) && fail.CompareAndSwap(true, false) {
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		})
		j := mustOpen(t, small(f))
		time.Sleep(3 * time.Second)
		last := mustSync(t, j, strings.Repeat("x", 4000))
		for range 60 { // several segments
			last = mustSync(t, j, strings.Repeat("x", 4000))
		}
		time.Sleep(3 * time.Second)
		fail.Store(true)
		j.Checkpoint(last.LSN, nil)
		time.Sleep(5 * time.Second)
		segments := j.Stats().Segments
		mem.Cut()
		_ = j.Close()
		mem.Restart(testRand())
		j = mustOpen(t, small(mem))
		settled, _ := j.Restored()
		if settled != last.LSN {
			t.Errorf("5 s after Checkpoint(%d) the power went, and settled is %d; of the segments %d were left", last.LSN, settled, segments)
		}
		for _, c := range j.Stats().Corruptions {
			t.Errorf("false alarm: %v", c)
		}
		mustClose(t, j)
	})
}
