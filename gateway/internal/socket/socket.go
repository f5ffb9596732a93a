// Package socket reads and writes TCP connections by system calls that Go's scheduler is not told of.
//
// Telling it is for calls that may block, so that another thread can have the processor
// meanwhile. On a socket that never blocks it only costs; and where threads compete for processors,
// as they do on a busy machine, a thread that is put aside in the middle of such a call has its
// processor taken away, and everything else of the request waits until it has one again. With
// 256 connections on two processors that is a seventh of what a request costs.
//
// Waiting is Go's poller's, as everywhere, and so are deadlines and Close. The price: who stops the
// world waits for a call that is under way, which copies at most what was given to it.
//
// Elsewhere than on Linux a Conn is what it is made of.
package socket

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn is a TCP connection. Read and ReadEach together are for one goroutine at a time; so are Write and
// TryWrite; all else is net's.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn

	in, out transfer

	// Made once: a closure for each call would be an allocation for each.
	read, write, readEach func(fd uintptr) (done bool)

	// Of the ReadEach under way.
	each  func(n int) (more bool)
	into  []byte
	first bool // the piece at hand is the first: after it the socket is asked once more

	// TryWrite and EndWait do without the poller: they need none of its waiting, only that the number is
	// still this connection's.
	mu     sync.Mutex
	fd     int  // the file's number; guarded by mu
	closed bool // it may be another file's by now; guarded by mu
}

// transfer is a read or a write under way.
type transfer struct {
	p   []byte // what is left of it
	n   int    // bytes so far
	err error  // of the system call
}

// Of returns tcp as a Conn, which owns it from here on. It fails where tcp was closed.
func Of(tcp *net.TCPConn) (*Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("socket of %s: %w", tcp.RemoteAddr(), err)
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.read = func(fd uintptr) bool { return c.in.step(fd, "read", read) }
	c.write = func(fd uintptr) bool {
		for c.out.step(fd, "write", write) {
			if len(c.out.p) == 0 || c.out.err != nil {
				return true
			}
		}
		return false
	}
	c.readEach = func(fd uintptr) bool {
		for {
			if !c.in.step(fd, "read", read) {
				return false
			}
			n := c.in.n
			if n == 0 || c.in.err != nil || !c.each(n) {
				return true
			}
			c.in = transfer{p: c.into}
			if !c.first && n < len(c.into) {
				return false // that was all there was: whatever comes now the poller tells of
			}
			c.first = false
		}
	}
	if err := raw.Control(func(fd uintptr) { c.fd = int(fd) }); err != nil {
		return nil, fmt.Errorf("socket of %s: %w", tcp.RemoteAddr(), err)
	}
	return c, nil
}

// Read is net.Conn's.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in = transfer{p: p}
	n, err := c.in.end(c.raw.Read(c.read))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// ReadEach reads into p, calls each with the number of bytes, and reads again, from the start of p, for
// as long as each returns true. It returns what each did not want more after, or what ended it, as Read
// does. What came is in p until each returns; each may use the connection for all but reading and Close,
// which would wait for ReadEach.
//
// A Read for each piece would ask the socket twice: once to find nothing, before it waits, and once more.
// Here the poller is armed all the time, and a read that did not fill p has taken all there was, so that
// it waits at once. What it misses so is the end of a stream that came together with its last bytes: after
// the first bytes it looks for that, and after others it is for EndWait to. (A byte sent out of band stops a
// read, too. What comes behind that waits for what comes next.)
func (c *Conn) ReadEach(p []byte, each func(n int) (more bool)) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in, c.into, c.each, c.first = transfer{p: p}, p, each, true
	n, err := c.in.end(c.raw.Read(c.readEach))
	c.into, c.each = nil, nil
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write is net.Conn's.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.out = transfer{p: p}
	return c.out.end(c.raw.Write(c.write))
}

// TryWrite writes what of p the kernel takes at once, and does not wait; no deadline matters to it. It
// fails where the connection was closed here, with net.ErrClosed; what the other end did to it, the next
// Write finds.
func (c *Conn) TryWrite(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	for len(p) > 0 { // else nothing is to be written
		taken, errno := write(c.fd, p)
		switch errno {
		case 0:
			return taken, nil
		case syscall.EINTR:
		default:
			return 0, nil
		}
	}
	return 0, nil
}

// EndWait ends the wait of a ReadEach for bytes where the end of the stream is all that will come: it returns
// io.EOF then. It may be called by any goroutine at any time, and asks the socket once.
func (c *Conn) EndWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && ended(c.fd) {
		_ = syscall.Shutdown(c.fd, syscall.SHUT_RD) // which the poller tells of
	}
}

// Close is net.Conn's. A TryWrite or EndWait that is under way ends first, which does not take long.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.TCPConn.Close()
}

// step does one system call, which reads into p or writes it. It returns false where the socket is
// not ready.
func (t *transfer) step(fd uintptr, name string, call func(fd int, p []byte) (int, syscall.Errno)) (done bool) {
	for {
		n, errno := call(int(fd), t.p)
		switch errno {
		case 0:
			t.n, t.p = t.n+n, t.p[n:]
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.err = os.NewSyscallError(name, errno)
			return true
		}
	}
}

// end returns what came of the transfer, and forgets it. err is the poller's.
func (t *transfer) end(err error) (int, error) {
	n := t.n
	if err == nil {
		err = t.err
	}
	*t = transfer{}
	return n, err
}
