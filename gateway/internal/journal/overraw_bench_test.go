package journal

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/rounds"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// In a round both have several turns, one after the other, as what a device does changes from
// one moment to the next. overRawTurn is how long one of the journal's lasts; the raw loop's takes
// as long as the same batches take it.
const (
	overRawTurns = 8
	overRawTurn  = 150 * time.Millisecond
)

// BenchmarkAppendOverRaw is what the journal adds to the device. Writers append 200 B each and
// wait for the disk, for a while, on a file system that notes the length of every batch; then
// a plain loop does pwrite and fdatasync of as many bytes, batch by batch, into a file that was
// written before. x-raw is the journal's entries a second over those of the loop: 1 when
// encoding, checksums, hand-overs, new segments, checkpoints and the waking of the writers
// cost nothing.
func BenchmarkAppendOverRaw(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			noted := &batchSizes{}
			o := benchOptions(b)
			o.FS = notingFS{vfs.OS(), noted}
			j := mustOpen(b, o)
			defer mustClose(b, j)
			raw := newRawLoop(b)
			mustSync(b, j, "first") // the first segment is there
			settling := settleEvery(j, 50*time.Millisecond)
			defer settling()
			appendFor(b, j, writers, 2*overRawTurn) // spares are made, goroutines have their stacks
			var f rounds.Figures
			for b.Loop() {
				var entries, syncs int64
				var took, bare, cpu time.Duration
				for range overRawTurns {
					noted.take()
					before := rounds.CPU()
					n, span := appendFor(b, j, writers, overRawTurn)
					cpu += rounds.CPU() - before
					sizes := noted.take()
					entries, syncs, took, bare = entries+n, syncs+int64(len(sizes)), took+span, bare+raw.write(b, sizes)
				}
				f.AddRatio("x-raw", float64(bare), float64(took))
				f.Add("entries/s", float64(entries)/took.Seconds())
				f.Add("raw-entries/s", float64(entries)/bare.Seconds())
				f.Add("entries/sync", float64(entries)/float64(syncs))
				f.Add("us-cpu/entry", float64(cpu.Microseconds())/float64(entries))
			}
			f.Report(b.ReportMetric)
		})
	}
}

// appendFor appends from so many goroutines, each waiting for the disk after each entry, and
// returns the number of entries and the time until the last was durable.
func appendFor(b *testing.B, j *Journal, writers int, span time.Duration) (entries int64, took time.Duration) {
	b.Helper()
	payload := make([]byte, benchPayload)
	fill := func(dst []byte) []byte { return append(dst, payload...) }
	var done atomic.Bool
	var total atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range writers {
		wg.Go(func() {
			n := int64(0)
			for ; !done.Load(); n++ {
				tk, err := j.Append(false, fill)
				if err == nil {
					err = j.Wait(tk, Disk)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
			total.Add(n)
		})
	}
	timer := time.AfterFunc(span, func() { done.Store(true) })
	defer timer.Stop()
	wg.Wait()
	return total.Load(), time.Since(began)
}

// settleEvery settles all that is durable every now and then, so that segments are recycled as
// they are in a gateway whose Kafka is there. The function that it returns ends that.
func settleEvery(j *Journal, every time.Duration) (end func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				j.Checkpoint(j.Synced(), nil)
			}
		}
	})
	return func() { close(stop); wg.Wait() }
}

// rawLoop is the baseline: a file written before, and nothing around it.
type rawLoop struct {
	file vfs.File
	data []byte
	off  int64
}

func newRawLoop(b *testing.B) *rawLoop {
	b.Helper()
	f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	r := &rawLoop{file: f, data: make([]byte, maxSegmentBytes)}
	for i := range r.data {
		r.data[i] = byte(i * 7) // no zeros: a device may take a short cut for them
	}
	if _, err := f.WriteAt(r.data, 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return r
}

// write writes and syncs batches of these lengths and returns how long it took.
func (r *rawLoop) write(b *testing.B, sizes []int) time.Duration {
	b.Helper()
	began := time.Now()
	for _, n := range sizes {
		if r.off+int64(n) > int64(len(r.data)) {
			r.off = 0
		}
		if _, err := r.file.WriteAt(r.data[r.off:r.off+int64(n)], r.off); err != nil {
			b.Fatal(err)
		}
		if err := r.file.Fdatasync(); err != nil {
			b.Fatal(err)
		}
		r.off += int64(n)
	}
	return time.Since(began)
}

// batchSizes are the lengths of the batches that a journal wrote.
type batchSizes struct {
	mu   sync.Mutex
	list []int // guarded by mu
}

func (s *batchSizes) note(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, n)
}

// take returns them and forgets them.
func (s *batchSizes) take() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = make([]int, 0, 1<<16)
	return list
}

// notingFS notes what is written into segments, whose files are spares when they are opened.
type notingFS struct {
	FS
	sizes *batchSizes
}

// OpenWrite is FS.OpenWrite.
func (n notingFS) OpenWrite(name string) (vfs.File, error) {
	f, err := n.FS.OpenWrite(name)
	if err != nil || !strings.HasSuffix(name, spareSuffix) {
		return f, err
	}
	return &notingFile{File: f, sizes: n.sizes}, nil
}

type notingFile struct {
	vfs.File
	sizes *batchSizes
}

// WriteAt is File.WriteAt. The segment's header, at 0, is no batch: it is what the journal adds.
func (f *notingFile) WriteAt(p []byte, off int64) (int, error) {
	if off > 0 {
		f.sizes.note(len(p))
	}
	return f.File.WriteAt(p, off)
}

func TestTheRawLoopWritesWhatTheJournalWrote(t *testing.T) {
	noted := &batchSizes{}
	o := small(notingFS{vfs.OS(), noted})
	o.Dir = filepath.Join(t.TempDir(), "j")
	j := mustOpen(t, o)
	for i := range 20 {
		mustSync(t, j, strings.Repeat("x", 1000*i%4000))
	}
	mustClose(t, j)
	total := int64(0)
	for _, n := range noted.take() {
		if n%blockBytes != 0 {
			t.Errorf("a batch of %d bytes is not padded", n)
		}
		total += int64(n)
	}
	want := int64(0)
	for _, s := range j.segs {
		want += s.end.Load() - blockBytes
	}
	if total != want {
		t.Errorf("noted %d bytes of batches, the segments hold %d", total, want)
	}
}
