package journal

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

var update = flag.Bool("update", false, "rewrite the golden files of the present version")

// goldenSegment is a segment with a fixed salt and fixed times, as this release writes it.
func goldenSegment() []byte {
	b := make([]byte, 3*blockBytes)
	(&segmentHeader{version: 1, id: 0x1122334455667788, first: 7, prevFirst: 1, prevLast: 5, prevSealed: 8192, salt: 0xfeedfacecafebeef, created: 1700000000000}).encode(b)
	seed := saltSeed(0xfeedfacecafebeef)
	batch := b[blockBytes:]
	end := batchHeaderLen
	for i, p := range []string{"first", "", "the third entry of the golden batch"} {
		putEntryHeader(batch[end:], len(p), i, 1700000000001+int64(i))
		copy(batch[end+entryHeaderLen:], p)
		end = align8(end + entryHeaderLen + len(p))
	}
	var sums checksummer
	sums.sealEntries(batch[:end], seed, 7)
	(&batchHeader{length: int64(end), count: 3, first: 7, synced: 5, offset: blockBytes}).encode(batch, seed)
	(&batchHeader{length: batchHeaderLen, first: 10, synced: 9, offset: 2 * blockBytes}).encode(b[2*blockBytes:], seed)
	return b
}

// The golden segment of every version stays readable for ever; the one of the present
// version is also what is written.
func TestGoldenSegmentV1(t *testing.T) {
	path := filepath.Join("testdata", "v1.segment")
	if *update {
		if err := os.WriteFile(path, goldenSegment(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, goldenSegment()) {
		t.Error("this release writes version 1 differently: that is another version")
	}
	mem := vfs.NewMem()
	put(t, mem, segmentName(7))
	mem.Edit(filepath.Join(testDir, segmentName(7)), func([]byte) []byte { return golden })
	put(t, mem, identityName)
	mem.Edit(filepath.Join(testDir, identityName), func([]byte) []byte { return identity{0x1122334455667788, 1 << 20}.encode() })
	j := mustOpen(t, small(mem))
	defer mustClose(t, j)
	want := []got{{7, "first"}, {8, ""}, {9, "the third entry of the golden batch"}}
	if all := readAllFrom(t, j, 1); !slices.Equal(all, want) {
		t.Errorf("read %v", all)
	}
	if st := j.Stats(); len(st.Corruptions) != 0 || st.OldestUndelivered.UnixMilli() != 1700000000001 {
		t.Errorf("stats %+v", st)
	}
}

func TestSegmentHeaderErrors(t *testing.T) {
	good := make([]byte, blockBytes)
	h := segmentHeader{version: 1, id: 9, first: 100, prevFirst: 1, prevLast: 50, prevSealed: 4096, sealed: 8192, salt: 3, created: 4}
	h.encode(good)
	if back, err := decodeSegmentHeader(good); err != nil || back != h {
		t.Fatalf("%+v, %v", back, err)
	}
	rows := []struct {
		name   string
		change func(b []byte)
		want   error
	}{
		{"magic", func(b []byte) { b[0]++ }, errMagic},
		{"checksum", func(b []byte) { b[93]++ }, errCRC},
		{"a field", func(b []byte) { b[20]++ }, errCRC},
		{"version without checksum", func(b []byte) { b[8] = 2 }, errCRC},
		{"version", func(b []byte) { b[8] = 2; le.PutUint32(b[92:], crcOf(b[:92])) }, ErrVersion},
		{"length 0", func(b []byte) { le.PutUint32(b[12:], 0) }, errCRC},
		{"length huge", func(b []byte) { le.PutUint32(b[12:], 1<<32-1) }, errCRC},
		{"first 0", func(b []byte) { le.PutUint64(b[24:], 0); le.PutUint32(b[92:], crcOf(b[:92])) }, errShape},
		{"sealed negative", func(b []byte) { b[63] = 0x80; le.PutUint32(b[92:], crcOf(b[:92])) }, errShape},
	}
	for _, row := range rows {
		b := slices.Clone(good)
		row.change(b)
		if _, err := decodeSegmentHeader(b); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

// J11: every length is checked against limits and the file before it is believed.
func TestBatchHeaderBounds(t *testing.T) {
	const limit = 64 << 10
	good := batchHeader{length: 200, count: 3, first: 10, synced: 9, offset: 8192}
	rows := []struct {
		name   string
		change func(h *batchHeader)
		want   error
	}{
		{"as it is", func(*batchHeader) {}, nil},
		{"length below a header", func(h *batchHeader) { h.length = 63 }, errShape},
		{"length past the limit", func(h *batchHeader) { h.length = limit - 8192 + 1 }, errShape},
		{"length of the largest batch and one", func(h *batchHeader) { h.length = maxBatchBytes + 1 }, errShape},
		{"length negative as int32", func(h *batchHeader) { h.length = 1<<32 - 1 }, errShape},
		{"more entries than fit", func(h *batchHeader) { h.count = 9 }, errShape},
		{"count negative as int32", func(h *batchHeader) { h.count = 1<<32 - 1 }, errShape},
		{"another offset", func(h *batchHeader) { h.offset = 4096 }, errShape},
		{"synced not below first", func(h *batchHeader) { h.synced = 10 }, errShape},
		{"gap from before the beginning", func(h *batchHeader) { h.gap = 10 }, errShape},
		{"first 0", func(h *batchHeader) { h.first, h.synced = 0, 0 }, errShape},
	}
	for _, row := range rows {
		h := good
		row.change(&h)
		b := make([]byte, batchHeaderLen)
		h.encode(b, 5)
		if _, err := decodeBatchHeader(b, 5, 8192, limit); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if _, err := decodeBatchHeader(b, 6, 8192, limit); !errors.Is(err, errCRC) {
			t.Errorf("%s with another salt: %v", row.name, err)
		}
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := checkpoint{seq: rapid.Uint64().Draw(t, "seq"), settled: LSN(rapid.Uint64().Draw(t, "settled")), synced: LSN(rapid.Uint64().Draw(t, "synced")), next: 3}
		for range rapid.IntRange(0, 20).Draw(t, "lanes") {
			c.cursors = append(c.cursors, Cursor{rapid.StringN(0, 40, 200).Draw(t, "lane"), LSN(rapid.Uint64().Draw(t, "lsn"))})
		}
		b := make([]byte, slotBytes)
		n, kept := c.encode(b, 77)
		back, err := decodeCheckpoint(b, 77)
		if err != nil || kept != len(c.cursors) || !slices.Equal(back.cursors, c.cursors) || back.seq != c.seq || back.settled != c.settled || back.synced != c.synced {
			t.Fatalf("%+v became %+v, %v (%d bytes)", c, back, err, n)
		}
		i := identity{rapid.Uint64().Draw(t, "id"), rapid.Int64().Draw(t, "budget")}
		if again, err := decodeIdentity(i.encode()); err != nil || again != i {
			t.Fatalf("%+v became %+v, %v", i, again, err)
		}
	})
}

func TestCheckpointWithTooManyLanes(t *testing.T) {
	c := checkpoint{seq: 1}
	for i := range 5000 {
		c.cursors = append(c.cursors, Cursor{"a topic with a long name and a partition", LSN(i)})
	}
	b := make([]byte, slotBytes)
	_, kept := c.encode(b, 1)
	back, err := decodeCheckpoint(b, 1)
	if err != nil || len(back.cursors) != kept || kept < 1000 || kept == len(c.cursors) {
		t.Errorf("kept %d, read %d, %v", kept, len(back.cursors), err)
	}
}

func FuzzDecodeSegmentHeader(f *testing.F) {
	f.Add(goldenSegment()[:blockBytes])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeSegmentHeader(b)
		if err != nil {
			return
		}
		again := make([]byte, blockBytes)
		h.encode(again)
		if back, err := decodeSegmentHeader(again); err != nil || back != h {
			t.Errorf("%+v became %+v, %v", h, back, err)
		}
	})
}

// FuzzSegment gives a whole segment to the scanner and the walker: whatever it holds,
// they end, and stay within it.
func FuzzSegment(f *testing.F) {
	f.Add(goldenSegment()[blockBytes:], uint64(0xfeedfacecafebeef))
	f.Add(make([]byte, 3*blockBytes), uint64(1))
	f.Fuzz(func(t *testing.T, body []byte, salt uint64) {
		if len(body) > 1<<20 {
			return
		}
		mem := vfs.NewMem()
		put(t, mem, "s")
		name := filepath.Join(testDir, "s")
		mem.Edit(name, func([]byte) []byte { return append(make([]byte, blockBytes), body...) })
		s := &surveyed{name: "s", first: 7, last: 6, end: blockBytes, limit: int64(blockBytes + len(body)), head: segmentHeader{salt: salt}}
		if err := s.scan(mem, testDir, true); err != nil {
			t.Fatal(err)
		}
		if s.end > s.limit || s.entries > int64(len(body)/entryHeaderLen) {
			t.Errorf("%d entries up to byte %d of %d", s.entries, s.end, s.limit)
		}
	})
}

// FuzzWalk gives the walker bytes behind a header that was believed.
func FuzzWalk(f *testing.F) {
	f.Add(goldenSegment()[blockBytes:2*blockBytes], 3, true)
	f.Add([]byte("short"), 1, false)
	f.Fuzz(func(t *testing.T, b []byte, count int, trusted bool) {
		if len(b) < batchHeaderLen || count < 0 || count > maxBatchEntries {
			return
		}
		var w walker
		w.reset(b, batchHeader{length: int64(len(b)), count: count, first: 7}, saltSeed(0xfeedfacecafebeef), trusted)
		last, n := LSN(6), 0
		for e, ok := w.next(); ok; e, ok = w.next() {
			if n++; e.LSN <= last || n > count || len(e.Payload) > len(b) {
				t.Fatalf("entry %d: LSN %d after %d", n, e.LSN, last)
			}
			last = e.LSN
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c := checkpoint{seq: 3, settled: 4, synced: 5, cursors: []Cursor{{"lane", 4}}}
	b := make([]byte, slotBytes)
	n, _ := c.encode(b, 1)
	f.Add(b[:n])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCheckpoint(b, 1); err == nil && len(c.cursors)*10 > len(b) {
			t.Errorf("%d cursors in %d bytes", len(c.cursors), len(b))
		}
	})
}

func FuzzDecodeIdentity(f *testing.F) {
	f.Add(identity{7, 1 << 30}.encode())
	f.Add([]byte("tidegate journal\nversion 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := decodeIdentity(b)
		if err != nil && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrVersion) {
			t.Errorf("an error of no kind: %v", err)
		}
		if err == nil {
			if back, err := decodeIdentity(i.encode()); err != nil || back != i {
				t.Errorf("%+v, %v", back, err)
			}
		}
	})
}

func TestRingAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(1000)
		type kept struct {
			head  batchHeader
			bytes []byte
		}
		var all []kept
		next := LSN(1)
		for range rapid.IntRange(1, 200).Draw(t, "batches") {
			n := rapid.IntRange(1, 600).Draw(t, "bytes")
			b := bytes.Repeat([]byte{byte(next)}, n)
			h := batchHeader{first: next, count: rapid.IntRange(1, 5).Draw(t, "count")}
			next = h.last() + 1 + LSN(rapid.IntRange(0, 1).Draw(t, "gap"))
			r.put(b, h, nil)
			all = append(all, kept{h, b})
			room := 0
			for i := len(all) - 1; i >= 0; i-- {
				k := all[i]
				got, slot, ok := r.get(k.head.last(), nil)
				if ok && (!bytes.Equal(got, k.bytes) || slot.head != k.head) {
					t.Fatalf("batch at %d came back as another", k.head.first)
				}
				if i == len(all)-1 && !ok {
					t.Fatal("the newest batch is not there")
				}
				if room += len(k.bytes); ok && room > 1000 {
					t.Fatal("more than fits is remembered")
				}
			}
		}
		if _, _, ok := r.get(next+10, nil); ok {
			t.Fatal("found what never came")
		}
	})
}

