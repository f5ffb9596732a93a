package group

import (
	"context"
	"net"
	"sync"
	"time"
)

// cutAfter is how long the library may take to end a membership by itself. A rebalance in
// which another member does not answer, as after a kill -9, holds a join for half a
// minute, and the library waits for that before it closes.
const cutAfter = 3 * time.Second

// connections keeps the library's connections of one membership, so that what waits on
// them can be ended. Safe for any number of goroutines.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{} // guarded by mu
}

// dial is kafka.Dialer's DialFunc; TLS and SASL come on top of it.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	k := &keptConn{Conn: conn, owner: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[net.Conn]struct{})
	}
	c.open[k] = struct{}{}
	return k, nil
}

// cut closes every connection that is open now. New ones can still be made: leaving the
// group needs one.
func (c *connections) cut() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Close()
	}
}

// keptConn forgets itself when it is closed.
type keptConn struct {
	net.Conn
	owner *connections
}

// Close closes the connection.
func (k *keptConn) Close() error {
	k.owner.mu.Lock()
	delete(k.owner.open, k)
	k.owner.mu.Unlock()
	return k.Conn.Close()
}
