package journal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// While nobody waits for it, a batch is left to fill, and no longer than it says.
func TestBatchFillsWhileNobodyWaits(t *testing.T) {
	for _, row := range []struct {
		name string
		then func(t *testing.T, j *Journal, tk Ticket) // after a millisecond
		want time.Duration                             // from the first entry until it is durable
	}{
		{"nobody comes", func(*testing.T, *Journal, Ticket) {}, lingerTime},
		{"others come who do not wait", func(t *testing.T, j *Journal, _ Ticket) {
			if err := j.Wait(mustAppend(t, j, "another"), Memory); err != nil {
				t.Error(err)
			}
		}, lingerTime},
		{"who waits for the disk", func(_ *testing.T, j *Journal, tk Ticket) { go func() { _ = j.Wait(tk, Disk) }() }, time.Millisecond},
		{"who waits for the broker", func(_ *testing.T, j *Journal, tk Ticket) { go func() { _ = j.Wait(tk, Broker) }() }, time.Millisecond},
		{"a good part is full", func(t *testing.T, j *Journal, _ Ticket) {
			for range 4 {
				mustAppend(t, j, strings.Repeat("f", 1<<10))
			}
		}, time.Millisecond},
		{"Close", func(t *testing.T, j *Journal, _ Ticket) { mustClose(t, j) }, time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := mustOpen(t, small(vfs.NewMem()))
				mustSync(t, j, "before")
				time.Sleep(time.Second) // the proof is written
				synced := j.Subscribe()
				began := time.Now()
				tk := mustAppend(t, j, "first")
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if j.Synced() >= tk.LSN {
					t.Error("written after a millisecond, with nobody waiting")
				}
				row.then(t, j, tk)
				<-synced
				if took := time.Since(began); took != row.want || j.Synced() < tk.LSN {
					t.Errorf("durable up to %d of %d after %v, want %v", j.Synced(), tk.LSN, took, row.want)
				}
				mustClose(t, j)
			})
		})
	}
}

// The pace of syncs at Memory is that of time, not of the device.
func TestSyncsWhileNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, small(vfs.NewMem()))
		mustSync(t, j, "before")
		for i := range 1000 {
			mustAppend(t, j, fmt.Sprint(i))
			time.Sleep(500 * time.Microsecond)
		}
		if n := j.SyncTimes().Count; n < 80 || n > 120 {
			t.Errorf("%d syncs in half a second, want one in %v", n, lingerTime)
		}
		mustClose(t, j)
	})
}
