package forward

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/internal/doors"
)

// All nodes of the cluster are replaced under load, one after another, by nodes with other
// addresses, until nobody is left whom the gateway was told of; then it restarts with a new list.
// Nothing is lost, nothing comes twice, no key's order suffers, and delivery goes on throughout.
func TestAllNodesAreReplaced(t *testing.T) {
	t.Parallel()
	d := new(doors.Doors)
	r := newRig(t, kfake.NumBrokers(2), kfake.ListenFn(d.Listen), kfake.SeedTopics(6, testTopic))
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
		d.Shut(nodes[gone])
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
