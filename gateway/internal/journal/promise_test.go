package journal

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// The tests here hold promises that no other test needs in order to pass: each exists
// because the code without the promise got through the rest.

// shortFS writes half of a batch and says nothing: the one short write that comes without
// an error.
type shortFS struct {
	FS
	armed atomic.Bool
}

type shortFile struct {
	vfs.File
	fs *shortFS
}

func (s *shortFS) OpenWrite(name string) (vfs.File, error) {
	f, err := s.FS.OpenWrite(name)
	if err != nil {
		return nil, err
	}
	return &shortFile{f, s}, nil
}

func (f *shortFile) WriteAt(p []byte, off int64) (int, error) {
	if len(p) > blockBytes && f.fs.armed.CompareAndSwap(true, false) {
		return f.File.WriteAt(p[:blockBytes], off)
	}
	return f.File.WriteAt(p, off)
}

// J6: a write that stored less than it was given is a failed one, whatever it returned.
func TestShortWriteWithoutAnError(t *testing.T) {
	mem := vfs.NewMem()
	fsys := &shortFS{FS: mem}
	j := mustOpen(t, small(fsys))
	mustSync(t, j, "first")
	fsys.armed.Store(true)
	long := strings.Repeat("s", 4<<10)
	mustSync(t, j, long)
	mustSync(t, j, "after")
	if fsys.armed.Load() {
		t.Fatal("no write was short: the test shows nothing")
	}
	mustClose(t, j)
	mem.Cut()
	mem.Revive()
	j = mustOpen(t, small(mem))
	if got := payloads(readAllFrom(t, j, 1)); !slices.Equal(got, []string{"first", long, "after"}) {
		t.Errorf("recovered %.40q", got)
	}
	if c := j.Stats().Corruptions; len(c) != 0 {
		t.Errorf("corruptions %v", c)
	}
	mustClose(t, j)
}

// J6: the checkpoint's file, too, is neither written nor synced again after a failed sync.
func TestFirstErrorPoisonsTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		var armed, poisoned atomic.Bool
		fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			switch name := filepath.Base(op.Name); {
			case name == checkpointName+tmpSuffix && op.Kind == vfs.KindRename:
				poisoned.Store(false) // a new file takes its place
			case name != checkpointName || op.Kind != vfs.KindSync && op.Kind != vfs.KindWrite:
			case poisoned.Load():
				t.Errorf("J6: operation %d (kind %d) on the poisoned checkpoint", op.N, op.Kind)
			case op.Kind == vfs.KindSync && armed.CompareAndSwap(true, false):
				poisoned.Store(true)
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		})
		j := mustOpen(t, small(fsys))
		last := mustSync(t, j, "settled")
		armed.Store(true)
		j.Checkpoint(last.LSN, nil)
		time.Sleep(3 * checkpointSync)
		if armed.Load() || poisoned.Load() {
			t.Fatalf("the fault came: %v, the file was replaced: %v", !armed.Load(), !poisoned.Load())
		}
		mem.Cut()
		_ = j.Close() // the power is off
		mem.Restart(testRand())
		if c, _, found, err := loadCheckpoint(mem, testDir, j.ID()); err != nil || !found || c.settled != last.LSN {
			t.Errorf("checkpoint %+v, found %v, %v", c, found, err)
		}
	})
}

// J10: what was settled by the last synced checkpoint stays known while later ones are
// written, and the newest counts.
func TestSyncedSlotIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		for range 9 {
			mustSync(t, j, "entry")
		}
		for synced := LSN(1); synced < 9; synced += 3 {
			j.Checkpoint(synced, nil)
			time.Sleep(3 * checkpointSync)
			for later := synced + 1; later < synced+3; later++ {
				j.Checkpoint(later, nil)
				time.Sleep(checkpointEvery + time.Millisecond)
				var slots []LSN
				for i := range 2 {
					if c, err := decodeCheckpoint(mem.Bytes(filepath.Join(testDir, checkpointName))[i*slotBytes:][:slotBytes], j.ID()); err == nil {
						slots = append(slots, c.settled)
					}
				}
				if !slices.Contains(slots, synced) || !slices.Contains(slots, later) {
					t.Errorf("%d is synced, %d is written, the slots say %d", synced, later, slots)
				}
				if c, _, _, err := loadCheckpoint(mem, testDir, j.ID()); err != nil || c.settled != later {
					t.Errorf("%d is written, %d counts, %v", later, c.settled, err)
				}
			}
		}
		mustClose(t, j)
	})
}

