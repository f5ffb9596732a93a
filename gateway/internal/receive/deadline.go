package receive

import (
	"sync"
	"sync/atomic"
	"time"
)

// Deadlines of connections. fasthttp sets three for every request, and each takes the
// connection's lock in Go's poller and moves a timer, although hardly any ever passes. Here
// setting one is a store; a sweep looks a few times within the shortest timeout which have
// passed, and only those reach the poller. So a deadline is kept late by up to one sweep.

// sweepsPerTimeout is how often the sweep comes within the shortest timeout.
const sweepsPerTimeout = 8

// maxSweep bounds the distance of two sweeps.
const maxSweep = 250 * time.Millisecond

// epoch is the zero of the deadlines' clock, which does not jump.
var epoch = time.Now()

// deadline is one deadline of a connection, for reading or for writing.
type deadline struct {
	at    atomic.Int64 // nanoseconds since epoch; 0: none
	fired atomic.Bool  // the poller was told that it has passed
	mu    sync.Mutex   // held while the poller is told
}

// set notes a deadline. tell tells the poller; it is called only where the last one passed.
//
// at is stored before fired is looked at, and expire does it the other way round: one of the
// two sees the other, so that a deadline which was moved in time never fires.
func (d *deadline) set(t time.Time, tell func(time.Time) error) error {
	at := int64(0)
	if !t.IsZero() {
		at = max(1, int64(t.Sub(epoch)))
	}
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

// expire tells the poller when the deadline has passed. It is called by the sweep.
func (d *deadline) expire(now int64, tell func(time.Time) error) {
	if at := d.at.Load(); at == 0 || at > now || d.fired.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fired.Store(true)
	if at := d.at.Load(); at == 0 || at > now {
		d.fired.Store(false) // it was moved meanwhile
		return
	}
	_ = tell(time.Unix(1, 0)) // fails for a connection that is closed
}

// SetWriteDeadline is net.Conn's, kept as said above.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.write.set(t, c.Conn.SetWriteDeadline) }

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
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

// sweep looks at every connection once and returns how many there are.
func (s *connections) sweep() int {
	now := int64(time.Since(epoch))
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.read.expire(now, c.Conn.SetReadDeadline)
		c.write.expire(now, c.Conn.SetWriteDeadline)
	}
	return len(s.open)
}
