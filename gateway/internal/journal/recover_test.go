package journal

import (
	"fmt"
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

// image is a small journal as a disk holds it, and what is in it.
type image struct {
	mem     *vfs.Mem
	entries []got
	files   []string // segments, in order
	tail    int      // of the last entries, how many nothing proves after what a test did
}

// makeImage writes n entries, one batch each, over several segments. closed: with the
// last proof and checkpoint, else as after kill -9. It runs in fake time, so that no
// proof comes in between.
func makeImage(t *testing.T, n int, closed bool) image {
	t.Helper()
	var im image
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		j := mustOpen(t, small(mem))
		for i := range n {
			p := fmt.Sprintf("entry %02d %s", i, strings.Repeat("e", i%5))
			im.entries = append(im.entries, got{mustSync(t, j, p).LSN, p})
		}
		if closed {
			mustClose(t, j)
		}
		im.mem = mem.Clone()
		mustClose(t, j)
	})
	im.files = im.segments(t)
	return im
}

func (im image) segments(t testing.TB) (files []string) {
	t.Helper()
	names, err := im.mem.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			files = append(files, filepath.Join(testDir, name))
		}
	}
	return files
}

// survivors opens the image, reads everything and closes it again. Everything that is
// missing must have been reported, and nothing else may come back (J2, J3).
func survivors(t testing.TB, im image, what string) (found []got, corrupt []Corruption) {
	t.Helper()
	o := small(im.mem)
	j, err := Open(o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	found, corrupt = readAllFrom(t, j, 1), j.Stats().Corruptions
	if st := j.Stats(); st.Entries != int64(len(found)) {
		t.Errorf("%s: stats say %d entries, found %d", what, st.Entries, len(found))
	}
	if err := j.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	im.explain(t, found, corrupt, what)
	return found, corrupt
}

// explain fails the test unless found is the image's entries without those reported, or
// without a tail that nothing proved.
func (im image) explain(t testing.TB, found []got, corrupt []Corruption, what string) {
	t.Helper()
	i := 0
	for n, e := range im.entries {
		if i < len(found) && found[i] == e {
			i++
			continue
		}
		reported := slices.ContainsFunc(corrupt, func(c Corruption) bool { return c.From <= e.lsn && e.lsn <= c.To })
		if legal := n >= len(im.entries)-max(1, im.tail); !reported && !legal {
			t.Fatalf("%s: J3: entry %d is gone in silence; corruptions %v", what, e.lsn, corrupt)
		}
	}
	if i != len(found) {
		t.Fatalf("%s: J2: %v was never appended", what, found[i])
	}
}

// J5: the same holes with a proof behind them are corruption, and reported.
func TestHoleBelowProven(t *testing.T) {
	for hole := range 6 {
		im := makeImage(t, 6, true)
		at := blockBytes * (1 + hole)
		im.mem.Edit(im.files[0], func(b []byte) []byte {
			clear(b[at : at+blockBytes])
			return b
		})
		found, corrupt := survivors(t, im, fmt.Sprint("hole ", hole))
		if len(corrupt) != 1 || corrupt[0].From != LSN(hole+1) || corrupt[0].To != LSN(hole+1) || corrupt[0].Offset != int64(at) {
			t.Errorf("hole %d: reported %v", hole, corrupt)
		}
		if len(found) != 5 {
			t.Errorf("hole %d: %d good entries go on", hole, len(found))
		}
		if v := mustLook(t, im.mem); len(v.setAside) != 1 || len(v.corrupt) != 0 {
			t.Errorf("hole %d: set aside %v, corrupt afterwards %v", hole, v.setAside, v.corrupt)
		}
		if r, err := verifyFS(im.mem, testDir); err != nil || !r.OK() || len(r.Recorded) == 0 {
			t.Errorf("hole %d: verify afterwards: %+v, %v", hole, r, err)
		}
	}
}

// A recovery that repairs is itself killed at every step, and run again.
func TestRepairInterrupted(t *testing.T) {
	base := makeImage(t, 6, true)
	base.mem.Edit(base.files[0], func(b []byte) []byte {
		clear(b[2*blockBytes : 3*blockBytes])
		return b
	})
	for at, hit := int64(1), true; hit; at++ {
		im := image{mem: base.mem.Clone(), entries: base.entries, files: base.files}
		hit = false
		var n int64
		o := small(vfs.NewFaulty(im.mem, func(op vfs.Op) vfs.Fault {
			if !op.Kind.Changes() {
				return vfs.Fault{}
			}
			if n++; n == at {
				hit = true
				return vfs.Fault{Cut: im.mem}
			}
			return vfs.Fault{}
		}))
		if at > 40 {
			break // the running journal's own work: crash_test.go
		}
		synctest.Test(t, func(t *testing.T) {
			if j, err := Open(o); err == nil {
				im.mem.Cut()
				_ = j.Close() // the power is off
			}
		})
		im.mem.Restart(rand.New(rand.NewPCG(uint64(at), 3)))
		j := mustOpen(t, small(im.mem))
		found := readAllFrom(t, j, 1)
		mustClose(t, j)
		if len(found) != 5 {
			t.Fatalf("power lost at operation %d of the repair: %d of 5 good entries left", at, len(found))
		}
	}
}

// A body that contains a batch and a segment header is a body.
func TestForgedBatchInPayload(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem)
	o.MaxPayload, o.BatchBytes, o.SegmentBytes, o.MaxBytes = 40<<10, 64<<10, 256<<10, 4<<20
	j := mustOpen(t, o)
	mustSync(t, j, "honest")
	// Knowing everything but the salt: the payload's blocks hold a batch for the right
	// place, LSN and proof, and a header.
	forged := make([]byte, 36<<10)
	for salt := range uint64(8) {
		at := int(salt+1)*blockBytes - batchHeaderLen - entryHeaderLen
		h := batchHeader{length: batchHeaderLen + entryHeaderLen, count: 1, first: 3, synced: 2, offset: int64(2+salt+1) * blockBytes}
		putEntryHeader(forged[at+batchHeaderLen:], 0, 0, 1)
		var sums checksummer
		sums.sealEntries(forged[at:at+int(h.length)], saltSeed(salt), 3)
		h.encode(forged[at:], saltSeed(salt))
	}
	(&segmentHeader{version: 1, id: j.ID(), first: 3}).encode(forged[:blockBytes])
	tk, err := j.Append(false, func(dst []byte) []byte { return append(dst, forged...) })
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(tk, Disk); err != nil {
		t.Fatal(err)
	}
	mem = mem.Clone()
	mustClose(t, j)
	// Without its header, the search for later batches goes through the body.
	mem.Edit(filepath.Join(testDir, segmentName(1)), func(b []byte) []byte {
		clear(b[2*blockBytes : 2*blockBytes+batchHeaderLen])
		return b
	})
	o.FS = mem
	j = mustOpen(t, o)
	defer mustClose(t, j)
	if got := payloads(readAllFrom(t, j, 1)); len(got) != 1 || got[0] != "honest" {
		t.Errorf("recovered %d entries: the forged one passed", len(got))
	}
	if c := j.Stats().Corruptions; len(c) != 0 {
		t.Errorf("J5: the torn tail is legal: %v", c)
	}
}

