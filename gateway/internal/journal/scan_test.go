package journal

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// TestReadersReadEachByteOnce: after an outage all of a journal is read from the disk, and most
// batches in it are small.
func TestReadersReadEachByteOnce(t *testing.T) {
	var read atomic.Int64
	fsys := vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
		if op.Kind == vfs.KindRead && strings.HasSuffix(op.Name, segmentSuffix) {
			read.Add(int64(op.Size))
		}
		return vfs.Fault{}
	})
	o := small(fsys)
	o.MaxPayload, o.BatchBytes = 3<<10, 4<<10 // the ring has room for two batches
	j := mustOpen(t, o)
	defer mustClose(t, j)
	const batches = 100
	for range batches {
		mustSync(t, j, strings.Repeat("x", 3000))
	}
	used := int64(0)
	j.segMu.Lock()
	for _, s := range j.segs {
		used += s.end.Load() - blockBytes
	}
	j.segMu.Unlock()
	read.Store(0)
	if got := len(readAllFrom(t, j, 1)); got != batches {
		t.Fatalf("%d entries, want %d", got, batches)
	}
	if n := read.Load(); n < used/2 || n > used {
		t.Errorf("%d bytes were read for %d bytes of batches", n, used)
	}
}

// TestViewIsTheFile draws offsets and lengths: whatever was read before, a view is what the
// file holds there, and zeros behind its end.
func TestViewIsTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := make([]byte, rapid.IntRange(0, 3*scanBytes).Draw(t, "size"))
		for i := range content {
			content[i] = byte(i ^ i>>8 ^ i>>16)
		}
		f, err := vfs.NewMem().Create("/f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		limit := int64(4 * scanBytes)
		padded := make([]byte, limit)
		copy(padded, content)
		s := newScanner(f, 0, 0, limit)
		for range rapid.IntRange(1, 20).Draw(t, "views") {
			off := rapid.Int64Range(0, limit-1).Draw(t, "off")
			n := rapid.IntRange(0, int(limit-off)).Draw(t, "n")
			got, err := s.view(off, n)
			if err != nil || !bytes.Equal(got, padded[off:off+int64(n)]) {
				t.Fatalf("view of %d bytes at %d differs from the file: %v", n, off, err)
			}
		}
	})
}

// BenchmarkReadFromDisk reads entries of 200 B in batches of 16 that are no longer in memory.
func BenchmarkReadFromDisk(b *testing.B) {
	o := benchOptions(b)
	o.Dir = filepath.Join(b.TempDir(), "j")
	j := mustOpen(b, o)
	defer mustClose(b, j)
	payload := make([]byte, benchPayload)
	fill := func(dst []byte) []byte { return append(dst, payload...) }
	const batches, each = 8000, 16
	for range batches {
		var last Ticket
		for range each {
			var err error
			if last, err = j.Append(false, fill); err != nil {
				b.Fatal(err)
			}
		}
		if err := j.Wait(last, Disk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r := j.Reader(1)
		n := 0
		for ok := true; ok; n++ {
			var err error
			if _, ok, err = r.Next(); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
		if n <= batches*each {
			b.Fatalf("%d entries", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batches/each, "ns/entry")
}
