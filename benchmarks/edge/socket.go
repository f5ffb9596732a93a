//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// socket is one connection of a client. Owned by the client's loop.
type socket struct {
	fd      int
	source  netip.Addr
	request []byte
	due     time.Time // when the request was due; of a closed loop, when it was sent
	freed   time.Time // on schedule: when the last answer came
	busy    bool      // an answer is awaited
	ended   bool      // the answer was the last: the server's close is awaited
	unsent  []byte    // of the request
	in      []byte    // of an answer that is not yet whole
}

// connectFrom begins to connect source to server, without waiting.
func connectFrom(source netip.Addr, server netip.AddrPort) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("client: socket: %w", err)
	}
	// The port is chosen at connect, when the other end is known: more are free then.
	err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}))
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())})
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, fmt.Errorf("client: connect to %s: %w", server, err)
	}
	return fd, nil
}

// edges are what is watched of a connection: what it takes, what has come, and its end, each once.
const edges = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// dial gives k a new connection; what is sent before it is there goes out when it is.
func (c *client) dial(k *socket) (err error) {
	if k.fd, err = connectFrom(k.source, c.server); err != nil {
		return err
	}
	k.in, k.ended = k.in[:0], false
	c.sockets[int32(k.fd)] = k //nolint:gosec // a descriptor
	return c.poll.Watch(k.fd, edges)
}

// redial replaces the connection of k.
func (c *client) redial(k *socket) error {
	delete(c.sockets, int32(k.fd)) //nolint:gosec // a descriptor
	unix.Close(k.fd)
	return c.dial(k)
}

// send sends the request of k, which was due at due.
func (c *client) send(k *socket, due time.Time) {
	k.due, k.busy, k.unsent = due, true, k.request
	k.flush()
}

// flush writes what the socket takes. What goes wrong shows when it is read.
func (k *socket) flush() {
	for len(k.unsent) > 0 {
		n, err := unix.Write(k.fd, k.unsent)
		if err != nil || n <= 0 {
			return
		}
		k.unsent = k.unsent[n:]
	}
}

// handle does what events on k allow.
func (c *client) handle(k *socket, events uint32) error {
	if events&unix.EPOLLOUT != 0 && k.busy {
		k.flush()
	}
	const gone = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&(unix.EPOLLIN|gone) == 0 {
		return nil
	}
	for fd := k.fd; fd == k.fd; {
		n, err := unix.Read(k.fd, c.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil || n == 0:
			return c.over(k)
		}
		if err := c.take(k, c.buffer[:n]); err != nil {
			return err
		}
		if n < len(c.buffer) && events&gone == 0 {
			return nil
		}
	}
	return nil
}

// over is the end of the connection of k: the one that was announced, one between two
// requests, which any server may have, or one that an answer was still awaited on.
func (c *client) over(k *socket) error {
	wasBusy, ended := k.busy, k.ended
	if err := c.redial(k); err != nil {
		return err
	}
	if ended {
		return c.proceed(k, time.Now())
	}
	if wasBusy {
		if (drive.Span{From: c.From, To: c.To.Add(drive.Patience)}).Has(time.Now()) {
			c.seen.cut++
		}
		return c.proceed(k, time.Now())
	}
	return nil
}

// take takes bytes of an answer, and goes on where it is whole.
func (c *client) take(k *socket, bytes []byte) error {
	if len(k.in) > 0 {
		k.in = append(k.in, bytes...)
		bytes = k.in
	}
	a, whole, err := parseAnswer(bytes)
	if err != nil {
		return err
	}
	if !whole {
		if len(k.in) == 0 {
			k.in = append(k.in, bytes...)
		}
		return nil
	}
	now := time.Now()
	k.in, k.busy = k.in[:0], false
	c.note(k, a, now)
	switch {
	case a.last:
		k.ended = true
		return nil
	case c.once:
		if err := c.redial(k); err != nil {
			return err
		}
	}
	return c.proceed(k, now)
}

// proceed sends the next request on k, or has it wait for the schedule.
func (c *client) proceed(k *socket, now time.Time) error {
	k.busy = false
	if c.rate == 0 {
		c.send(k, now)
		return nil
	}
	k.freed = now
	c.free = append(c.free, k)
	return nil
}