// J10: the first checkpoint of a run, too, leaves alone the slot that the run began with.
func TestFirstCheckpointLeavesTheOldOne(t *testing.T) {
	for settled := LSN(1); settled <= 2; settled++ { // ends in one slot, and in the other
		im := makeImage(t, 5, true)
		for lsn := range settled {
			j := mustOpen(t, small(im.mem))
			j.Checkpoint(lsn+1, nil)
			mustClose(t, j)
		}
		id := mustLook(t, im.mem).id
		before, slot, _, err := loadCheckpoint(im.mem, testDir, id)
		if err != nil || before.settled != settled {
			t.Fatalf("checkpoint %+v, %v", before, err)
		}
		if _, err := Open(small(vfs.NewFaulty(im.mem, func(op vfs.Op) vfs.Fault {
			if op.Kind == vfs.KindWrite && filepath.Base(op.Name) == checkpointName {
				return vfs.Fault{Err: syscall.EIO, Short: true}
			}
			if op.Kind.Changes() && strings.HasPrefix(filepath.Base(op.Name), checkpointName) {
				return vfs.Fault{Err: syscall.EIO}
			}
			return vfs.Fault{}
		}))); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Open: %v", err)
		}
		im.mem.Cut()
		im.mem.Revive()
		b := im.mem.Bytes(filepath.Join(testDir, checkpointName))[slot*slotBytes:][:slotBytes]
		if c, err := decodeCheckpoint(b, id); err != nil || c.seq != before.seq {
			t.Errorf("checkpoint %d was synced, %d is in its slot, %v", before.seq, c.seq, err)
		}
	}
}

// J15: what is not synced is not settled, whatever somebody says.
func TestCheckpointStaysBelowSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(vfs.NewMem())
		j := mustOpen(t, small(g))
		first := mustSync(t, j, "durable")
		g.shut()
		tk := mustStart(t, j, "on its way")
		synctest.Wait()
		j.Checkpoint(tk.LSN, nil)
		if s := j.Stats().Settled; s != first.LSN {
			t.Errorf("settled up to %d with %d synced", s, first.LSN)
		}
		g.open()
		mustClose(t, j)
	})
}

// J13: nobody else gets the directory while the last batch is being written.
func TestLockIsHeldUntilTheFinalSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		g := newGate(mem)
		j := mustOpen(t, small(g))
		mustSync(t, j, "before")
		g.shut()
		mustAppend(t, j, "the last one")
		closed := make(chan error)
		go func() { closed <- j.Close() }()
		synctest.Wait()
		if l, err := mem.Lock(filepath.Join(testDir, lockName)); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("the lock during Close: %v, want %v", err, vfs.ErrLocked)
			if err == nil {
				_ = l.Close()
			}
		}
		g.open()
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		l, err := mem.Lock(filepath.Join(testDir, lockName))
		if err != nil {
			t.Fatalf("the lock after Close: %v", err)
		}
		_ = l.Close()
	})
}

// J5: a batch header and the checkpoint each prove on their own what came before them.
func TestEachProofCounts(t *testing.T) {
	const n = 5
	for _, row := range []struct {
		name string
		ruin func(mem *vfs.Mem, file string)
	}{
		{"the proof that Close wrote", func(mem *vfs.Mem, file string) {
			_ = mem.Remove(filepath.Join(testDir, checkpointName))
			mem.Edit(file, func(b []byte) []byte { clear(b[n*blockBytes : (n+1)*blockBytes]); return b })
		}},
		{"the checkpoint", func(mem *vfs.Mem, file string) {
			mem.Edit(file, func(b []byte) []byte { clear(b[n*blockBytes:]); return b })
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			im := makeImage(t, n, true)
			row.ruin(im.mem, im.files[0])
			found, corrupt := survivors(t, im, row.name)
			if len(found) != n-1 || len(corrupt) != 1 || corrupt[0].From != n || corrupt[0].To != n {
				t.Errorf("%d entries, reported %v", len(found), corrupt)
			}
		})
	}
}

