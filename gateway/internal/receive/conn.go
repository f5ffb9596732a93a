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
	// What every request needs stands first and together: with hundreds of connections each line of
	// memory is one that the processor waits for.
	net.Conn
	all      *connections
	receiver *Receiver
	share    share                   // see waiting.go
	line     requestLine             // see framing.go
	useful   bool                    // the last request was answered 200; owned by the connection's goroutine
	ended    bool                    // nothing may follow the last answer; owned by it, too
	linger   atomic.Bool             // there may be unread bytes: see lingerTime
	read     deadline                // see deadline.go; idleBit in it: fasthttp has nothing of the next request
	until    atomic.Int64            // deadline of its first byte where that comes before timeouts.idle; noDeadline: none
	piece    []byte                  // what was read for fasthttp, while it may be a plain request; see plain.go
	plain    func(n int) (more bool) // servePlain, made once
	direct   bool                    // Conn is held.socket: nothing stands between
	held     held                    // see held.go
	write    deadline
	probed   probed // owned by the sweep
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
	c.came(p[:n])
	return n, err
}

// came notes what fasthttp gets.
func (c *conn) came(p []byte) {
	c.share.read += int64(len(p))
	c.line.arrived(p)
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

// leave lets the connection bring one more request, whose first byte must be there by until, or by its
// own deadline where that comes first.
//
// until is stored before the connection is seen to rest, and rests does it the other way round: one
// of the two sees the other.
func (c *conn) leave(until int64) {
	c.until.Store(until)
	at := c.read.at.Load()
	if at&idleBit == 0 {
		return
	}
	if old := at &^ idleBit; old == noDeadline || old > until {
		c.read.at.CompareAndSwap(at, until|idleBit) // else its request has begun, or rests has seen until
	}
}

// connState follows what fasthttp says of a connection, in the goroutine of that.
func connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	switch {
	case !ok:
	case state == fasthttp.StateActive:
		c.starts()
	case state == fasthttp.StateIdle:
		c.rests()
	}
}

// starts is called when the first byte of a request was read. The time of a connection's first
// request runs already, unless leave has shortened that.
func (c *conn) starts() {
	if c.line.used == 0 {
		at := c.read.at.Load() // before until: what leave makes of it afterwards is seen
		if c.until.Load() == noDeadline && c.read.at.CompareAndSwap(at, at&^idleBit) {
			return
		}
	}
	c.setReadDeadline(c.all.in(c.all.timeouts.read))
}

// rests is called when the connection begins to wait for its next request, and when it is new.
func (c *conn) rests() {
	wait := c.all.timeouts.idle
	if c.line.used == 0 || c.mustEarnRest() {
		wait = c.all.timeouts.read
	}
	at := c.all.in(wait)
	c.setReadDeadline(at | idleBit)
	if until := c.until.Load(); until != noDeadline && (at == noDeadline || at > until) {
		c.setReadDeadline(until | idleBit)
	}
}

// mustEarnRest says that the connection is about to wait for its next request and may only do so
// for as long as a new one for its first: its last request was refused, or connections are scarce.
// Otherwise whoever sends one bad request in two minutes on each keeps all that there are.
func (c *conn) mustEarnRest() bool {
	r := c.receiver
	return r != nil && c.all.timeouts.idle > c.all.timeouts.read &&
		(!c.useful || 4*int(r.server.GetOpenConnectionsCount()) > 3*r.maxConnections)
}

// setReadDeadline is for where only a closed connection has an error, which does not matter.
func (c *conn) setReadDeadline(at int64) { _ = c.read.set(at, c.Conn.SetReadDeadline) }

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
		if half.CloseWrite() == nil && c.read.set(c.all.in(lingerTime), c.Conn.SetReadDeadline) == nil {
			discard(c.Conn, c.held.socket, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// connections are the open connections of a listener.
type connections struct {
	timeouts timeouts
	every    time.Duration // between two sweeps of their deadlines
	time     atomic.Int64  // of the sweeps, see deadline.go

	mu    sync.Mutex
	open  map[*conn]struct{} // guarded by mu
	until int64              // guarded by mu: see conn.leave; noDeadline: leave was not called
	swept time.Duration      // guarded by mu: when the last sweep was, since epoch
	gone  chan struct{}      // closed when leave was called and none was open any more
	kept  chan struct{}      // closed when keep ended
}

// newConnections is told the timeouts: the shortest decides how exactly they are kept.
func newConnections(t timeouts) *connections {
	every := maxSweep
	for _, d := range []time.Duration{t.read, t.idle, t.write} {
		if d > 0 {
			every = min(every, max(time.Millisecond, d/sweepsPerTimeout))
		}
	}
	return &connections{
		timeouts: t, every: every, swept: time.Since(epoch),
		open: make(map[*conn]struct{}), gone: make(chan struct{}), kept: make(chan struct{}),
	}
}

// add makes a conn of c, for r; nil: nobody's. One that was accepted while the listener was being
// closed has to leave with the others.
func (s *connections) add(c net.Conn, r *Receiver) *conn {
	one := &conn{Conn: c, all: s}
	if r != nil {
		one.prepare(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one.until.Store(s.until)
	one.rests()
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
func (s *connections) leave(within time.Duration) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == noDeadline {
		s.until = s.in(within)
		for c := range s.open {
			c.leave(s.until)
		}
		s.lookIfGone()
	}
	return s.gone
}

// lookIfGone closes gone, once. Called with mu held.
func (s *connections) lookIfGone() {
	if s.until == noDeadline || len(s.open) > 0 {
		return
	}
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}