func TestMissingSegments(t *testing.T) {
	// 16 KiB a batch of one entry: 15 batches a segment.
	for _, row := range []struct {
		name   string
		remove int
	}{{"first", 0}, {"middle", 1}} {
		t.Run(row.name, func(t *testing.T) {
			im := makeImage(t, 40, true)
			if len(im.files) < 3 {
				t.Fatalf("%d segments", len(im.files))
			}
			if err := im.mem.Remove(im.files[row.remove]); err != nil {
				t.Fatal(err)
			}
			found, corrupt := survivors(t, im, row.name)
			if len(corrupt) == 0 || len(found) > 30 {
				t.Errorf("%d entries, %v", len(found), corrupt)
			}
		})
	}
	t.Run("damaged header of the last", func(t *testing.T) {
		for _, n := range []int{3, 40} { // the only segment, and one of several
			im := makeImage(t, n, false)
			im.mem.Flip(im.files[len(im.files)-1], 30*8)
			first, corrupt := survivors(t, im, "header")
			if len(corrupt) == 0 {
				t.Error("J3: silence")
			}
			j := mustOpen(t, small(im.mem))
			if again, c := readAllFrom(t, j, 1), j.Stats().Corruptions; !slices.Equal(first, again) || len(c) != 0 {
				t.Errorf("second start: %d entries, first had %d, corruptions %v", len(again), len(first), c)
			}
			if tk := mustSync(t, j, "next"); tk.LSN <= LSN(n)+lsnJump {
				t.Errorf("J15: next LSN is %d", tk.LSN)
			}
			mustClose(t, j)
		}
	})
	t.Run("damaged header in the middle", func(t *testing.T) {
		im := makeImage(t, 40, true)
		im.mem.Flip(im.files[1], 30*8)
		_, corrupt := survivors(t, im, "header")
		if len(corrupt) == 0 || !strings.Contains(corrupt[0].Detail, errCRC.Error()) {
			t.Errorf("reported %v", corrupt)
		}
		_, corrupt = survivors(t, im, "again: still missing, still said")
		if len(corrupt) == 0 {
			t.Error("J3: silence at the second start")
		}
	})
}

