package vfs

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// Fdatasync leaves out the times: one journal commit of the file system less when
// the blocks were written before.
func (f osFile) Fdatasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		// EINTR comes before anything was written back, so it is no failed sync.
		if !errors.Is(err, unix.EINTR) {
			runtime.KeepAlive(f)
			return err
		}
	}
}

// Free is FS.Free.
func (osFS) Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil //nolint:gosec // no file system has 2^63 bytes
}
