package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

func TestStatVerifyDump(t *testing.T) {
	im := makeImage(t, 40, true)
	j := mustOpen(t, small(im.mem))
	j.Checkpoint(10, []Cursor{{"lane", 9}})
	mustSync(t, j, "of the second run")
	eventually(t, "a spare", func() bool {
		st, err := statFS(im.mem, testDir)
		return err == nil && st.Spares > 0
	})
	mustClose(t, j)
	before, _ := im.mem.ReadDir(testDir)

	st, err := statFS(im.mem, testDir)
	if err != nil || st.Settled != 10 || st.Entries != 31 || !st.Checkpoint || len(st.Cursors) != 1 || st.Proven != st.Last || len(st.Segments) < 3 || st.Spares == 0 {
		t.Errorf("stat %+v, %v", st, err)
	}
	r, err := verifyFS(im.mem, testDir)
	if err != nil || !r.OK() || r.Entries != 41 || r.First != 1 || r.Last != st.Last {
		t.Errorf("verify %+v, %v", r, err)
	}
	var all []got
	if err := dumpFS(im.mem, testDir, 5, func(e Entry) error {
		all = append(all, got{e.LSN, string(e.Payload)})
		return nil
	}); err != nil || len(all) != 37 || !slices.Equal(all[:36], im.entries[4:]) {
		t.Errorf("dump from 5: %d entries, %v", len(all), err)
	}
	enough := errors.New("enough")
	if err := dumpFS(im.mem, testDir, 1, func(Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("yield's error: %v", err)
	}
	if after, _ := im.mem.ReadDir(testDir); !slices.Equal(before, after) {
		t.Errorf("the commands changed the directory: %v, was %v", after, before)
	}
}

func TestInspectCorrupt(t *testing.T) {
	im := makeImage(t, 40, true)
	im.mem.Flip(im.files[0], 8*(3*blockBytes+90))
	r, err := verifyFS(im.mem, testDir)
	if err != nil || r.OK() || len(r.Corruptions) != 1 || r.Corruptions[0].From != 3 || r.Entries != 39 {
		t.Errorf("verify %+v, %v", r, err)
	}
	n := 0
	err = dumpFS(im.mem, testDir, 1, func(Entry) error { n++; return nil })
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "entries 3 to 3") || n != 39 {
		t.Errorf("dump: %d entries, %v", n, err)
	}
	im.mem.Flip(im.files[1], 8*20)
	st, err := statFS(im.mem, testDir)
	if err != nil || len(st.Corruptions) != 2 || st.Segments[1].Problem == "" {
		t.Errorf("stat %+v, %v", st, err)
	}
}

func TestInspectForeign(t *testing.T) {
	dir := t.TempDir()
	if _, err := Stat(dir); !errors.Is(err, ErrForeign) {
		t.Errorf("stat of an empty directory: %v", err)
	}
	if _, err := Verify(filepath.Join(dir, "missing")); !errors.Is(err, ErrForeign) {
		t.Errorf("verify of nothing: %v", err)
	}
	if err := Dump(dir, 1, func(Entry) error { return nil }); !errors.Is(err, ErrForeign) {
		t.Errorf("dump: %v", err)
	}
}

// Who opens a stopped journal to read what was settled finds it all, although its retention is
// over and its space is needed.
func TestKeepSettled(t *testing.T) {
	mem := vfs.NewMem()
	o := tiny(mem)
	o.Retain = time.Hour
	j := mustOpen(t, o)
	for i := 0; len(segmentFiles(t, mem)) < 12; i++ {
		tk := mustSync(t, j, fmt.Sprintf("%d %s", i, strings.Repeat("k", 900)))
		j.Checkpoint(tk.LSN, nil)
	}
	mustClose(t, j)
	before := segmentFiles(t, mem)
	o.Retain, o.KeepSettled, o.MaxBytes = -1, true, MinBytes(o.MaxPayload) // less than they take
	j = mustOpen(t, o)
	<-time.After(3 * keepEvery) // that nothing happens takes time
	mustClose(t, j)
	if after := segmentFiles(t, mem); !slices.Equal(before, after) {
		t.Errorf("segments %v, were %v", after, before)
	}
}

// segmentFiles lists the segments of the test's directory.
func segmentFiles(t *testing.T, fsys FS) (names []string) {
	t.Helper()
	all, err := fsys.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasSuffix(name, segmentSuffix) {
			names = append(names, name)
		}
	}
	return names
}

