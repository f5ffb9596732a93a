package vfs

import (
	"io"
	"sync/atomic"
)

// Kind is what an operation does.
type Kind uint8

// The kinds, in no order. Reads are Open, Read, ReadDir, Size and Free.
const (
	KindMkdir Kind = iota
	KindOpen
	KindCreate
	KindRename
	KindRemove
	KindSyncDir
	KindReadDir
	KindLock
	KindFree
	KindRead
	KindWrite
	KindTruncate
	KindSize
	KindSync
)

// Changes reports whether the kind changes what is on disk. Tests that fail the n-th
// operation count these.
func (k Kind) Changes() bool {
	switch k {
	case KindCreate, KindRename, KindRemove, KindSyncDir, KindWrite, KindTruncate, KindSync:
		return true
	default:
		return false
	}
}

// Op is an operation that is about to happen.
type Op struct {
	N    int64  // 1 for the first of this Faulty
	Kind Kind   // what it does
	Name string // of the file or directory; of a rename, the old name
	Size int    // bytes of a read or write
}

// Fault is what happens instead. The zero value is nothing: the operation goes on.
type Fault struct {
	Err   error // returned to the caller
	Short bool  // a write stores half of its bytes before it fails
	Cut   *Mem  // the power goes: a write or change of names happens in memory first, a sync does not
}

// Faulty is an FS in which a test decides about each operation.
type Faulty struct {
	inner  FS
	decide func(Op) Fault
	n      atomic.Int64
}

// NewFaulty wraps inner. decide is called before every operation, from the goroutine
// that performs it, and may block to play a stalled device.
func NewFaulty(inner FS, decide func(Op) Fault) *Faulty {
	return &Faulty{inner: inner, decide: decide}
}

// do asks for the fault of an operation and runs it, half of it, or not at all.
// partial, which may be nil, is the operation done by half.
func (f *Faulty) do(kind Kind, name string, size int, run func() error, partial func()) error {
	fault := f.decide(Op{N: f.n.Add(1), Kind: kind, Name: name, Size: size})
	switch {
	case fault.Cut != nil:
		if kind != KindSync && kind != KindSyncDir {
			_ = run() // unsynced: Restart decides what is left of it
		}
		fault.Cut.Cut()
		return ErrPowerLost
	case fault.Err == nil:
		return run()
	case partial != nil && (fault.Short || kind == KindSync):
		partial()
	}
	return fault.Err
}

// MkdirAll is FS.MkdirAll.
func (f *Faulty) MkdirAll(dir string) error {
	return f.do(KindMkdir, dir, 0, func() error { return f.inner.MkdirAll(dir) }, nil)
}

// Open is FS.Open.
func (f *Faulty) Open(name string) (File, error) {
	return f.file(KindOpen, name, f.inner.Open)
}

// OpenWrite is FS.OpenWrite.
func (f *Faulty) OpenWrite(name string) (File, error) {
	return f.file(KindOpen, name, f.inner.OpenWrite)
}

// Create is FS.Create.
func (f *Faulty) Create(name string) (File, error) {
	return f.file(KindCreate, name, f.inner.Create)
}

func (f *Faulty) file(kind Kind, name string, open func(string) (File, error)) (File, error) {
	var inner File
	err := f.do(kind, name, 0, func() (err error) {
		inner, err = open(name)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, name, inner}, nil
}

// Rename is FS.Rename.
func (f *Faulty) Rename(from, to string) error {
	return f.do(KindRename, from, 0, func() error { return f.inner.Rename(from, to) }, nil)
}

// Remove is FS.Remove.
func (f *Faulty) Remove(name string) error {
	return f.do(KindRemove, name, 0, func() error { return f.inner.Remove(name) }, nil)
}

// SyncDir is FS.SyncDir.
func (f *Faulty) SyncDir(dir string) error {
	return f.do(KindSyncDir, dir, 0, func() error { return f.inner.SyncDir(dir) }, nil)
}

// ReadDir is FS.ReadDir.
func (f *Faulty) ReadDir(dir string) (names []string, err error) {
	err = f.do(KindReadDir, dir, 0, func() error {
		names, err = f.inner.ReadDir(dir)
		return err
	}, nil)
	return names, err
}

// Lock is FS.Lock.
func (f *Faulty) Lock(name string) (c io.Closer, err error) {
	err = f.do(KindLock, name, 0, func() error {
		c, err = f.inner.Lock(name)
		return err
	}, nil)
	return c, err
}

// Free is FS.Free.
func (f *Faulty) Free(dir string) (n int64, err error) {
	err = f.do(KindFree, dir, 0, func() error {
		n, err = f.inner.Free(dir)
		return err
	}, nil)
	return n, err
}

type faultyFile struct {
	f     *Faulty
	name  string
	inner File
}

// ReadAt is File.ReadAt.
func (h *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.f.do(KindRead, h.name, len(p), func() error {
		n, err = h.inner.ReadAt(p, off)
		return err
	}, nil)
	return n, err
}

// WriteAt is File.WriteAt.
func (h *faultyFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.f.do(KindWrite, h.name, len(p), func() error {
		n, err = h.inner.WriteAt(p, off)
		return err
	}, func() { n, _ = h.inner.WriteAt(p[:len(p)/2], off) })
	return n, err
}

// Truncate is File.Truncate.
func (h *faultyFile) Truncate(size int64) error {
	return h.f.do(KindTruncate, h.name, 0, func() error { return h.inner.Truncate(size) }, nil)
}

// Size is File.Size.
func (h *faultyFile) Size() (n int64, err error) {
	err = h.f.do(KindSize, h.name, 0, func() error {
		n, err = h.inner.Size()
		return err
	}, nil)
	return n, err
}

// Fdatasync is File.Fdatasync.
func (h *faultyFile) Fdatasync() error {
	return h.f.do(KindSync, h.name, 0, h.inner.Fdatasync, h.failSync)
}

// Sync is File.Sync.
func (h *faultyFile) Sync() error {
	return h.f.do(KindSync, h.name, 0, h.inner.Sync, h.failSync)
}

// failSync lets a Mem play what Linux does to the dirty pages.
func (h *faultyFile) failSync() {
	if m, ok := h.inner.(interface{ failSync() }); ok {
		m.failSync()
	}
}

// Close is File.Close.
func (h *faultyFile) Close() error { return h.inner.Close() }
