package journal

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/rounds"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// recoveryBytes is how much unsettled there is to recover.
const recoveryBytes = 1 << 30

// BenchmarkRecovery is how long Open takes on a directory whose process was killed with 1 GiB
// of entries of 200 B unsettled, over reading the same files from front to end with one
// CRC-32C: with the files in the page cache, and with the cache told to forget them. Each
// round kills again, so that each Open finds a torn end, unproven entries and a spare.
func BenchmarkRecovery(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "j")
	entries := fillAndKill(b, dir)
	for _, c := range []struct {
		name   string
		forget bool
	}{{"cache=warm", false}, {"cache=cold", true}} {
		b.Run(c.name, func(b *testing.B) {
			var f rounds.Figures
			readAndSum(b, dir) // warm
			for b.Loop() {
				if c.forget {
					forgetFiles(b, dir)
				}
				bytes, raw := readAndSum(b, dir)
				if c.forget {
					forgetFiles(b, dir)
				}
				cpu := rounds.CPU()
				took := openAndKill(b, dir)
				cpu = rounds.CPU() - cpu
				f.AddRatio("x-raw", raw.Seconds(), took.Seconds())
				f.Add("s/GiB", took.Seconds()*recoveryBytes/float64(bytes))
				f.Add("raw-s/GiB", raw.Seconds()*recoveryBytes/float64(bytes))
				f.Add("cpu-s/GiB", cpu.Seconds()*recoveryBytes/float64(bytes))
			}
			f.Report(b.ReportMetric)
			b.ReportMetric(float64(entries), "entries")
		})
	}
}

// mortal is an FS whose process can be killed: then nothing is written any more.
func mortal() (fsys FS, kill func()) {
	var dead atomic.Bool
	gone := errors.New("killed")
	return vfs.NewFaulty(vfs.OS(), func(op vfs.Op) vfs.Fault {
		if dead.Load() && op.Kind.Changes() {
			return vfs.Fault{Err: gone}
		}
		return vfs.Fault{}
	}), func() { dead.Store(true) }
}

func recoveryOptions(dir string, fsys FS) Options {
	return Options{Dir: dir, FS: fsys, MaxBytes: 4 << 30, AckDeadline: 100 * time.Millisecond}
}

// fillAndKill leaves a directory as a killed process does.
func fillAndKill(b *testing.B, dir string) (entries int64) {
	b.Helper()
	fsys, kill := mortal()
	j := mustOpen(b, recoveryOptions(dir, fsys))
	payload := make([]byte, benchPayload)
	for i := range payload {
		payload[i] = byte(i)
	}
	fill := func(dst []byte) []byte { return append(dst, payload...) }
	for size := int64(0); size < recoveryBytes; size += int64(align8(entryHeaderLen + benchPayload)) {
		eventually(b, "room", func() bool {
			_, err := j.Append(false, fill)
			if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrBusy) {
				b.Fatal(err)
			}
			return err == nil
		})
		entries++
	}
	eventually(b, "the last one is durable", func() bool { return uint64(j.Synced()) == j.appended.Load() })
	kill()
	_ = j.Close() // it was killed: errors are due
	return entries
}

// openAndKill recovers, appends a little, and kills again. It returns the time of Open.
func openAndKill(b *testing.B, dir string) time.Duration {
	b.Helper()
	fsys, kill := mortal()
	began := time.Now()
	j, err := Open(recoveryOptions(dir, fsys))
	took := time.Since(began)
	if err != nil {
		b.Fatal(err)
	}
	if n := len(j.Stats().Corruptions); n > 0 {
		b.Fatalf("%d corruptions", n)
	}
	for range 64 {
		tk := mustAppend(b, j, "unproven")
		eventually(b, "it is durable", func() bool { return j.Synced() >= tk.LSN })
	}
	kill()
	_ = j.Close() // as above
	return took
}

// readAndSum is the baseline.
func readAndSum(b *testing.B, dir string) (bytes int64, took time.Duration) {
	b.Helper()
	buf, began := make([]byte, scanBytes), time.Now()
	sum := uint32(0)
	eachSegment(b, dir, func(f *os.File) {
		for {
			n, err := f.Read(buf)
			sum = crc32.Update(sum, castagnoli, buf[:n])
			bytes += int64(n)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	if sum == 0 {
		b.Fatal("nothing was read")
	}
	return bytes, time.Since(began)
}

// forgetFiles has the page cache forget the files, as far as the system heeds it.
func forgetFiles(b *testing.B, dir string) {
	b.Helper()
	eachSegment(b, dir, func(f *os.File) {
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
	})
}

func eachSegment(b *testing.B, dir string, do func(*os.File)) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(names) == 0 {
		b.Fatalf("%d segments: %v", len(names), err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		do(f)
		f.Close()
	}
}
