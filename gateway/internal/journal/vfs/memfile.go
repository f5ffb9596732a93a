package vfs

import (
	"io"
	"io/fs"
	"slices"
)

// memFile is a handle on an inode of a Mem.
type memFile struct {
	m     *Mem
	node  *inode
	life  int
	write bool
}

// enter takes the lock of the file system and says whether the handle is alive.
func (f *memFile) enter() (leave func(), err error) {
	f.m.mu.Lock()
	if f.m.down || f.m.life != f.life {
		f.m.mu.Unlock()
		return nil, ErrPowerLost
	}
	return f.m.mu.Unlock, nil
}

// ReadAt is File.ReadAt.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	leave, err := f.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt is File.WriteAt.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	leave, err := f.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if !f.write {
		return 0, pathError("write", "", fs.ErrPermission)
	}
	if len(p) == 0 {
		return 0, nil
	}
	end := off + int64(len(p))
	if err := f.resize(max(end, int64(len(f.node.data)))); err != nil {
		return 0, err
	}
	copy(f.node.data[off:], p)
	for b := off / BlockBytes; b <= (end-1)/BlockBytes; b++ {
		f.node.dirty[b] = true
	}
	return len(p), nil
}

func (f *memFile) resize(size int64) error {
	grow := size - int64(len(f.node.data))
	if err := f.m.reserve(grow); err != nil {
		return err
	}
	if grow > 0 {
		f.node.data = append(f.node.data, make([]byte, grow)...)
	}
	clear(f.node.data[size:])
	f.node.data = f.node.data[:size]
	return nil
}

// Truncate is File.Truncate.
func (f *memFile) Truncate(size int64) error {
	leave, err := f.enter()
	if err != nil {
		return err
	}
	defer leave()
	return f.resize(size)
}

// Size is File.Size.
func (f *memFile) Size() (int64, error) {
	leave, err := f.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	return int64(len(f.node.data)), nil
}

// Fdatasync is File.Fdatasync.
func (f *memFile) Fdatasync() error { return f.Sync() }

// Sync makes durable what was written since the last one, except what a failed sync
// lost: those blocks are readable, clean, and on no disk.
func (f *memFile) Sync() error {
	leave, err := f.enter()
	if err != nil {
		return err
	}
	defer leave()
	n := f.node
	if grow := len(n.data) - len(n.kept); grow > 0 {
		n.kept = append(n.kept, make([]byte, grow)...)
	}
	n.kept = n.kept[:len(n.data)]
	for b, writable := range n.dirty {
		lo := b * BlockBytes
		if !writable || lo >= int64(len(n.data)) {
			continue
		}
		copy(n.kept[lo:], n.data[lo:min(lo+BlockBytes, int64(len(n.data)))])
		delete(n.dirty, b)
	}
	return nil
}

// failSync is what a failed sync does to the page cache.
func (f *memFile) failSync() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	for b := range f.node.dirty {
		f.node.dirty[b] = false
	}
}

// Close is File.Close.
func (f *memFile) Close() error { return nil }

// Flip inverts one bit of a file, durably and silently: bit rot. It reports whether the
// file is that long.
func (m *Mem) Flip(name string, bit int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[name]
	if node == nil || bit/8 >= int64(len(node.data)) {
		return false
	}
	node.data[bit/8] ^= 1 << (bit % 8)
	if bit/8 < int64(len(node.kept)) {
		node.kept[bit/8] ^= 1 << (bit % 8)
	}
	return true
}

// Edit replaces the content of a file, durably, behind everyone's back. It reports
// whether there is such a file.
func (m *Mem) Edit(name string, change func(data []byte) []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[name]
	if node == nil {
		return false
	}
	node.data = change(slices.Clone(node.data))
	node.kept = slices.Clone(node.data)
	clear(node.dirty)
	return true
}

// Bytes is a copy of a file's content as a process sees it; nil when there is none.
func (m *Mem) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node := m.names[name]; node != nil {
		return slices.Clone(node.data)
	}
	return nil
}

// Clone is an independent copy of what is visible now, all of it durable, with no
// handles and no locks: a disk that was taken out and copied.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	for name, n := range m.names {
		node := &inode{data: slices.Clone(n.data), kept: slices.Clone(n.data), dirty: map[int64]bool{}}
		c.names[name], c.kept[name] = node, node
	}
	for d := range m.dirs {
		c.dirs[d] = true
	}
	return c
}
