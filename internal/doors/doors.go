// Package doors has the listeners of a fake Kafka cluster whose nodes come and go: a node that
// is removed takes its connections with it, as kfake's do not. Only tests import it.
package doors

import (
	"net"
	"sync"
)

// Doors are the listeners of one cluster. The zero value has none. All methods may be called
// from any goroutine.
type Doors struct {
	mu   sync.Mutex
	open map[string][]net.Conn // guarded by mu: what was accepted, by the node's address
}

// Listen is net.Listen, for kfake.ListenFn; Shut reaches what the listener accepts.
func (d *Doors) Listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &door{l, d}, nil
}

// Shut ends all connections to a node, which was removed before: those that it accepts later
// stay.
func (d *Doors) Shut(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open[address] {
		_ = conn.Close() // or it was closed before
	}
	delete(d.open, address)
}

// door is the listener of one node.
type door struct {
	net.Listener
	doors *Doors
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.doors.mu.Lock()
	defer d.doors.mu.Unlock()
	if d.doors.open == nil {
		d.doors.open = map[string][]net.Conn{}
	}
	at := d.Addr().String()
	d.doors.open[at] = append(d.doors.open[at], conn)
	return conn, nil
}
