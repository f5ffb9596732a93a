package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/torture"
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

// J2, J3, J5: whatever bit is flipped, what is missing was reported, and nothing else comes back.
// Under the race detector it is every eleventh byte.
func TestTortureEveryBitFlipped(t *testing.T) {
	loop := torture.New(t, 1, 1)
	n, least, stride := 16, 5000, 1
	if loop.Short() {
		n, least, stride = 3, 200, 11
	}
	for seed := range loop.Seeds() {
		for _, closed := range []bool{true, false} {
			im := makeImage(t, n, closed)
			flips := 0
			for _, file := range im.files {
				data := im.mem.Bytes(file)
				for at := int(seed) % stride; at < len(data); at += stride {
					if inPadding := data[at] == 0 && (at%blockBytes >= 128 || at >= len(data)/2); inPadding && at%257 != 0 {
						continue // zeros that nothing reads; a sample is enough
					}
					for bit := range 8 {
						flips++
						what := fmt.Sprintf("closed %v, %s byte %d bit %d", closed, filepath.Base(file), at, bit)
						im.mem.Flip(file, int64(at*8+bit))
						checkFlipped(t, im, flips, what)
						im.mem.Flip(file, int64(at*8+bit))
					}
				}
			}
			loop.Faulted(flips)
			if flips < least {
				t.Errorf("only %d flips", flips)
			}
		}
	}
}

// checkFlipped surveys the image, and opens every 200th one.
func checkFlipped(t *testing.T, im image, n int, what string) {
	t.Helper()
	v := mustLook(t, im.mem)
	var found []got
	for _, s := range v.segs {
		if s.bad == nil {
			_, _, err := s.dump(im.mem, testDir, 1, func(e Entry) error {
				found = append(found, got{e.LSN, string(e.Payload)})
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	im.explain(t, found, v.corrupt, what)
	if n%200 == 0 {
		again := im
		again.mem = im.mem.Clone()
		first, _ := survivors(t, again, what)
		j := mustOpen(t, small(again.mem))
		second := readAllFrom(t, j, 1)
		mustClose(t, j)
		if !slices.Equal(first, second) {
			t.Fatalf("%s: the second recovery found %d entries, the first %d", what, len(second), len(first))
		}
	}
}

// J5: whatever follows the cut, above proven it is the legal end and below it is not.
// Under the race detector it is a byte here and there.
func TestTortureCutAtEveryByteOfTheLastBatches(t *testing.T) {
	loop := torture.New(t, 1, 1)
	for seed := range loop.Seeds() {
		cutEveryByte(t, loop, seed)
	}
}

func cutEveryByte(t *testing.T, loop *torture.Loop, seed uint64) {
	im := makeImage(t, 6, false)
	file := im.files[len(im.files)-1]
	whole := im.mem.Bytes(file)
	end := int(mustLook(t, im.mem).segs[0].end)
	r := rand.New(rand.NewPCG(seed, 2))
	step := 1
	if loop.Short() {
		step = 13
	}
	after := map[string]func(tail []byte){
		"zeros": func(tail []byte) { clear(tail) },
		"noise": func(tail []byte) {
			for i := range tail {
				tail[i] = byte(r.Uint32())
			}
		},
		"an older batch": func(tail []byte) { copy(tail, bytes.Repeat(whole[blockBytes:2*blockBytes], len(tail)/blockBytes+1)) },
	}
	lastBatch := end - blockBytes
	for name, ruin := range after {
		for at := lastBatch - blockBytes; at < end; at += step {
			if at%blockBytes > 160 {
				at += blockBytes - at%blockBytes - 1 // padding; the last byte of it is tried
			}
			cut := image{mem: im.mem.Clone(), entries: im.entries, files: im.files, tail: 2}
			cut.mem.Edit(file, func(b []byte) []byte {
				ruin(b[at:])
				return b
			})
			what := fmt.Sprintf("%s from byte %d on", name, at)
			found, corrupt := survivors(t, cut, what)
			loop.Crashed()
			if len(corrupt) > 0 {
				t.Fatalf("%s: J5: false alarm %v", what, corrupt)
			}
			if at <= lastBatch-blockBytes && len(found) > 4 || at >= lastBatch && len(found) < 5 {
				t.Fatalf("%s: %d entries", what, len(found))
			}
			_, _ = survivors(t, cut, what+", again")
		}
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

// J12: what is not ours, or newer than us, is refused and stays as it is.
func TestRefusedDirectories(t *testing.T) {
	newer := func(file string, at int, sum func(b []byte)) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, mem *vfs.Mem) {
			if !mem.Edit(filepath.Join(testDir, file), func(b []byte) []byte {
				b[at] = 2
				sum(b)
				return b
			}) {
				t.Fatalf("no file %s", file)
			}
		}
	}
	otherJournal := func(t *testing.T, mem *vfs.Mem) {
		mem.Edit(filepath.Join(testDir, segmentName(1)), func(b []byte) []byte {
			h, err := decodeSegmentHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			h.id++
			h.encode(b)
			return b
		})
	}
	rows := []struct {
		name string
		ruin func(*testing.T, *vfs.Mem)
		want error
	}{
		{"segment of a newer version", newer(segmentName(1), 8, func(b []byte) {
			le.PutUint32(b[92:], crcOf(b[:92]))
		}), ErrVersion},
		{"checkpoint of a newer version", newer(checkpointName, slotBytes+8, func(b []byte) {
			slot := b[slotBytes:]
			n := le.Uint32(slot[12:])
			le.PutUint32(slot[n-4:], crcOf(slot[:n-4]))
		}), ErrVersion},
		{"journal-id of a newer version", func(_ *testing.T, mem *vfs.Mem) {
			mem.Edit(filepath.Join(testDir, identityName), func([]byte) []byte {
				body := "tidegate journal\nversion 2\nanything\n"
				return fmt.Appendf(nil, "%scrc %08x\n", body, crcOf([]byte(body)))
			})
		}, ErrVersion},
		{"journal-id damaged", func(_ *testing.T, mem *vfs.Mem) { mem.Flip(filepath.Join(testDir, identityName), 8*35) }, ErrForeign},
		{"journal-id missing", func(_ *testing.T, mem *vfs.Mem) { _ = mem.Remove(filepath.Join(testDir, identityName)) }, ErrForeign},
		{"segment of another journal", otherJournal, ErrForeign},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			im := makeImage(t, 3, true)
			row.ruin(t, im.mem)
			refused(t, im.mem, row.want)
		})
	}
	t.Run("somebody's files", func(t *testing.T) {
		mem := vfs.NewMem()
		put(t, mem, "thesis.tex")
		refused(t, mem, ErrForeign)
	})
}

func crcOf(b []byte) uint32 {
	return crc32.Checksum(b, castagnoli)
}

func put(t testing.TB, mem *vfs.Mem, name string) {
	t.Helper()
	if err := mem.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Create(filepath.Join(testDir, name)); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, mem *vfs.Mem, want error) {
	t.Helper()
	changes := 0
	fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		if op.Kind.Changes() {
			changes++
		}
		return vfs.Fault{}
	})
	before, _ := mem.ReadDir(testDir)
	if j, err := Open(small(fsys)); !errors.Is(err, want) {
		t.Errorf("Open: %v, want %v", err, want)
		if err == nil {
			_ = j.Close()
		}
	}
	after, _ := mem.ReadDir(testDir)
	if changes != 0 || errors.Is(want, ErrForeign) && !slices.Contains(before, lockName) && slices.Contains(after, lockName) {
		t.Errorf("J12: %d changes, directory %v was %v", changes, after, before)
	}
}

