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

// J6: after one failed write or sync the file is never touched again, the batch goes
// into a new segment, and nobody notices.
func TestFirstErrorPoisonsTheFile(t *testing.T) {
	for _, kind := range []vfs.Kind{vfs.KindWrite, vfs.KindSync} {
		for _, short := range []bool{false, true} {
			mem := vfs.NewMem()
			var armed, fired atomic.Bool
			var victim atomic.Value
			fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
				if fired.Load() && op.Name == victim.Load() && op.Kind.Changes() {
					t.Errorf("J6: operation %d (kind %d) on the poisoned %s", op.N, op.Kind, op.Name)
				}
				if op.Kind == kind && strings.HasSuffix(op.Name, spareSuffix) && armed.CompareAndSwap(true, false) {
					victim.Store(op.Name)
					fired.Store(true)
					return vfs.Fault{Err: syscall.EIO, Short: short}
				}
				return vfs.Fault{}
			})
			j := mustOpen(t, small(fsys))
			mustSync(t, j, "first")
			armed.Store(true)
			mustSync(t, j, "through the error")
			mustSync(t, j, "after")
			if !fired.Load() {
				t.Fatal("the fault did not come")
			}
			if st := j.Stats(); st.Err != nil || st.Segments != 2 {
				t.Errorf("stats after the error: %+v", st)
			}
			// J7: the page cache may show the failed batch; it is dead, and comes once.
			mustClose(t, j)
			mem.Revive()
			j = mustOpen(t, small(mem))
			if got := payloads(readAllFrom(t, j, 1)); strings.Join(got, "|") != "first|through the error|after" {
				t.Errorf("kind %d short %v: recovered %q", kind, short, got)
			}
			mustClose(t, j)
		}
	}
}

func TestIdleProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		mustSync(t, j, "one")
		v := mustLook(t, mem)
		if v.proven != 0 {
			t.Fatalf("proven %d before the proof", v.proven)
		}
		time.Sleep(idleProof + time.Millisecond)
		synctest.Wait()
		if v = mustLook(t, mem); v.proven != 1 {
			t.Errorf("proven %d after %v without appends", v.proven, idleProof)
		}
		size := v.segs[0].end
		time.Sleep(10 * idleProof)
		if v = mustLook(t, mem); v.segs[0].end != size {
			t.Error("one proof is enough")
		}
		mustClose(t, j)
	})
}

func mustLook(t testing.TB, fsys FS) *survey {
	t.Helper()
	v, _, _, err := inspect(fsys, testDir, true)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
