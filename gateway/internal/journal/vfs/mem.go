package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Mem is a file system in memory that knows what was synced. Cut ends a process together
// with all that it could still do. After it Restart is a power loss, which gives back what
// a disk would: all that was synced and a random subset of the rest; and Revive is a
// kill -9, which loses nothing that was written. The zero value is not usable; see NewMem.
//
// The model is harsher than a journaling file system: changes of names that were not
// followed by SyncDir survive each on its own, in any combination; so do the 4 KiB
// blocks of a file and its length. After a failed sync the blocks stay readable but no
// later sync makes them durable, as on Linux.
type Mem struct {
	mu       sync.Mutex
	down     bool
	life     int               // handles of another life answer ErrPowerLost
	names    map[string]*inode // what a process sees
	kept     map[string]*inode // what survives for certain
	pending  []rename          // changes of names since the last SyncDir, in order
	dirs     map[string]bool
	locks    map[string]int
	capacity int64 // 0: unlimited
}

// inode is a file, under Mem.mu.
type inode struct {
	data  content        // what a process reads
	kept  content        // what survives for certain
	dirty map[int64]bool // blocks changed since the last sync; false: lost to a failed sync
}

// rename is one change of names: from goes (when not empty), to becomes node (when not nil).
type rename struct {
	from, to string
	node     *inode
}

// NewMem returns an empty file system that holds the directory "/".
func NewMem() *Mem {
	return &Mem{names: map[string]*inode{}, kept: map[string]*inode{}, dirs: map[string]bool{"/": true}, locks: map[string]int{}}
}

// SetCapacity limits the bytes of all files together; growing beyond it is ENOSPC.
// Zero is no limit.
func (m *Mem) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// Used is the length of all files together.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

func (m *Mem) used() int64 {
	var n int64
	for _, i := range m.names {
		n += i.data.size
	}
	return n
}

// Cut takes the power away: every operation fails with ErrPowerLost until Restart or
// Revive, and those of handles from before it for ever. What belonged to the process must
// have ended by then: a dead one that could still make files would repair what the
// crash left.
func (m *Mem) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
}

// Revive makes of the Cut before it a kill -9: handles and locks are gone, and everything
// written is still there because the page cache survives the process. What was not synced
// stays unsynced.
func (m *Mem) Revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begin()
}

// begin starts another life, under mu.
func (m *Mem) begin() {
	m.down, m.life = false, m.life+1
	clear(m.locks)
}

// Restart gives the power back. What was synced is there; of the rest r chooses, the same
// for the same r.
func (m *Mem) Restart(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pending {
		if r.IntN(2) == 0 {
			p.apply(m.kept)
		}
	}
	m.pending = nil
	m.names = maps.Clone(m.kept)
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		m.names[name].lose(r)
	}
	m.begin()
}

func (p rename) apply(names map[string]*inode) {
	if p.from != "" {
		delete(names, p.from)
	}
	if p.node != nil {
		names[p.to] = p.node
	}
}

func (p rename) within(dir string) bool {
	return p.from != "" && filepath.Dir(p.from) == dir || p.to != "" && filepath.Dir(p.to) == dir
}

// lose makes the file what a disk has of it: the kept content with some of the dirty
// blocks, and the new length when one of them needs it or by chance.
func (i *inode) lose(r *rand.Rand) {
	after := i.kept.clone()
	for _, b := range slices.Sorted(maps.Keys(i.dirty)) {
		lo := b * BlockBytes
		if r.IntN(2) == 0 || lo >= i.data.size {
			continue
		}
		after.resize(max(after.size, min(lo+BlockBytes, i.data.size)))
		after.blocks[b] = i.data.blocks[b]
	}
	if i.data.size < after.size && r.IntN(2) == 0 {
		after.resize(i.data.size)
	}
	i.data, i.kept, i.dirty = after, after.clone(), map[int64]bool{}
}

// change runs f on the names after the usual checks, and remembers p for SyncDir.
func (m *Mem) change(p rename) {
	p.apply(m.names)
	m.pending = append(m.pending, p)
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// MkdirAll is FS.MkdirAll; directories are durable at once.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return ErrPowerLost
	}
	for d := filepath.Clean(dir); !m.dirs[d]; d = filepath.Dir(d) {
		m.dirs[d] = true
	}
	return nil
}

// Open is FS.Open.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenWrite is FS.OpenWrite.
func (m *Mem) OpenWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, write bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, ErrPowerLost
	}
	node := m.names[filepath.Clean(name)]
	if node == nil {
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	return &memFile{m: m, node: node, life: m.life, write: write}, nil
}

// Create is FS.Create.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	switch {
	case m.down:
		return nil, ErrPowerLost
	case m.names[name] != nil:
		return nil, pathError("create", name, fs.ErrExist)
	case !m.dirs[filepath.Dir(name)]:
		return nil, pathError("create", name, fs.ErrNotExist)
	}
	node := &inode{dirty: map[int64]bool{}}
	m.change(rename{to: name, node: node})
	return &memFile{m: m, node: node, life: m.life, write: true}, nil
}

// Rename is FS.Rename.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	if m.down {
		return ErrPowerLost
	}
	node := m.names[from]
	if node == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	m.change(rename{from: from, to: to, node: node})
	return nil
}

// Remove is FS.Remove.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.down {
		return ErrPowerLost
	}
	if m.names[name] == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	m.change(rename{from: name})
	return nil
}

// SyncDir is FS.SyncDir.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return ErrPowerLost
	}
	dir = filepath.Clean(dir)
	rest := m.pending[:0]
	for _, p := range m.pending {
		if p.within(dir) {
			p.apply(m.kept)
		} else {
			rest = append(rest, p)
		}
	}
	m.pending = rest
	return nil
}

// ReadDir is FS.ReadDir.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	switch {
	case m.down:
		return nil, ErrPowerLost
	case !m.dirs[dir]:
		return nil, pathError("readdir", dir, fs.ErrNotExist)
	}
	var names []string
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	for d := range m.dirs {
		if d != "/" && filepath.Dir(d) == dir {
			names = append(names, filepath.Base(d))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Lock is FS.Lock.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if m.down {
		return nil, ErrPowerLost
	}
	if _, held := m.locks[name]; held {
		return nil, ErrLocked
	}
	if m.names[name] == nil {
		m.change(rename{to: name, node: &inode{dirty: map[int64]bool{}}})
	}
	m.locks[name] = m.life
	return &memLock{m, name, m.life}, nil
}

type memLock struct {
	m    *Mem
	name string
	life int
}

// Close releases the lock, unless it ended with an earlier life.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if life, held := l.m.locks[l.name]; held && life == l.life {
		delete(l.m.locks, l.name)
	}
	return nil
}

// Free is FS.Free; 1 GiB when there is no capacity set.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.down:
		return 0, ErrPowerLost
	case m.capacity == 0:
		return 1 << 30, nil
	}
	return max(0, m.capacity-m.used()), nil
}

// reserve answers ENOSPC when the files may not grow by n bytes.
func (m *Mem) reserve(n int64) error {
	if n > 0 && m.capacity > 0 && m.used()+n > m.capacity {
		return fmt.Errorf("grow by %d bytes: %w", n, syscall.ENOSPC)
	}
	return nil
}