func TestCheckpointFile(t *testing.T) {
	path := filepath.Join(testDir, checkpointName)
	settled := func(t *testing.T) image {
		im := makeImage(t, 10, false)
		j := mustOpen(t, small(im.mem))
		j.Checkpoint(4, []Cursor{{"a", 3}, {"b", 4}})
		mustClose(t, j)
		j = mustOpen(t, small(im.mem)) // the second slot
		if s, c := j.Restored(); s != 4 || len(c) != 2 || c[0] != (Cursor{"a", 3}) {
			t.Fatalf("restored %d %v", s, c)
		}
		j.Checkpoint(7, nil)
		mustClose(t, j)
		return im
	}
	rows := []struct {
		name string
		ruin func(mem *vfs.Mem)
		want func(LSN) bool
	}{
		{"as it was", func(*vfs.Mem) {}, func(s LSN) bool { return s == 7 }},
		{"missing", func(mem *vfs.Mem) { _ = mem.Remove(path) }, func(s LSN) bool { return s == 0 }},
		{"empty", func(mem *vfs.Mem) { mem.Edit(path, func([]byte) []byte { return nil }) }, func(s LSN) bool { return s == 0 }},
		{"first slot torn", func(mem *vfs.Mem) { mem.Flip(path, 40*8) }, func(s LSN) bool { return s == 4 || s == 7 }},
		{"second slot torn", func(mem *vfs.Mem) { mem.Flip(path, (slotBytes+40)*8) }, func(s LSN) bool { return s == 4 || s == 7 }},
		{"both torn", func(mem *vfs.Mem) { mem.Flip(path, 40*8); mem.Flip(path, (slotBytes+40)*8) }, func(s LSN) bool { return s == 0 }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			im := settled(t)
			row.ruin(im.mem)
			j := mustOpen(t, small(im.mem))
			defer mustClose(t, j)
			s, _ := j.Restored()
			if !row.want(s) {
				t.Errorf("restored %d", s)
			}
			if c := j.Stats().Corruptions; len(c) != 0 {
				t.Errorf("false alarm: %v", c)
			}
			if got := readAllFrom(t, j, s+1); len(got) != 10-int(s) {
				t.Errorf("%d entries behind %d", len(got), s)
			}
		})
	}
	t.Run("ahead of the log", func(t *testing.T) {
		im := settled(t)
		for _, f := range im.segments(t) {
			if err := im.mem.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		j := mustOpen(t, small(im.mem))
		defer mustClose(t, j)
		if len(j.Stats().Corruptions) == 0 {
			t.Error("J3: the log is gone and nobody says so")
		}
		if tk := mustSync(t, j, "next"); tk.LSN <= 10+lsnJump {
			t.Errorf("J15: next LSN is %d", tk.LSN)
		}
	})
}

