package vfs

import (
	"io"
	"io/fs"
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
	n := f.node.data.readAt(p, off)
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
	n := f.node
	if err := f.resize(max(off+int64(len(p)), n.data.size)); err != nil {
		return 0, err
	}
	for rest := p; len(rest) > 0; {
		b, at := off/BlockBytes, off%BlockBytes
		part := rest[:min(int64(len(rest)), BlockBytes-at)]
		n.data.write(b, at, part)
		n.dirty[b] = true
		rest, off = rest[len(part):], off+int64(len(part))
	}
	return len(p), nil
}

// resize cuts the file or makes it longer by zeros; the blocks that it cuts are dirty.
func (f *memFile) resize(size int64) error {
	n := f.node
	if err := f.m.reserve(size - n.data.size); err != nil {
		return err
	}
	if size < n.data.size {
		for b := size / BlockBytes; b < int64(len(n.data.blocks)); b++ {
			n.dirty[b] = true
		}
	}
	n.data.resize(size)
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
	return f.node.data.size, nil
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
	n.kept.resize(n.data.size)
	for b, writable := range n.dirty {
		if !writable {
			continue
		}
		if b < int64(len(n.data.blocks)) {
			n.kept.blocks[b] = n.data.blocks[b]
		}
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
	if node == nil || bit/8 >= node.data.size {
		return false
	}
	node.data.flip(bit)
	if bit/8 < node.kept.size {
		node.kept.flip(bit)
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
	node.data = contentOf(change(node.data.bytes()))
	node.kept = node.data.clone()
	clear(node.dirty)
	return true
}

// Bytes is a copy of a file's content as a process sees it; nil when there is none.
func (m *Mem) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node := m.names[name]; node != nil {
		return node.data.bytes()
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
		node := &inode{data: n.data.clone(), kept: n.data.clone(), dirty: map[int64]bool{}}
		c.names[name], c.kept[name] = node, node
	}
	for d := range m.dirs {
		c.dirs[d] = true
	}
	return c
}
