package receive

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// conn is one connection of a client.
//
// # How it ends at Shutdown
//
// fasthttp closes an idle connection from outside, and a request that has arrived and was
// not read yet is then reset, or, when its first byte was just read, taken and never
// answered. So it is not let do that: a connection only gets a deadline for the first byte of
// its next request, and its own goroutine, which alone knows whether there was one, closes
// it. What arrives before is answered, with Connection: close.
//
// One case stays, as HTTP/1.1 has no way for a server to say on an idle connection that it
// takes no more (RFC 9112, 9.5): a request that is still under way when the deadline of a
// connection has passed is reset, unread. It was not taken. Only connections that brought no
// request since Leave can meet it.
type conn struct {
	net.Conn
	all    *connections
	linger atomic.Bool // there may be unread bytes: see lingerTime

	read, write deadline // see deadline.go

	receiver *Receiver
	held     held        // see held.go
	line     requestLine // see framing.go
	share    share       // see waiting.go
	useful   bool        // the last request was answered 200; owned by the connection's goroutine

	mu    sync.Mutex
	idle  bool      // guarded by mu: nothing of the next request was read
	until time.Time // guarded by mu: for its first byte; zero: as fasthttp says
}

// take reads, where there is room for what is read.
func (c *conn) take(p []byte) (int, error) {
	if c.receiver != nil && !c.share.reserve(c, int64(len(p))) {
		return 0, errNoRoom
	}
	if c.receiver != nil && c.share.read > c.receiver.mostBytes {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(p)
	c.share.read += int64(n)
	c.line.arrived(p[:n])
	return n, err
}

// end is called when a request was handled, with what came of it.
func (c *conn) end(result outcome) {
	c.giveBack()
	c.useful = result == outcomeAccepted || result == outcomeDropped || result == outcomeHeld
	if result == outcome(refusedHTTP) {
		c.linger.Store(true) // what follows is not read as a request
	}
}

// giveBack gives back what the request has of waiting.
func (c *conn) giveBack() {
	if c.receiver != nil {
		c.share.giveBack(&c.receiver.waiting)
	}
}

// leave lets the connection bring one more request, whose first byte must be there by until.
func (c *conn) leave(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
	if c.idle {
		c.setReadDeadline(until)
	}
}

// SetReadDeadline sets the deadline, or the one of leave where that is for an idle
// connection and comes earlier, or a shorter one where mustEarnRest says so.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle && c.mustEarnRest() {
		t = t.Add(c.receiver.server.ReadTimeout - c.receiver.server.IdleTimeout)
	}
	if c.idle && !c.until.IsZero() && (t.IsZero() || t.After(c.until)) {
		t = c.until
	}
	return c.read.set(t, c.Conn.SetReadDeadline)
}

// mustEarnRest says that the connection is about to wait for its next request and may only do so
// for as long as a new one for its first: its last request was refused, or connections are scarce.
// Otherwise whoever sends one bad request in two minutes on each keeps all that there are.
func (c *conn) mustEarnRest() bool {
	r := c.receiver
	return r != nil && c.line.used > 0 && r.server.IdleTimeout > r.server.ReadTimeout &&
		(!c.useful || 4*int(r.server.GetOpenConnectionsCount()) > 3*r.maxConnections)
}

// setReadDeadline is for where only a closed connection has an error, which does not matter.
func (c *conn) setReadDeadline(t time.Time) { _ = c.read.set(t, c.Conn.SetReadDeadline) }

// connState follows what fasthttp says of a connection. readTimeout is the time for a whole
// request from its first byte, which leave must not shorten.
func connState(readTimeout time.Duration) func(net.Conn, fasthttp.ConnState) {
	return func(nc net.Conn, state fasthttp.ConnState) {
		c, ok := nc.(*conn)
		if !ok || (state != fasthttp.StateActive && state != fasthttp.StateIdle) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.idle = state == fasthttp.StateIdle
		if !c.idle && !c.until.IsZero() {
			c.setReadDeadline(time.Now().Add(readTimeout))
		}
	}
}

// Close closes the connection; where its request was refused unread, it first says that
// there will be no more and reads on for a bounded while. A held answer goes out before. It is
// called by the connection's own goroutine.
func (c *conn) Close() error {
	defer c.all.remove(c)
	c.giveBack()
	c.settle() // decided, and then fasthttp could not write it
	c.held.turn.Lock()
	defer c.held.turn.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.read.set(time.Now().Add(lingerTime), c.Conn.SetReadDeadline) == nil {
			discard(c.Conn, c.held.raw, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// connections are the open connections of a listener.
type connections struct {
	mu    sync.Mutex
	open  map[*conn]struct{} // guarded by mu
	until time.Time          // guarded by mu: see conn.leave; zero: leave was not called
	gone  chan struct{}      // closed when leave was called and none was open any more
	every time.Duration      // between two sweeps of their deadlines
	kept  chan struct{}      // closed when keep ended
}

// newConnections is told the timeouts that there will be: the shortest decides how exactly
// they are kept.
func newConnections(timeouts ...time.Duration) *connections {
	every := maxSweep
	for _, t := range timeouts {
		every = min(every, max(time.Millisecond, t/sweepsPerTimeout))
	}
	return &connections{open: make(map[*conn]struct{}), gone: make(chan struct{}), every: every, kept: make(chan struct{})}
}

// add makes a conn of c. One that was accepted while the listener was being closed has to
// leave with the others.
func (s *connections) add(c net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &conn{Conn: c, all: s, idle: true, until: s.until}
	s.open[one] = struct{}{}
	return one
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.lookIfGone()
}

// leave has every connection leave, see conn.leave, and returns a channel that is closed
// when none is left. Only the first call sets the time.
func (s *connections) leave(until time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() {
		s.until = until
		for c := range s.open {
			c.leave(until)
		}
		s.lookIfGone()
	}
	return s.gone
}

// lookIfGone closes gone, once. Called with mu held.
func (s *connections) lookIfGone() {
	if s.until.IsZero() || len(s.open) > 0 {
		return
	}
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}