// Beside a live gateway that appends, rolls, retires and recycles as fast as it can,
// verify sees no corruption and dump no hole in what is not yet freed.
func TestVerifyBesideLiveJournal(t *testing.T) {
	mem := vfs.NewMem()
	j := mustOpen(t, tiny(mem))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			tk, err := j.Append(false, text(fmt.Sprintf("%d %s", i, strings.Repeat("l", 900))))
			if err == nil {
				err = j.Wait(tk, Disk)
			}
			if err != nil && !errors.Is(err, ErrFull) {
				t.Errorf("append: %v", err)
				return
			}
			if err == nil {
				j.Checkpoint(tk.LSN-1, nil)
			}
		}
	})
	until, looks := time.Now().Add(1500*time.Millisecond), 0
	for ; time.Now().Before(until); looks++ {
		r, err := verifyFS(mem, testDir)
		if err != nil || !r.OK() {
			t.Fatalf("look %d: false alarm: %v %v", looks, r.Corruptions, err)
		}
		last := LSN(0)
		if err := dumpFS(mem, testDir, 1, func(e Entry) error {
			if e.LSN <= last {
				t.Errorf("LSN %d after %d", e.LSN, last)
			}
			last = e.LSN
			return nil
		}); err != nil && !strings.Contains(err.Error(), "faster than they are read") {
			t.Fatalf("dump %d: %v", looks, err)
		}
	}
	close(stop)
	wg.Wait()
	if looks < 10 || j.Stats().Synced < 100 {
		t.Errorf("%d looks at %d entries", looks, j.Stats().Synced)
	}
	mustClose(t, j)
}

// hooked is a file system that calls hook before each operation of a reader.
type hooked struct {
	FS
	hook func()
}

type hookedFile struct {
	vfs.File
	hook func()
}

func (h hooked) ReadDir(dir string) ([]string, error) {
	h.hook()
	return h.FS.ReadDir(dir)
}

func (h hooked) Open(name string) (vfs.File, error) {
	h.hook()
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return hookedFile{f, h.hook}, nil
}

func (f hookedFile) ReadAt(b []byte, off int64) (int, error) {
	f.hook()
	return f.File.ReadAt(b, off)
}

// Whenever in the course of a verify the live journal recycles every one of its segments, once or
// again and again, there is no false alarm; and a dump yields what is there in order, or says
// that it cannot follow.
func TestVerifyWhileSegmentsAreRecycled(t *testing.T) {
	mem := vfs.NewMem()
	j := mustOpen(t, tiny(mem))
	appended := 0
	put := func(n int) {
		t.Helper()
		for range n {
			var tk Ticket
			eventually(t, "the journal takes an entry", func() bool {
				var err error
				if tk, err = j.Append(false, text(fmt.Sprintf("%d %s", appended, strings.Repeat("r", 900)))); err != nil && !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				return err == nil
			})
			if err := j.Wait(tk, Disk); err != nil {
				t.Fatal(err)
			}
			appended++
			j.Checkpoint(tk.LSN-1, nil)
		}
	}
	const everySegment = 70 // four entries, each in a batch of its own, fill one of 16
	put(everySegment)
	files := segmentFiles(t, mem)
	var mu sync.Mutex // segments are scanned in parallel
	look := func(roll func(op int)) (ops int) {
		t.Helper()
		count := func() {
			mu.Lock()
			defer mu.Unlock()
			ops++
			roll(ops)
		}
		r, err := verifyFS(hooked{mem, count}, testDir)
		if err != nil && strings.Contains(err.Error(), "faster than they are read") && ops > lookAgain {
			return ops // it looked again and again, and says that it cannot follow
		}
		if err != nil || !r.OK() {
			t.Fatalf("at operation %d of verify: false alarm: %v %v", ops, r.Corruptions, err)
		}
		return ops
	}
	all := look(func(int) {})
	for n := 1; n <= all; n++ {
		look(func(op int) {
			if op == n {
				put(everySegment)
			}
		})
	}
	if now := segmentFiles(t, mem); slices.ContainsFunc(now, func(name string) bool { return slices.Contains(files, name) }) {
		t.Errorf("segments %v, some of which are as old as %v: nothing was recycled", now, files)
	}
	for _, every := range []int{1, 3, 10} {
		look(func(op int) {
			if op%every == 0 {
				put(5)
			}
		})
	}
	last, op := LSN(0), 0
	err := dumpFS(hooked{mem, func() {
		mu.Lock()
		defer mu.Unlock()
		if op++; op%5 == 0 {
			put(5)
		}
	}}, testDir, 1, func(e Entry) error {
		if e.LSN <= last {
			t.Errorf("LSN %d after %d", e.LSN, last)
		}
		last = e.LSN
		return nil
	})
	if err != nil && !strings.Contains(err.Error(), "faster than they are read") {
		t.Errorf("dump: %v", err)
	}
	mustClose(t, j)
}