func TestMarksGrowCoarser(t *testing.T) {
	var m marks
	for i := range int64(100_000) {
		m.add(LSN(i+1), i*1000)
	}
	if n := len(m.list); n > maxMarks {
		t.Errorf("%d marks", n)
	}
	for _, lsn := range []LSN{1, 50_000, 100_000} {
		at, want := m.at(lsn), int64(lsn-1)*1000
		if at > want || want-at > 100*1000 {
			t.Errorf("entry %d came at %d, marks say %d", lsn, want, at)
		}
	}
	m.forget(90_000)
	if at := m.at(90_000); at > 89_999*1000 || len(m.list) > 2000 {
		t.Errorf("after forgetting: %d, %d marks", at, len(m.list))
	}
}

func TestReaderBesideAppenders(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxBytes = 32 << 20
	j := mustOpen(t, o)
	defer mustClose(t, j)
	const writers, each, readers = 8, 200, 4
	done := make(chan int, readers)
	for range readers {
		synced := j.Subscribe()
		go func() {
			r := j.Reader(1)
			defer r.Close()
			n, last := 0, LSN(0)
			deadline := time.After(20 * time.Second)
			for n < writers*each {
				e, ok, err := r.Next()
				if err != nil || ok && e.LSN != last+1 {
					t.Errorf("LSN %d after %d, %v", e.LSN, last, err)
					break
				}
				if ok {
					n, last = n+1, e.LSN
					continue
				}
				select {
				case <-synced:
				case <-deadline:
					done <- n
					return
				}
			}
			done <- n
		}()
	}
	for w := range writers {
		go func() {
			for i := range each {
				if _, err := j.Append(false, text(string(rune('a'+w))+string(rune(i)))); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		}()
	}
	for range readers {
		if n := <-done; n != writers*each {
			t.Errorf("a reader saw %d of %d", n, writers*each)
		}
	}
}

func TestReaderFromDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(vfs.NewMem())
		o.MaxBytes = 8 << 20
		j := mustOpen(t, o)
		for i := range 300 { // the ring holds 32 KiB
			mustSync(t, j, string(bytes.Repeat([]byte{byte('a' + i%26)}, 1000)))
		}
		from := func(lsn LSN) []got {
			r := j.Reader(lsn)
			defer r.Close()
			return drain(t, r)
		}
		if all := from(0); len(all) != 300 {
			t.Fatalf("%d entries from the beginning", len(all))
		}
		for _, lsn := range []LSN{1, 17, 150, 299, 300} {
			if all := from(lsn); len(all) != 301-int(lsn) || all[0].lsn != lsn {
				t.Errorf("from %d: %d entries", lsn, len(all))
			}
		}
		if all := from(1000); len(all) != 0 {
			t.Errorf("behind the tail: %d entries", len(all))
		}
		if n := j.segs[0].pins.Load(); n != 0 {
			t.Errorf("%d pins after Close", n)
		}
		mustClose(t, j)
	})
}

// J3 while running: damage that comes after recovery is reported and stepped over.
func TestReaderMeetsDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := small(mem)
		o.MaxBytes = 8 << 20
		j := mustOpen(t, o)
		for range 100 {
			mustSync(t, j, string(bytes.Repeat([]byte{'d'}, 1000)))
		}
		first := filepath.Join(testDir, segmentName(1))
		mem.Flip(first, 8*(3*blockBytes+200)) // in the payload of entry 3
		mem.Flip(first, 8*(5*blockBytes+20))  // in the header of entry 5's batch
		for round := range 2 {
			if all := readAllFrom(t, j, 1); len(all) != 98 {
				t.Errorf("round %d: %d entries", round, len(all))
			}
		}
		var lost []LSN
		for _, c := range j.Stats().Corruptions {
			if c.From == c.To {
				lost = append(lost, c.From)
			}
		}
		if !slices.Equal(lost, []LSN{3, 5}) {
			t.Errorf("reported %v", j.Stats().Corruptions)
		}
		if n := j.Stats().Entries; n != 98 {
			t.Errorf("stats count %d entries", n)
		}
		mustClose(t, j)
	})
}
