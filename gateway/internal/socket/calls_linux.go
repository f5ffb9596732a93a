//go:build !race

package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// read is read(2) of a socket that does not block, of which the scheduler is not told.
func read(fd int, p []byte) (int, syscall.Errno) { return call(unix.SYS_READ, fd, p) }

// write is write(2) in the same way. A broken pipe is an error and no signal: Go sees to that.
func write(fd int, p []byte) (int, syscall.Errno) { return call(unix.SYS_WRITE, fd, p) }

func call(trap uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}
