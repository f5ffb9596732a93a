package receive

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// forgotten is where nothing is written: the kernel drops what it says it has put there.
var forgotten [1 << 20]byte

// discard reads from conn and forgets until its end, an error, its read deadline or most bytes.
// Of a TCP connection nothing is copied (tcp(7): MSG_TRUNC), which halves what a body that was
// refused unread costs. raw is conn's own, or nil.
func discard(conn net.Conn, raw syscall.RawConn, most int64) {
	if raw == nil {
		_, _ = io.CopyN(io.Discard, conn, most)
		return
	}
	_ = raw.Read(func(fd uintptr) (done bool) { // fails where the deadline has passed
		for most > 0 {
			n, _, err := unix.Recvfrom(int(fd), forgotten[:min(most, int64(len(forgotten)))], unix.MSG_TRUNC)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false // until more is there
			case err != nil || n == 0:
				return true
			default:
				most -= int64(n)
			}
		}
		return true
	})
}
