package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// both runs a test over the real file system and the one in memory: tests written for
// one hold for the other.
func both(t *testing.T, run func(t *testing.T, fsys FS, dir string)) {
	t.Run("real", func(t *testing.T) { run(t, OS(), filepath.Join(t.TempDir(), "a", "b")) })
	t.Run("memory", func(t *testing.T) { run(t, NewMem(), "/a/b") })
	t.Run("faulty without faults", func(t *testing.T) {
		run(t, NewFaulty(NewMem(), func(Op) Fault { return Fault{} }), "/a/b")
	})
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAndNames(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		if _, err := fsys.ReadDir(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing directory: %v", err)
		}
		ok(t, fsys.MkdirAll(dir), fsys.MkdirAll(dir))
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		f := must[File](t)(fsys.Create(a))
		if _, err := fsys.Create(a); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create again: %v", err)
		}
		if _, err := f.WriteAt([]byte("world"), 6); err != nil {
			t.Error(err)
		}
		if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
			t.Error(err)
		}
		ok(t, f.Fdatasync(), f.Sync(), fsys.SyncDir(dir))
		if n := must[int64](t)(f.Size()); n != 11 {
			t.Errorf("size %d", n)
		}
		ok(t, f.Truncate(8), f.Close(), fsys.Rename(a, b))
		if names := must[[]string](t)(fsys.ReadDir(dir)); !slices.Equal(names, []string{"b"}) {
			t.Errorf("names %v", names)
		}
		if _, err := fsys.Open(a); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("old name: %v", err)
		}
		r := must[File](t)(fsys.Open(b))
		buf := make([]byte, 20)
		if n, err := r.ReadAt(buf, 0); n != 8 || !errors.Is(err, io.EOF) || !bytes.Equal(buf[:n], []byte("hello\x00wo")) {
			t.Errorf("read %d %q %v", n, buf[:n], err)
		}
		if _, err := r.ReadAt(buf, 100); !errors.Is(err, io.EOF) {
			t.Errorf("behind the end: %v", err)
		}
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("wrote through a handle for reading")
		}
		w := must[File](t)(fsys.OpenWrite(b))
		if _, err := w.WriteAt([]byte("J"), 0); err != nil {
			t.Error(err)
		}
		ok(t, r.Close(), w.Close(), fsys.Remove(b))
		if err := fsys.Remove(b); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("remove again: %v", err)
		}
		if n, err := fsys.Free(dir); n <= 0 || err != nil {
			t.Errorf("free %d, %v", n, err)
		}
	})
}

func TestRenameReplaces(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		ok(t, fsys.MkdirAll(dir))
		for _, name := range []string{"old", "new"} {
			f := must[File](t)(fsys.Create(filepath.Join(dir, name)))
			if _, err := f.WriteAt([]byte(name), 0); err != nil {
				t.Fatal(err)
			}
			ok(t, f.Close())
		}
		ok(t, fsys.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "old")))
		f := must[File](t)(fsys.Open(filepath.Join(dir, "old")))
		b := make([]byte, 3)
		if _, err := f.ReadAt(b, 0); string(b) != "new" || err != nil {
			t.Errorf("%q %v", b, err)
		}
		ok(t, f.Close())
	})
}

func TestLock(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		ok(t, fsys.MkdirAll(dir))
		name := filepath.Join(dir, "LOCK")
		l := must[io.Closer](t)(fsys.Lock(name))
		if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		ok(t, l.Close())
		ok(t, must[io.Closer](t)(fsys.Lock(name)).Close())
	})
}

