//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// connection is one keep-alive socket. Owned by the driver's loop.
type connection struct {
	fd      int
	request []byte
	due     time.Time // when the request was due: closed loop, when it was sent
	freed   time.Time // open loop: when the last answer came
	unsent  []byte    // rest of a request that the socket did not take at once
	waits   bool      // for room to send it
	secure  *secure   // nil: plain
	answer  []byte    // bytes of an answer that is not yet whole
}

// connect opens a connection, over TLS where there is a config, which is negotiated here.
func (d *driver) connect(address string, request []byte, config *tls.Config) error {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return fmt.Errorf("driver: connect: %w", err)
	}
	c := &connection{request: request}
	if config != nil {
		if c.secure, err = negotiate(raw, config); err != nil {
			raw.Close()
			return err
		}
	}
	// The descriptor is taken out of Go's own poller: dup, then close the original.
	file, err := raw.(*net.TCPConn).File()
	if err != nil {
		return fmt.Errorf("driver: descriptor: %w", err)
	}
	raw.Close()
	fd, err := unix.Dup(int(file.Fd()))
	file.Close()
	if err != nil {
		return fmt.Errorf("driver: dup: %w", err)
	}
	c.fd = fd
	d.conns[int32(fd)] = c
	if c.secure != nil {
		c.secure.fd = fd
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("driver: non-blocking: %w", err)
	}
	if err := d.poll.Watch(fd, unix.EPOLLIN); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	return nil
}

// handle does what events on c allow: send the rest of a request, read an answer, and,
// when that is whole, go on.
func (d *driver) handle(c *connection, events uint32) error {
	if events&unix.EPOLLOUT != 0 && len(c.unsent) > 0 {
		if err := d.flush(c); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	n, err := c.read(d.buffer)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return fmt.Errorf("driver: read: %w", err)
	case n == 0:
		return errors.New("driver: the server closed a connection")
	}
	answer := d.buffer[:n]
	if len(c.answer) > 0 {
		c.answer = append(c.answer, answer...)
		answer = c.answer
	}
	verdict, err := judge(answer)
	if err != nil {
		return err
	}
	if verdict == partial {
		if len(c.answer) == 0 {
			c.answer = append(c.answer, answer...)
		}
		return nil
	}
	c.answer = c.answer[:0]
	now := time.Now()
	d.note(c, verdict, answer, now)
	if d.open == nil {
		return d.send(c, now)
	}
	c.freed = now
	d.open.free = append(d.open.free, c)
	return d.sendDue(now)
}

// send sends the request of c, which was due at due.
func (d *driver) send(c *connection, due time.Time) error {
	c.due, c.unsent = due, c.request
	if c.secure != nil {
		var err error
		if c.unsent, err = c.secure.seal(c.request); err != nil {
			return err
		}
	}
	return d.flush(c)
}

// read reads what has come, EAGAIN where nothing has.
func (c *connection) read(p []byte) (int, error) {
	if c.secure != nil {
		return c.secure.read(p)
	}
	return unix.Read(c.fd, p)
}

// flush writes what is left of the request, and waits for room where there is none.
func (d *driver) flush(c *connection) error {
	n, err := unix.Write(c.fd, c.unsent)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("driver: write: %w", err)
	}
	c.unsent = c.unsent[max(n, 0):]
	waited, events := c.waits, uint32(unix.EPOLLIN)
	if c.waits = len(c.unsent) > 0; c.waits {
		events |= unix.EPOLLOUT
	} else if !waited {
		return nil
	}
	if err := d.poll.Change(c.fd, events); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	return nil
}
