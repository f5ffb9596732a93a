package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

const benchPayload = 200

// BenchmarkAppend is what a caller pays for an append that finds room, at memory level.
func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, benchOptions(b))
	defer mustClose(b, j)
	payload := make([]byte, benchPayload)
	fill := func(dst []byte) []byte { return append(dst, payload...) }
	b.ReportAllocs()
	for b.Loop() {
		for {
			_, err := j.TryAppend(false, fill)
			if err == nil {
				break
			}
			if !errors.Is(err, ErrFull) {
				b.Fatal(err)
			}
			b.StopTimer()
			eventually(b, "room", j.hasRoom)
			b.StartTimer()
		}
		j.Checkpoint(LSN(j.synced.Load()), nil)
	}
}

func (j *Journal) hasRoom() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.admit(j.cur, false) == nil
}

func benchOptions(b *testing.B) Options {
	return Options{Dir: filepath.Join(b.TempDir(), "j"), MaxBytes: 1 << 30, MaxPayload: 64 << 10, Retain: -1}
}

// BenchmarkDisk appends and waits for the disk, from many goroutines.
func BenchmarkDisk(b *testing.B) {
	for _, writers := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			j := mustOpen(b, benchOptions(b))
			defer mustClose(b, j)
			settling := settleEvery(j, 50*time.Millisecond)
			mustSync(b, j, "first") // the first segment is there
			payload := make([]byte, benchPayload)
			fill := func(dst []byte) []byte { return append(dst, payload...) }
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						tk, err := j.Append(false, fill)
						if err == nil {
							err = j.Wait(tk, Disk)
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			settling()
		})
	}
}

// BenchmarkRaw is the floor: write and fdatasync of the same bytes in batches of n, in a
// pre-written file, with nothing else.
func BenchmarkRaw(b *testing.B) {
	for _, n := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			zero := make([]byte, 64<<20)
			if _, err := f.WriteAt(zero, 0); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			size := roundUp(int64(batchHeaderLen + n*align8(entryHeaderLen+benchPayload)))
			off := int64(0)
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				if off+size > int64(len(zero)) {
					off = 0
				}
				if _, err := f.WriteAt(zero[:size], off); err != nil {
					b.Fatal(err)
				}
				if err := f.Fdatasync(); err != nil {
					b.Fatal(err)
				}
				off += size
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