func TestPowerLossKeepsWhatWasSyncedAndSomeOfTheRest(t *testing.T) {
	kept, lost, sizes := 0, 0, map[int]int{}
	for seed := range uint64(200) {
		m := NewMem()
		ok(t, m.MkdirAll("/d"))
		f := must[File](t)(m.Create("/d/f"))
		write(t, f, bytes.Repeat([]byte{'o'}, 2*BlockBytes), 0)
		ok(t, f.Fdatasync(), m.SyncDir("/d"))
		write(t, f, bytes.Repeat([]byte{'n'}, 2*BlockBytes), BlockBytes)
		m.Cut()
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrPowerLost) {
			t.Fatalf("read without power: %v", err)
		}
		m.Restart(rand.New(rand.NewPCG(seed, 1)))
		if err := f.Sync(); !errors.Is(err, ErrPowerLost) {
			t.Fatalf("a handle of the last life: %v", err)
		}
		b := m.Bytes("/d/f")
		sizes[len(b)]++
		if !bytes.Equal(b[:BlockBytes], bytes.Repeat([]byte{'o'}, BlockBytes)) {
			t.Fatal("a synced block changed")
		}
		for at := BlockBytes; at < len(b); at += BlockBytes {
			block := b[at : at+BlockBytes]
			if block[0] != block[BlockBytes-1] {
				t.Fatal("a block was torn")
			}
			if block[0] == 'n' {
				kept++
			} else {
				lost++
			}
		}
	}
	if kept < 50 || lost < 50 || len(sizes) < 2 {
		t.Errorf("kept %d, lost %d, sizes %v: not random", kept, lost, sizes)
	}
}

func write(t testing.TB, f File, b []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestPowerLossForgetsNames(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(100) {
		m := NewMem()
		ok(t, m.MkdirAll("/d"))
		f := must[File](t)(m.Create("/d/synced"))
		ok(t, f.Sync(), m.SyncDir("/d"))
		must[File](t)(m.Create("/d/made"))
		ok(t, m.Rename("/d/synced", "/d/renamed"))
		m.Cut()
		m.Restart(rand.New(rand.NewPCG(seed, 2)))
		names := must[[]string](t)(m.ReadDir("/d"))
		seen[strings.Join(names, " ")]++
	}
	if len(seen) != 4 {
		t.Errorf("combinations seen: %v", seen)
	}
}

// After a failed sync the data can be read, and no later sync brings it to the disk.
func TestFailedSyncLosesThePages(t *testing.T) {
	m := NewMem()
	fail := false
	fsys := NewFaulty(m, func(op Op) Fault {
		if fail && op.Kind == KindSync {
			return Fault{Err: syscall.EIO}
		}
		return Fault{}
	})
	ok(t, fsys.MkdirAll("/d"))
	f := must[File](t)(fsys.Create("/d/f"))
	write(t, f, make([]byte, BlockBytes), 0)
	ok(t, f.Sync(), fsys.SyncDir("/d"))
	write(t, f, []byte("lost"), 0)
	fail = true
	if err := f.Fdatasync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	fail = false
	ok(t, f.Fdatasync())
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "lost" {
		t.Fatalf("page cache: %q %v", b, err)
	}
	gone := 0
	for seed := range uint64(40) {
		c := m.Clone()
		copyUnsynced(c, m, "/d/f")
		c.Cut()
		c.Restart(rand.New(rand.NewPCG(seed, 3)))
		if string(c.Bytes("/d/f")[:4]) != "lost" {
			gone++
		}
	}
	if gone == 0 {
		t.Error("the second sync made lost pages durable")
	}
}

// What was cut away does not come back when the file has grown again and was synced.
func TestCutIsDurableOnceSynced(t *testing.T) {
	m := NewMem()
	ok(t, m.MkdirAll("/d"))
	f := must[File](t)(m.Create("/d/f"))
	write(t, f, bytes.Repeat([]byte("old"), BlockBytes), 0)
	ok(t, f.Sync(), m.SyncDir("/d"), f.Truncate(10), f.Truncate(3*BlockBytes), f.Sync())
	m.Cut()
	m.Restart(rand.New(rand.NewPCG(1, 2)))
	want := append([]byte("oldoldoldo"), make([]byte, 3*BlockBytes-10)...)
	if got := m.Bytes("/d/f"); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, of which %d are what was cut away", len(got), bytes.Count(got[min(10, len(got)):], []byte("old")))
	}
}

// copyUnsynced gives a clone, in which everything is durable, the original's idea of
// what is.
func copyUnsynced(c, m *Mem, name string) {
	from, to := m.names[name], c.names[name]
	to.kept = from.kept.clone()
	for b, writable := range from.dirty {
		to.dirty[b] = writable
	}
}

