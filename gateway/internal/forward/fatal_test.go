package forward

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// raw appends bytes to a journal and waits until they are durable.
func raw(t *testing.T, j *journal.Journal, b []byte) {
	t.Helper()
	ticket, err := j.Append(false, func(dst []byte) []byte { return append(dst, b...) })
	if err == nil {
		err = j.Wait(ticket, journal.Disk)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What a later release wrote, or nobody, ends Run and is not passed over: what came before is
// delivered, nothing after it, and the journal keeps it.
func TestEntryThatNobodyCanRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"of a newer release", []byte{99, 1, 2, 3}, entry.ErrVersion},
		{"of nobody", []byte{1, 0}, entry.ErrCorrupt},
		{"empty", nil, entry.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, kfake.SeedTopics(2, testTopic))
			r.start()
			r.append(testTopic, apps(4)...)
			r.drain() // the topic is known: what follows is not left lagging
			r.append(testTopic, apps(4)...)
			raw(t, r.main, tt.payload)
			r.append(testTopic, apps(4)...)
			eventually(t, "Run ends, or passes over it", func() bool { return len(r.ended) > 0 || watermarks(r, testTopic) > 8 })
			if n := watermarks(r, testTopic); n != 8 {
				t.Fatalf("%d records, want the 8 before it", n)
			}
			err := <-r.ended
			r.ended <- nil // for the rig's stop
			if !errors.Is(err, tt.want) {
				t.Errorf("Run ended with %v, want %v", err, tt.want)
			}
			if s := r.main.Stats(); s.Settled > 8 {
				t.Errorf("settled up to %d, beyond what was read", s.Settled)
			}
			if err := r.forwarder.Drain(t.Context()); !errors.Is(err, ErrStopped) {
				t.Errorf("Drain: %v", err)
			}
		})
	}
}

// The same in the parked journal is found before anything is forwarded.
func TestParkedEntryThatNobodyCanRead(t *testing.T) {
	good := envelope{kind: kindTopic, id: schema.CallbackID{Journal: 1, LSN: 1}}
	for _, tt := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"too short", []byte{1}, ErrEnvelope},
		{"of a newer release", append([]byte{9}, make([]byte, 30)...), ErrEnvelope},
		{"of no kind", append([]byte{1, 7}, make([]byte, 30)...), ErrEnvelope},
		{"with an entry of nobody", good.append(nil, []byte{1}), entry.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.start() // for a producer
			raw(t, r.parked, tt.payload)
			f, err := New(Options{Journal: r.main, Parked: r.parked, Producer: r.producer})
			if f != nil || !errors.Is(err, tt.want) {
				t.Errorf("New: %v, want %v", err, tt.want)
			}
		})
	}
}

// A checkpoint of another make is no reason to stop: at worst something goes out again.
func TestCursorsOfAnotherMake(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(8)...)
	r.drain()
	r.halt()
	r.cancel = nil
	r.main.Checkpoint(r.main.Stats().Settled, []journal.Cursor{{Lane: "what is this", LSN: 3}, {Lane: "t/-1/0", LSN: 9}, {Lane: "t/1/0/0", LSN: 1 << 40}})
	r.stop()
	r.start()
	r.append(testTopic, apps(8)...)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// The metrics have the names that the documents give them, and say what happened.
func TestMetrics(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(5)...)
	r.append(otherTopic, apps(3)...)
	eventually(t, "the topics are delivered and parked", func() bool {
		return watermarks(r, testTopic) == 5 && parkedEntries(r, otherTopic) == 3
	})
	eventually(t, "the metrics say so", func() bool {
		return testutil.CollectAndCompare(r.forwarder.metrics.delivered, strings.NewReader(`
# HELP tidegate_gateway_delivered_total Entries that Kafka has taken (acks=all).
# TYPE tidegate_gateway_delivered_total counter
tidegate_gateway_delivered_total{topic="im.alarms.raw"} 5
tidegate_gateway_delivered_total{topic="im.callbacks.raw"} 0
`)) == nil
	})
	names := map[string]bool{}
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		names[family.GetName()] = true
		if family.GetName() == "tidegate_gateway_delivery_seconds" && family.Metric[0].Histogram.GetSampleCount() != 5 {
			t.Errorf("%d deliveries were timed, want 5", family.Metric[0].Histogram.GetSampleCount())
		}
		if family.GetName() == "tidegate_gateway_kafka_up" && family.Metric[0].Gauge.GetValue() != 1 {
			t.Error("kafka_up is 0 after deliveries")
		}
	}
	for _, name := range []string{"parked_entries", "delivered_total", "delivery_seconds", "kafka_up"} {
		if !names["tidegate_gateway_"+name] {
			t.Errorf("there is no tidegate_gateway_%s", name)
		}
	}
}

// While Kafka is away the forwarder holds two batches of each lane and no more, however much
// the journal takes.
func TestMemoryIsBoundedWhileAway(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small
	away := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.start()
	for range 300 {
		r.append(testTopic, apps(64)...)
	}
	if err := away.Wait(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	r.halt() // the state is ours to look at now
	r.cancel = nil
	for _, l := range r.forwarder.topics[testTopic].lanes {
		if n := l.window.len(); n == 0 || n > 20 {
			t.Errorf("partition %d holds %d entries, want up to two batches of 10", l.partition, n)
		}
		if !l.lagging {
			t.Errorf("partition %d does not lag", l.partition)
		}
	}
}

// Letters reach the loop in the order in which each lane sent them, with their tags.
func TestMailbox(t *testing.T) {
	b := mailbox{wake: make(chan struct{}, 1)}
	o := &outlet{box: &b}
	for round := range 3 {
		tags := []uint64{uint64(round), 7}
		o.Settled(produce.Settlement{Tags: tags, Outcome: produce.TopicRefused, Code: 3})
		tags[0], tags[1] = 99, 99 // the lane uses its slice again
		o.Room(nil)
		<-b.wake
		m := b.take()
		if len(m.letters) != 2 || m.letters[0].code != 3 || m.letters[1].from != m.letters[1].to {
			t.Fatalf("round %d: letters %+v", round, m.letters)
		}
		if got := m.tags[m.letters[0].from:m.letters[0].to]; len(got) != 2 || got[0] != uint64(round) || got[1] != 7 {
			t.Errorf("round %d: tags %v", round, got)
		}
		if again := b.take(); len(again.letters) != 0 {
			t.Errorf("round %d: %d letters came twice", round, len(again.letters))
		}
	}
}
