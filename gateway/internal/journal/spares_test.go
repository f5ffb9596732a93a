package journal

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// A spare that takes long does not keep the checkpoint from being written within 100 ms: what
// was settled meanwhile would be delivered again after a crash.
func TestCheckpointDoesNotWaitForASpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var slow atomic.Bool // from the moment that the first spare became a segment
		var chunks atomic.Int32
		fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			switch {
			case op.Kind == vfs.KindRename && strings.HasSuffix(op.Name, spareSuffix):
				slow.Store(true)
			case slow.Load() && op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, spareSuffix+tmpSuffix):
				chunks.Add(1)
				time.Sleep(50 * time.Millisecond)
			}
			return vfs.Fault{}
		})
		o := small(fsys)
		const many = 40 // chunks: 2 s
		o.MaxBytes, o.SegmentBytes = 10*many*zeroChunk, many*zeroChunk
		j := mustOpen(t, o)
		ticket := mustSync(t, j, "in the first segment")
		synctest.Wait()
		j.Checkpoint(ticket.LSN, nil)
		time.Sleep(2*keepEvery + 50*time.Millisecond)
		synctest.Wait()
		if n := chunks.Load(); n == 0 || n > many/2 {
			t.Fatalf("%d of %d chunks are written: the spare is not under way, the test shows nothing", n, many)
		}
		c, _, found, err := loadCheckpoint(mem, testDir, j.ID())
		if err != nil || !found || c.settled != ticket.LSN {
			t.Errorf("checkpoint says %d (found %v, error %v), want %d", c.settled, found, err, ticket.LSN)
		}
		mustClose(t, j)
	})
}

// Until there is a segment nothing can be written, so the first is made as quickly as the device
// lets: with a sync for each burst of chunks, and no pause.
func TestFirstSegmentIsMadeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 4 * zeroBurst / zeroChunk // chunks
		var syncs atomic.Int64
		var done time.Time
		began := time.Now()
		o := small(vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
			switch {
			case !done.IsZero():
			case op.Kind == vfs.KindRename && strings.HasSuffix(op.Name, spareSuffix+tmpSuffix):
				done = time.Now()
			case op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, spareSuffix+tmpSuffix):
				syncs.Add(1)
			}
			return vfs.Fault{}
		}))
		o.MaxBytes, o.SegmentBytes = 10*many*zeroChunk, many*zeroChunk
		j := mustOpen(t, o)
		if j.Stats().Begun {
			t.Error("a new journal has a segment before it can have made one")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := syncs.Load(); n != 4 || !done.Equal(began) || !j.Stats().Begun {
			t.Errorf("the first of %d chunks took %d syncs and %s, begun %v; want 4, and no pause", many, n, done.Sub(began), j.Stats().Begun)
		}
		mustClose(t, j)
	})
}

// The ballast is made when there is a segment, so that its syncs are small: batches are synced
// beside it.
func TestBallastIsSyncedInChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		o := small(vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
			if op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, ballastName+tmpSuffix) {
				syncs.Add(1)
			}
			return vfs.Fault{}
		}))
		o.BatchBytes, o.SegmentBytes, o.MaxBytes = 8*zeroChunk, 16*zeroChunk, 160*zeroChunk
		j := mustOpen(t, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := syncs.Load(); n <= 8 {
			t.Errorf("more than eight chunks were written with %d syncs", n)
		}
		mustClose(t, j)
	})
}