// J3: entries that are missing below the sealed length, and at the end of their segment,
// have nothing behind them in it to betray them.
func TestHoleAtTheSealedEnd(t *testing.T) {
	im := makeImage(t, 40, true)
	if len(im.files) < 3 {
		t.Fatalf("%d segments", len(im.files))
	}
	v := mustLook(t, im.mem)
	end, last := v.segs[0].end, v.segs[0].last
	im.mem.Edit(im.files[0], func(b []byte) []byte { clear(b[end-2*blockBytes:]); return b })
	found, corrupt := survivors(t, im, "hole")
	if len(corrupt) == 0 || !slices.ContainsFunc(corrupt, func(c Corruption) bool { return c.To == last }) || len(found) >= 40 {
		t.Errorf("%d entries, reported %v", len(found), corrupt)
	}
}

// J2: the salt is new each time that a file becomes a segment.
func TestEverySegmentHasItsOwnSalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, tiny(mem))
		salts, names := map[uint64]string{}, map[string]bool{}
		for range 100 {
			tk := mustSync(t, j, strings.Repeat("z", 1500))
			j.segMu.Lock()
			a := j.active
			j.segMu.Unlock()
			if name, taken := salts[a.salt]; taken && name != a.name || a.salt == 0 {
				t.Fatalf("%s and %s have the salt %x", a.name, name, a.salt)
			}
			salts[a.salt], names[a.name] = a.name, true
			j.Checkpoint(tk.LSN, nil)
			time.Sleep(20 * time.Millisecond)
		}
		if len(names) < 20 || len(salts) != len(names) {
			t.Errorf("%d segments with %d salts", len(names), len(salts))
		}
		mustClose(t, j)
	})
}

// J15: an LSN that was given out is not given out again, although nothing of the life that
// gave it out reached the disk.
func TestLSNsOfALifeWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		last := mustSync(t, j, "durable").LSN
		mustClose(t, j)
		r := rand.New(rand.NewPCG(15, 0))
		for life := range 30 {
			j := mustOpen(t, small(mem))
			mem.Cut()
			tk := mustAppend(t, j, "in memory only")
			_ = j.Close() // the power is off
			mem.Restart(r)
			if tk.LSN <= last {
				t.Fatalf("life %d: LSN %d after %d", life, tk.LSN, last)
			}
			last = tk.LSN
		}
	})
}

// J11: a length that leads out of what holds it is an error, never a panic, also where the
// checksum is right.
func TestLengthsAreChecked(t *testing.T) {
	entry := make([]byte, batchHeaderLen+2*entryHeaderLen)
	putEntryHeader(entry[batchHeaderLen:], 1<<32-1, 0, 1)
	slot := make([]byte, slotBytes)
	n, _ := (&checkpoint{cursors: []Cursor{{"lane", 1}}}).encode(slot, 1)
	le.PutUint16(slot[slotHeaderLen:], 1<<16-1)
	le.PutUint32(slot[n-4:], crcOf(slot[:n-4]))
	for _, row := range []struct {
		name string
		read func() bool // whether the length was believed
	}{
		{"entry", func() bool {
			var w walker
			w.reset(entry, batchHeader{length: int64(len(entry)), count: 1, first: 1}, 0, true)
			e, ok := w.next()
			return ok && len(e.Payload) > len(entry) // what is behind it may pass for a small one
		}},
		{"cursor", func() bool {
			_, err := decodeCheckpoint(slot, 1)
			return !errors.Is(err, errShape)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic: %v", v)
				}
			}()
			if row.read() {
				t.Error("the length was believed")
			}
		})
	}
}
