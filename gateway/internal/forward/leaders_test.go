package forward

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// view is the layout as the only broker of a test tells it: real brokers answer from copies of
// their own, some of them older than others.
type view struct {
	mu         sync.Mutex
	partitions int32          // of the test's topic; 0: as it is
	leaderless map[int32]bool // partitions that have no leader
}

// show lets the broker tell the layout as v has it.
func (r *rig) show(v *view) {
	r.t.Helper()
	host, text, err := net.SplitHostPort(r.cluster.ListenAddrs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		asked := request.(*kmsg.MetadataRequest).Topics
		if len(asked) != 1 || asked[0].Topic == nil || *asked[0].Topic != testTopic {
			return nil, nil, false
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.partitions == 0 {
			return nil, nil, false
		}
		answer := request.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = 0, host, int32(port)
		answer.Brokers = append(answer.Brokers, broker)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = asked[0].Topic
		for p := range v.partitions {
			partition := kmsg.NewMetadataResponseTopicPartition()
			partition.Partition = p
			if v.leaderless[p] {
				partition.ErrorCode, partition.Leader = kerr.LeaderNotAvailable.Code, -1
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
}

// set changes the view and waits until the producer has it, where the count is another one.
func (v *view) set(r *rig, partitions int32, leaderless ...int32) {
	r.t.Helper()
	v.mu.Lock()
	v.partitions, v.leaderless = partitions, map[int32]bool{}
	for _, p := range leaderless {
		v.leaderless[p] = true
	}
	v.mu.Unlock()
	if r.life != nil {
		eventually(r.t, "the producer sees the count", func() bool { return r.producer.Topic(testTopic).Partitions == partitions })
	}
}

// counted registers the producer's metrics with the rig's.
func (r *rig) counted(o *producerOptions) { o.Metrics, o.MetricsPrefix = r.metrics, "test" }

// retries returns how many attempts were followed by another one because of answers of a class.
func (r *rig) retries(class string) (n float64) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "test_produce_retries_total" {
			continue
		}
		for _, m := range family.Metric {
			if m.Label[0].GetValue() == class {
				n += m.Counter.GetValue()
			}
		}
	}
	return n
}

// Leaders move from node to node under load, all of them and again and again: brokers answer "not
// the leader", and nothing is lost, nothing comes twice, no key's order suffers.
func TestLeadersMoveUnderLoad(t *testing.T) {
	t.Parallel()
	const partitions, nodes = 12, 3
	r := newRig(t, kfake.NumBrokers(nodes), kfake.SeedTopics(partitions, testTopic))
	r.produce = func(o *producerOptions) { small(o); r.counted(o) }
	r.start()
	// How many answers a move provokes is by chance: a layout that is read right after one spares them.
	for move := 0; move < 4 || move < 50 && r.retries("leader") < 4; move++ {
		for range 15 {
			r.synced(r.append(testTopic, apps(64)...))
		}
		for p := range int32(partitions) {
			if err := r.cluster.MoveTopicPartition(testTopic, p, (r.cluster.LeaderFor(testTopic, p)+1)%nodes); err != nil {
				t.Fatal(err)
			}
		}
		before := watermarks(r, testTopic)
		for range 15 {
			r.synced(r.append(testTopic, apps(64)...))
		}
		eventually(t, "the new leaders take records", func() bool { return watermarks(r, testTopic) >= before+64*10 })
	}
	if n := r.retries("leader"); n < 4 {
		t.Errorf("%v answers were of brokers that are not the leader: the test shows nothing", n)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	if n := parkedEntries(r, testTopic); n > 0 {
		t.Errorf("%d entries are parked", n)
	}
}

// One partition has no leader for long, over a stop and a kill, while callbacks of all apps go on
// coming. The others' entries go out, their cursors reach the disk, and nothing grows but the
// journal; what they had is not sent again after the restarts, and in the end everything is there.
func TestLeaderlessPartitionForLong(t *testing.T) {
	t.Parallel()
	const partitions, stuck, rounds = 4, 2, 40
	r := newRig(t, kfake.SeedTopics(partitions, testTopic))
	layout := &view{}
	r.show(layout)
	layout.set(r, partitions, stuck)
	r.produce = small
	r.forward = func(o *Options) { o.StopTimeout = 100 * time.Millisecond }
	r.start()
	others := int64(64 - inPartition(apps(64), stuck, partitions))
	for i, end := range []func(){r.stop, r.kill} {
		for range rounds {
			r.synced(r.append(testTopic, apps(64)...))
		}
		eventually(t, "the other partitions have all of theirs", func() bool { return watermarks(r, testTopic) == int64(i+1)*rounds*others })
		tail := r.main.Stats().Appended
		r.othersAreAt(tail, stuck)
		<-time.After(300 * time.Millisecond) // the journal writes the checkpoint every 100 ms and does not say when
		end()
		r.start()
		settled, cursors := r.main.Restored()
		if settled >= 64 {
			t.Errorf("life %d: settled up to %d although the first entries of the partition without a leader are due", i, settled)
		}
		furthest := map[string]journal.LSN{} // what a former life had stands beside what this one has
		for _, c := range cursors {
			furthest[c.Lane] = max(furthest[c.Lane], c.LSN)
		}
		for p := range int32(partitions) {
			if at, found := furthest[cursorName(testTopic, partitions, p)]; found == (p == stuck) || found && at != tail {
				t.Errorf("life %d: the checkpoint has partition %d at %d, the tail is %d", i, p, at, tail)
			}
		}
	}
	for range rounds {
		r.synced(r.append(testTopic, apps(64)...))
	}
	eventually(t, "the other partitions have all of theirs", func() bool { return watermarks(r, testTopic) == 3*rounds*others })
	r.othersAreAt(r.main.Stats().Appended, stuck)
	layout.set(r, partitions)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	if n := parkedEntries(r, testTopic); n > 0 {
		t.Errorf("%d entries are parked", n)
	}
}

// othersAreAt waits until all lanes of the test's topic but one are settled up to tail, and fails
// when the forwarder holds more for that one than two batches.
func (r *rig) othersAreAt(tail journal.LSN, stuck int32) {
	r.t.Helper()
	const batches = 2 * 10 // of small
	eventually(r.t, "the others' cursors are at the tail", func() bool {
		at := true
		r.look(func(f *Forwarder) {
			for _, l := range f.topics[testTopic].lanes {
				if l.partition != stuck {
					at = at && f.cursorOf(l) == tail
					continue
				}
				if l.window.len() > batches || cap(l.window.items) > 2*batches || !l.lagging {
					r.t.Errorf("the stuck lane holds %d entries in room for %d, lagging %v", l.window.len(), cap(l.window.items), l.lagging)
				}
			}
			if n := cap(f.mailbox.out.tags); n > 64*batches {
				r.t.Errorf("the mailbox has room for %d tags", n)
			}
		})
		return at
	})
}

// look runs in the forwarder's loop, between two of its turns.
func (r *rig) look(at func(*Forwarder)) {
	r.t.Helper()
	if err := r.forwarder.do(r.t.Context(), func() { at(r.forwarder) }); err != nil {
		r.t.Fatal(err)
	}
}