func TestAcceptedNewDirectories(t *testing.T) {
	for _, names := range [][]string{{}, {lockName}, {lockName, identityName + tmpSuffix}, {"lost+found"}, {"admin.sock"}} {
		mem := vfs.NewMem()
		for _, name := range names {
			put(t, mem, name)
		}
		j := mustOpen(t, small(mem))
		if tk := mustSync(t, j, "first"); tk.LSN != 1 {
			t.Errorf("%v: first LSN %d", names, tk.LSN)
		}
		mustClose(t, j)
	}
}

// J16: a wiped directory is another journal.
func TestWipedDirectoryHasANewID(t *testing.T) {
	a, b := makeImage(t, 1, true), makeImage(t, 1, true)
	ja, jb := mustOpen(t, small(a.mem)), mustOpen(t, small(b.mem))
	defer mustClose(t, ja)
	defer mustClose(t, jb)
	if ja.ID() == jb.ID() || ja.ID() == 0 {
		t.Errorf("ids %x and %x", ja.ID(), jb.ID())
	}
	again := mustLook(t, a.mem)
	if again.id != ja.ID() {
		t.Errorf("id changed from %x to %x", ja.ID(), again.id)
	}
}

// J13: one process per directory, until Close.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv("JOURNAL_TEST_DIR"); dir != "" {
		o := small(nil)
		o.Dir = dir
		_, err := Open(o)
		fmt.Println("locked:", errors.Is(err, ErrLocked))
		return
	}
	o := small(vfs.OS())
	o.Dir = t.TempDir()
	j := mustOpen(t, o)
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open in this process: %v", err)
	}
	child := func() string {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestTwoProcesses$")
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_DIR="+o.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("child: %v: %s", err, out)
		}
		return string(out)
	}
	if out := child(); !strings.Contains(out, "locked: true") {
		t.Errorf("second process: %s", out)
	}
	mustClose(t, j)
	if out := child(); !strings.Contains(out, "locked: false") {
		t.Errorf("after Close: %s", out)
	}
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
