package receive

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// forgotten is where nothing is written: the kernel drops what it says it has put there.
var forgotten [1 << 20]byte

// discard reads from conn and forgets until its end, an error, its read deadline or most bytes.
// Of a TCP connection nothing is copied (tcp(7): MSG_TRUNC), which halves what a body that was
// refused unread costs. tcp is what conn reads as it is, or nil.
func discard(conn net.Conn, tcp *socket.Conn, most int64) {
	if tcp == nil {
		_, _ = io.CopyN(io.Discard, conn, most)
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it was closed
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
