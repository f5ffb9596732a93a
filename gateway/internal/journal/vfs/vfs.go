// Package vfs is the seam between the journal and the file system: the few operations
// that the journal needs, and three implementations of them.
//
//   - OS is the real one.
//   - Mem lives in memory and forgets at a power loss what was not synced: single 4 KiB
//     blocks, file lengths and directory entries, each at random.
//   - Faulty wraps one of the two and fails, shortens, stalls or cuts the power at the
//     operation that a test chooses.
//
// The interface says nothing of file modes, seek positions or buffering, because the
// journal uses none: every read and write names its offset. Names are full paths.
// Files are made with mode 0600 and directories with 0700.
package vfs

import "io"

// BlockBytes is the unit that a device is taken to write whole or not at all. The
// journal never puts two things that were synced at different times into one block.
const BlockBytes = 4096

// FS is a file system. All methods may be called from any goroutine. Errors are
// those of package os: errors.Is with fs.ErrNotExist, fs.ErrExist and the errno
// values (syscall.ENOSPC, EDQUOT, EROFS) works on every implementation.
type FS interface {
	// MkdirAll makes dir and its missing parents. The entries are durable after
	// SyncDir of each parent.
	MkdirAll(dir string) error
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Create makes a new, empty file for reading and writing, fs.ErrExist when there
	// is one. Its name is durable after SyncDir.
	Create(name string) (File, error)
	// Rename gives a file another name, replacing what had it, in one step: whoever
	// looks sees the old or the new file. Durable after SyncDir.
	Rename(from, to string) error
	// Remove takes a name away. Durable after SyncDir.
	Remove(name string) error
	// SyncDir returns nil when every earlier change of names in dir is durable.
	SyncDir(dir string) error
	// ReadDir returns the names in dir, sorted; fs.ErrNotExist when there is none.
	ReadDir(dir string) ([]string, error)
	// Lock takes the exclusive lock of a file, made when missing, until Close. It does
	// not wait: ErrLocked when another process, or another caller here, has it. The
	// end of the process releases it.
	Lock(name string) (io.Closer, error)
	// Free is the space that an unprivileged process may still fill, in bytes.
	Free(dir string) (int64, error)
}

// File is an open file. ReadAt and WriteAt may be called from many goroutines.
type File interface {
	// ReadAt is io.ReaderAt: fewer bytes than asked for come with an error, io.EOF at
	// the end of the file.
	io.ReaderAt
	// WriteAt is io.WriterAt. What it wrote is durable after the next Fdatasync or
	// Sync that returned nil, and until then may survive in any part.
	io.WriterAt
	// Truncate sets the length. Durable after Sync.
	Truncate(size int64) error
	// Size is the length in bytes.
	Size() (int64, error)
	// Fdatasync makes the content and the length durable, but not times and modes.
	// After an error nothing is known about any byte written since the last nil, and
	// no later call can tell: the caller gives up the file (Linux marks pages clean
	// whose write-back failed).
	Fdatasync() error
	// Sync is Fdatasync and all other metadata.
	Sync() error
	// Close releases the handle. It syncs nothing.
	Close() error
}
