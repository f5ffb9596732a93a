package journal

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

const testDir = "/data/journal"

// small are options for a journal of a few hundred KiB on fsys.
func small(fsys FS) Options {
	return Options{Dir: testDir, FS: fsys, MaxBytes: 1 << 20, MaxPayload: 4 << 10, Retain: -1, SegmentBytes: 64 << 10, BatchBytes: 16 << 10}
}

func mustOpen(t testing.TB, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = j.Close() }) // a test that failed early leaves no goroutine behind
	return j
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// text is a fill function that appends s.
func text(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

func mustAppend(t testing.TB, j *Journal, s string) Ticket {
	t.Helper()
	tk, err := j.Append(false, text(s))
	if err != nil {
		t.Fatalf("Append %q: %v", s, err)
	}
	return tk
}

// mustStart appends, and says that somebody waits: the batch is not left to fill.
func mustStart(t testing.TB, j *Journal, s string) Ticket {
	t.Helper()
	tk := mustAppend(t, j, s)
	j.want(tk.round)
	return tk
}

func mustSync(t testing.TB, j *Journal, s string) Ticket {
	t.Helper()
	tk := mustAppend(t, j, s)
	if err := j.Wait(tk, Disk); err != nil {
		t.Fatalf("Wait for %q: %v", s, err)
	}
	return tk
}

// got is an entry that a test keeps.
type got struct {
	lsn     LSN
	payload string
}

// readAllFrom drains a new reader.
func readAllFrom(t testing.TB, j *Journal, from LSN) []got {
	t.Helper()
	r := j.Reader(from)
	defer r.Close()
	return drain(t, r)
}

func drain(t testing.TB, r *Reader) (all []got) {
	t.Helper()
	for {
		e, ok, err := r.Next()
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if !ok {
			return all
		}
		all = append(all, got{e.LSN, string(e.Payload)})
	}
}

func payloads(list []got) (p []string) {
	for _, g := range list {
		p = append(p, g.payload)
	}
	return p
}

// eventually polls until ok or the deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWhatIsWaitedForComesBackAfterReopen(t *testing.T) {
	for name, fsys := range map[string]FS{"memory": vfs.NewMem(), "real": vfs.OS()} {
		t.Run(name, func(t *testing.T) {
			o := small(fsys)
			if name == "real" {
				o.Dir = t.TempDir() + "/deep/er"
			}
			j := mustOpen(t, o)
			var want []string
			for i := range 100 {
				want = append(want, fmt.Sprintf("entry %d %s", i, bytes.Repeat([]byte{'x'}, i*7)))
				mustSync(t, j, want[i])
			}
			if got := payloads(readAllFrom(t, j, 1)); !slices.Equal(got, want) {
				t.Fatalf("before reopen: %d entries %.200q", len(got), got)
			}
			mustClose(t, j)
			j = mustOpen(t, o)
			defer mustClose(t, j)
			// J2: byte for byte, once, in order.
			if got := payloads(readAllFrom(t, j, 1)); !slices.Equal(got, want) {
				t.Fatalf("after reopen: %d entries %.200q", len(got), got)
			}
			tk := mustSync(t, j, "after")
			if tk.LSN <= lsnJump {
				t.Errorf("J15: first LSN after reopen is %d, want a jump", tk.LSN)
			}
			all := readAllFrom(t, j, 1)
			if last := all[len(all)-1]; last.payload != "after" || last.lsn != tk.LSN {
				t.Errorf("last entry is %v", last)
			}
			if st := j.Stats(); st.Entries != 101 || len(st.Corruptions) != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestManyAppendersOneOrder(t *testing.T) {
	o := small(vfs.NewMem())
	o.MaxBytes = 16 << 20
	j := mustOpen(t, o)
	defer mustClose(t, j)
	const writers, each = 16, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			last := LSN(0)
			for i := range each {
				tk, err := j.Append(false, text(fmt.Sprintf("%d/%d", w, i)))
				if err != nil || tk.LSN <= last {
					t.Errorf("append: LSN %d after %d, %v", tk.LSN, last, err)
					return
				}
				last = tk.LSN
				if err := j.Wait(tk, Disk); err != nil {
					t.Errorf("wait: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all := readAllFrom(t, j, 1)
	if len(all) != writers*each {
		t.Fatalf("%d entries", len(all))
	}
	for i, g := range all {
		if g.lsn != LSN(i+1) {
			t.Fatalf("entry %d has LSN %d", i, g.lsn)
		}
	}
}
