package receive

import (
	"sync"
	"sync/atomic"
	"time"
)

// Deadlines of connections. fasthttp would set four for every request, each of which asks for the
// time, takes the connection's lock in Go's poller and moves a timer, although hardly any ever
// passes. So it knows of no timeouts: connections keep them, setting one is a store, and a sweep
// looks a few times within the shortest timeout which have passed; only those reach the poller.
//
// The time is the sweep's too: no clock is asked. It stands still between two sweeps, and goes
// on by two sweeps at most where one is late, as the clients of a process that did not run shall
// not pay for that. So a deadline never passes early, and by up to two sweeps late.

// sweepsPerTimeout is how often the sweep comes within the shortest timeout.
const sweepsPerTimeout = 8

// maxSweep bounds the distance of two sweeps.
const maxSweep = 250 * time.Millisecond

// timeouts are how long a connection may take for what it does; 0: for ever.
type timeouts struct {
	read  time.Duration // for a whole request: on a new connection from its start, else from its first byte
	idle  time.Duration // from the end of a request to the first byte of the next
	write time.Duration // for each piece of an answer that is written
}

// noDeadline and passed are deadlines that never pass, and that have. idleBit is no part of a
// deadline: in one for reading it says that fasthttp waits for a request's first byte, so that
// the two change at once. It stays while a plain request is answered: whatever becomes of the deadline
// meanwhile, rests sets it anew.
const (
	noDeadline = 0
	idleBit    = 1
	passed     = 2
)

// epoch is the zero of the sweeps' clock, which does not jump.
var epoch = time.Now()

// in returns the deadline that passes when d is over; 0: none.
func (s *connections) in(d time.Duration) int64 {
	if d <= 0 {
		return noDeadline
	}
	return (s.time.Load() + int64(d+s.every)) &^ idleBit
}

// at returns the deadline that passes at t; the zero time: none.
func (s *connections) at(t time.Time) int64 {
	if t.IsZero() {
		return noDeadline
	}
	if d := time.Until(t); d > 0 {
		return s.in(d)
	}
	return passed
}

// deadline is one deadline of a connection, for reading or for writing.
type deadline struct {
	at    atomic.Int64 // nanoseconds of connections.time, and idleBit
	fired atomic.Bool  // the poller was told that it has passed
	mu    sync.Mutex   // held while the poller is told
}

// set notes a deadline. tell tells the poller; it is called only where the last one passed.
//
// at is stored before fired is looked at, and expire does it the other way round: one of the
// two sees the other, so that a deadline which was moved in time never fires.
func (d *deadline) set(at int64, tell func(time.Time) error) error {
	d.at.Store(at)
	if !d.fired.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := tell(time.Time{}); err != nil {
		return err
	}
	d.fired.Store(false)
	return nil
}

// over says whether the deadline has passed.
func (d *deadline) over(now int64) bool {
	at := d.at.Load() &^ idleBit
	return at != noDeadline && at <= now
}

// expire tells the poller when the deadline has passed. It is called by the sweep.
func (d *deadline) expire(now int64, tell func(time.Time) error) {
	if !d.over(now) || d.fired.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fired.Store(true)
	if !d.over(now) {
		d.fired.Store(false) // it was moved meanwhile
		return
	}
	_ = tell(time.Unix(1, 0)) // fails for a connection that is closed
}

// SetReadDeadline is net.Conn's, kept as said above, until the connection's own next one.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.read.set(c.all.at(t)|c.read.at.Load()&idleBit, c.Conn.SetReadDeadline)
}

// SetWriteDeadline is SetReadDeadline for writing.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.write.set(c.all.at(t), c.Conn.SetWriteDeadline)
}

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// writeInTime writes p to the client, who gets timeouts.write to take what it does not take at once.
func (c *conn) writeInTime(p []byte) (int, error) {
	taken := 0
	if s := c.held.socket; s != nil {
		// What becomes of the connection the write below finds.
		if taken, _ = s.TryWrite(p); taken == len(p) {
			return taken, nil
		}
	}
	if err := c.write.set(c.all.in(c.all.timeouts.write), c.Conn.SetWriteDeadline); err != nil {
		return taken, err
	}
	n, err := c.Conn.Write(p[taken:])
	c.write.at.Store(noDeadline) // where it has fired, the next set takes that back
	return taken + n, err
}

// keep keeps the deadlines of all connections until stop is closed and none is left.
func (s *connections) keep(stop <-chan struct{}) {
	defer close(s.kept)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for range tick.C {
		if s.sweep() > 0 {
			continue
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// probe looks, once in each rest that has lasted from one sweep to the next, whether the client has ended its side
// together with its last request, see socket.ReadEach; where a rest may last for ever one cannot be told from the
// next, and it looks at each sweep. It is called by the sweep.
func (c *conn) probe() {
	at := c.read.at.Load()
	if at != c.probed.at {
		c.probed = probed{at: at}
		return
	}
	if at&idleBit != 0 && c.direct && (!c.probed.done || at == noDeadline|idleBit) {
		c.held.socket.EndWait()
		c.probed.done = true
	}
}

// probed is what the sweep has seen of a connection.
type probed struct {
	at   int64 // its read deadline at the last sweep
	done bool  // and the connection was probed since that was set
}

// sweep looks at every connection once and returns how many there are.
func (s *connections) sweep() int {
	elapsed := time.Since(epoch)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.time.Add(int64(min(elapsed-s.swept, 2*s.every)))
	s.swept = elapsed
	for c := range s.open {
		c.read.expire(now, c.Conn.SetReadDeadline)
		c.probe()
		c.write.expire(now, c.Conn.SetWriteDeadline)
	}
	return len(s.open)
}
