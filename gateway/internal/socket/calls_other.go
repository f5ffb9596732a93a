//go:build !linux || race

package socket

import (
	"errors"
	"syscall"
)

// The race detector takes what is written to a socket and read from another one for an order of
// events, as tests do, but only where the syscall package does both.

func read(fd int, p []byte) (int, syscall.Errno)  { return call(syscall.Read, fd, p) }
func write(fd int, p []byte) (int, syscall.Errno) { return call(syscall.Write, fd, p) }

func ended(fd int) bool {
	n, _, err := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK)
	return n == 0 && err == nil
}

func call(do func(fd int, p []byte) (int, error), fd int, p []byte) (int, syscall.Errno) {
	n, err := do(fd, p)
	if err == nil {
		return n, 0
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		errno = syscall.EIO
	}
	return 0, errno
}
