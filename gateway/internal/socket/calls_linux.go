//go:build !race

package socket

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// read is recv(2) of a socket that does not block, of which the scheduler is not told. read(2) does
// the same by way of the file system: a call that finds nothing takes a third longer.
func read(fd int, p []byte) (int, syscall.Errno) { return call(unix.SYS_RECVFROM, fd, p, 0) }

// write is send(2) in the same way. A broken pipe is an error and no signal.
func write(fd int, p []byte) (int, syscall.Errno) {
	return call(unix.SYS_SENDTO, fd, p, unix.MSG_NOSIGNAL)
}

// ended says whether the end of the stream is what a read would find.
func ended(fd int) bool {
	var p [1]byte
	n, errno := call(unix.SYS_RECVFROM, fd, p[:], unix.MSG_PEEK)
	return n == 0 && errno == 0
}

func call(trap uintptr, fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}
