package forward

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// doors are the listeners of a cluster. A node that goes takes its connections with it, as
// kfake's do not.
type doors struct {
	mu   sync.Mutex
	open map[string][]net.Conn // by the node's address
}

func (d *doors) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return &door{l, d}, err
}

type door struct {
	net.Listener
	doors *doors
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.doors.mu.Lock()
	defer d.doors.mu.Unlock()
	at := d.Addr().String()
	d.doors.open[at] = append(d.doors.open[at], conn)
	return conn, nil
}

// shut ends all connections to a node.
func (d *doors) shut(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open[address] {
		conn.Close()
	}
}

// All nodes of the cluster are replaced under load, one after another, by nodes with other
// addresses, until nobody is left whom the gateway was told of; then it restarts with a new list.
// Nothing is lost, nothing comes twice, no key's order suffers, and delivery goes on throughout.
func TestAllNodesAreReplaced(t *testing.T) {
	t.Parallel()
	d := &doors{open: map[string][]net.Conn{}}
	r := newRig(t, kfake.NumBrokers(2), kfake.ListenFn(d.listen), kfake.SeedTopics(6, testTopic))
	nodes := r.cluster.ListenAddrs() // by number
	r.produce = small
	r.start()
	load := func() {
		t.Helper()
		before := watermarks(r, testTopic)
		for range 20 {
			r.synced(r.append(testTopic, apps(48)...))
		}
		// Not all of them: two batches of each lane may wait for a leader that has gone.
		eventually(t, "delivery goes on", func() bool { return watermarks(r, testTopic) >= before+20*48-6*20 })
	}
	for gone := range int32(4) { // in the end even those that came first
		load()
		_, port, err := r.cluster.AddNode(-1, 0) // and the leaders are elected anew
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, fmt.Sprint("127.0.0.1:", port))
		eventually(t, "the new node is known", func() bool { return slices.Contains(r.conn.Brokers(), nodes[gone+2]) })
		load()
		if err := r.cluster.RemoveNode(gone); err != nil {
			t.Fatal(err)
		}
		d.shut(nodes[gone])
	}
	load()
	r.stop()
	r.start() // with the cluster's present addresses
	load()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}