func TestKillKeepsThePageCache(t *testing.T) {
	m := NewMem()
	ok(t, m.MkdirAll("/d"))
	f := must[File](t)(m.Create("/d/f"))
	must[io.Closer](t)(m.Lock("/d/LOCK"))
	write(t, f, []byte("unsynced"), 0)
	m.Cut()
	if _, err := m.Create("/d/late"); !errors.Is(err, ErrPowerLost) {
		t.Errorf("a dead process made a file: %v", err)
	}
	m.Revive()
	if string(m.Bytes("/d/f")) != "unsynced" {
		t.Error("a kill lost written bytes")
	}
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrPowerLost) {
		t.Errorf("a dead process wrote: %v", err)
	}
	ok(t, must[io.Closer](t)(m.Lock("/d/LOCK")).Close())
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	ok(t, m.MkdirAll("/d"))
	m.SetCapacity(BlockBytes)
	f := must[File](t)(m.Create("/d/f"))
	write(t, f, make([]byte, BlockBytes), 0)
	write(t, f, []byte("in place"), 0)
	if _, err := f.WriteAt([]byte("x"), BlockBytes); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beyond the capacity: %v", err)
	}
	ok(t, m.Remove("/d/f"))
	if n := must[int64](t)(m.Free("/d")); n != BlockBytes {
		t.Errorf("free after remove: %d", n)
	}
}

func TestFaults(t *testing.T) {
	injected := errors.New("injected")
	for kind, run := range map[Kind]func(FS) error{
		KindMkdir:    func(f FS) error { return f.MkdirAll("/d/e") },
		KindOpen:     func(f FS) error { _, err := f.OpenWrite("/d/f"); return err },
		KindCreate:   func(f FS) error { _, err := f.Create("/d/g"); return err },
		KindRename:   func(f FS) error { return f.Rename("/d/f", "/d/g") },
		KindRemove:   func(f FS) error { return f.Remove("/d/f") },
		KindSyncDir:  func(f FS) error { return f.SyncDir("/d") },
		KindReadDir:  func(f FS) error { _, err := f.ReadDir("/d"); return err },
		KindLock:     func(f FS) error { _, err := f.Lock("/d/LOCK"); return err },
		KindFree:     func(f FS) error { _, err := f.Free("/d"); return err },
		KindRead:     withFile(func(f File) error { _, err := f.ReadAt(make([]byte, 1), 0); return err }),
		KindWrite:    withFile(func(f File) error { _, err := f.WriteAt([]byte("12345678"), 0); return err }),
		KindTruncate: withFile(func(f File) error { return f.Truncate(0) }),
		KindSize:     withFile(func(f File) error { _, err := f.Size(); return err }),
		KindSync:     withFile(File.Fdatasync),
	} {
		m := NewMem()
		ok(t, m.MkdirAll("/d"))
		write(t, must[File](t)(m.Create("/d/f")), []byte("content"), 0)
		want := m.Bytes("/d/f")
		if kind == KindWrite {
			want = []byte("1234ent")
		}
		fsys := NewFaulty(m, func(op Op) Fault {
			if op.Kind == kind {
				return Fault{Err: injected, Short: true}
			}
			return Fault{}
		})
		if err := run(fsys); !errors.Is(err, injected) {
			t.Errorf("kind %d: %v", kind, err)
		}
		if got := m.Bytes("/d/f"); !bytes.Equal(got, want) {
			t.Errorf("kind %d changed the file to %q", kind, got)
		}
		if names := must[[]string](t)(m.ReadDir("/d")); !slices.Equal(names, []string{"f"}) {
			t.Errorf("kind %d changed the names to %v", kind, names)
		}
	}
}

func withFile(run func(File) error) func(FS) error {
	return func(fsys FS) error {
		f, err := fsys.OpenWrite("/d/f")
		if err != nil {
			return err
		}
		return run(f)
	}
}

func TestCutDuringWrite(t *testing.T) {
	m := NewMem()
	ok(t, m.MkdirAll("/d"))
	fsys := NewFaulty(m, func(op Op) Fault {
		if op.Kind == KindWrite {
			return Fault{Cut: m}
		}
		return Fault{}
	})
	f := must[File](t)(fsys.Create("/d/f"))
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrPowerLost) {
		t.Errorf("%v", err)
	}
	if _, err := fsys.ReadDir("/d"); !errors.Is(err, ErrPowerLost) {
		t.Errorf("after the cut: %v", err)
	}
}
