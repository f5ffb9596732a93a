package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/wal"
	"golang.org/x/sys/unix"
)

const (
	payloadBytes = 200
	turn         = 300 * time.Millisecond
	rawFileBytes = 16 << 20
)

// BenchmarkTidwall appends to tidwall/wal: from so many goroutines, each entry synced on its own,
// as its users get it; and from one, in batches of so many that share a sync, as somebody would
// have it who gathers them himself.
func BenchmarkTidwall(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			l := &log{log: open(b)}
			measure(b, 1, func(until time.Time) (entries int64) { return l.appendFrom(b, writers, until) })
		})
	}
	for _, size := range []int{64, 1024} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			l := &log{log: open(b)}
			measure(b, size, func(until time.Time) (entries int64) { return l.appendBatches(b, size, until) })
		})
	}
}

// measure runs one round for each iteration: the log's turn, then the raw loop's with as many
// entries in batches of so many.
func measure(b *testing.B, batch int, run func(until time.Time) int64) {
	b.Helper()
	raw := newRaw(b)
	var ratios, rates []float64
	for b.Loop() {
		began := time.Now()
		entries := run(began.Add(turn))
		took := time.Since(began)
		bare := raw.write(b, int(entries)/batch, batch*payloadBytes)
		ratios = append(ratios, float64(bare)/float64(took))
		rates = append(rates, float64(entries)/took.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "x-raw")
	b.ReportMetric(ratios[0], "x-raw:least")
	b.ReportMetric(ratios[len(ratios)-1], "x-raw:most")
	b.ReportMetric(rates[len(rates)/2], "entries/s")
	b.ReportMetric(float64(batch), "entries/sync")
}

func open(b *testing.B) *wal.Log {
	b.Helper()
	l, err := wal.Open(filepath.Join(b.TempDir(), "wal"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// log gives the indexes, which the library wants without gaps.
type log struct {
	mu   sync.Mutex
	log  *wal.Log
	last uint64 // guarded by mu
}

func (l *log) appendFrom(b *testing.B, writers int, until time.Time) (entries int64) {
	payload := make([]byte, payloadBytes)
	before := l.last
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for time.Now().Before(until) {
				l.mu.Lock()
				l.last++
				err := l.log.Write(l.last, payload)
				l.mu.Unlock()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return int64(l.last - before)
}

func (l *log) appendBatches(b *testing.B, size int, until time.Time) (entries int64) {
	payload := make([]byte, payloadBytes)
	batch := new(wal.Batch)
	for ; time.Now().Before(until); entries += int64(size) {
		for range size {
			l.last++
			batch.Write(l.last, payload)
		}
		if err := l.log.WriteBatch(batch); err != nil { // which empties it
			b.Fatal(err)
		}
	}
	return entries
}

// raw is the baseline: write and fdatasync in a file that was written before, padded to blocks as
// the journal's baseline is.
type raw struct {
	file *os.File
	data []byte
	off  int
}

func newRaw(b *testing.B) *raw {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	r := &raw{file: f, data: make([]byte, rawFileBytes)}
	for i := range r.data {
		r.data[i] = byte(i * 7)
	}
	if _, err := f.Write(r.data); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *raw) write(b *testing.B, batches, bytes int) time.Duration {
	b.Helper()
	const block = 4096
	size := (bytes + block - 1) / block * block
	began := time.Now()
	for range batches {
		if r.off+size > len(r.data) {
			r.off = 0
		}
		if _, err := r.file.WriteAt(r.data[r.off:r.off+size], int64(r.off)); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(r.file.Fd())); err != nil {
			b.Fatal(err)
		}
		r.off += size
	}
	return time.Since(began)
}
