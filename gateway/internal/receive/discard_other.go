//go:build !linux

package receive

import (
	"io"
	"net"

	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// discard reads from conn and forgets until its end, an error, its read deadline or most bytes.
func discard(conn net.Conn, _ *socket.Conn, most int64) {
	_, _ = io.CopyN(io.Discard, conn, most)
}