// J4: entries above proven are synced by recovery before anybody sees them.
func TestUnprovenTailIsRewrittenAndSynced(t *testing.T) {
	im := makeImage(t, 5, false)
	var order []string
	fsys := vfs.NewFaulty(im.mem, func(op vfs.Op) vfs.Fault {
		if strings.Contains(op.Name, segmentName(5)) {
			order = append(order, map[vfs.Kind]string{vfs.KindCreate: "create", vfs.KindWrite: "write", vfs.KindSync: "sync", vfs.KindRename: "rename"}[op.Kind])
		}
		return vfs.Fault{}
	})
	j := mustOpen(t, small(fsys))
	defer mustClose(t, j)
	got := strings.Join(slices.DeleteFunc(order, func(s string) bool { return s == "" }), " ")
	if got != "create write write write sync rename" {
		t.Errorf("tail was brought over by: %s", got)
	}
	if all := readAllFrom(t, j, 1); len(all) != 5 {
		t.Errorf("%d entries", len(all))
	}
}

func TestRecoveryIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 64 MiB")
	}
	o := Options{Dir: filepath.Join(t.TempDir(), "j"), MaxBytes: 256 << 20, MaxPayload: 64 << 10}
	j := mustOpen(t, o)
	payload := make([]byte, 32<<10)
	n := 0
	for ; n < 2000; n++ {
		tk, err := j.Append(false, func(dst []byte) []byte { return append(dst, payload...) })
		if err != nil {
			t.Fatal(err)
		}
		if n == 1999 {
			if err := j.Wait(tk, Memory); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, j)
	began := time.Now()
	j = mustOpen(t, o)
	t.Logf("recovered %d bytes in %v", j.Stats().Bytes, time.Since(began))
	if got := j.Stats().Entries; got != int64(n) {
		t.Errorf("%d entries of %d", got, n)
	}
	mustClose(t, j)
}

// J5: a run ends between the rename of a segment and the sync of the directory, and so does the
// next one. Whichever of the two names a power loss takes back, nothing is missing.
func TestSegmentNamesThatWereNeverSynced(t *testing.T) {
	for seed := range uint64(64) {
		synctest.Test(t, func(t *testing.T) {
			mem := vfs.NewMem()
			j := mustOpen(t, small(mem))
			mustSync(t, j, "confirmed")
			time.Sleep(3 * time.Second) // until a spare and the ballast are there
			mustClose(t, j)
			for life := range 2 {
				var renamed atomic.Bool
				o := small(vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
					switch {
					case op.Kind == vfs.KindRename && strings.HasSuffix(op.Name, spareSuffix):
						renamed.Store(true)
					case op.Kind == vfs.KindSyncDir && renamed.Load():
						return vfs.Fault{Cut: mem}
					case op.Kind == vfs.KindCreate && life == 0:
						return vfs.Fault{Err: syscall.ENOSPC} // what an unfinished spare leaves would have the directory synced
					}
					return vfs.Fault{}
				}))
				j := mustOpen(t, o)
				mustAppend(t, j, "never confirmed")
				_ = j.Close() // it ends here
				if !renamed.Load() {
					t.Fatal("no segment was activated")
				}
				if life == 0 {
					mem.Revive()
				}
			}
			mem.Restart(rand.New(rand.NewPCG(seed, 9)))
			j = mustOpen(t, small(mem))
			if c := j.Stats().Corruptions; len(c) > 0 {
				t.Fatalf("seed %d: false alarm: %v", seed, c)
			}
			mustClose(t, j)
		})
	}
}
