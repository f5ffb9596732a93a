package vfs

import "golang.org/x/sys/unix"

// Fdatasync asks for F_FULLFSYNC, which is what os.File.Sync does on darwin: fsync(2)
// alone leaves the data in the drive's cache there.
func (f osFile) Fdatasync() error { return f.Sync() }

// Free is FS.Free.
func (osFS) Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec // no file system has 2^63 bytes
}
