package forward

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

const otherTopic = "im.callbacks.raw"

// parkedEntries returns the parked_entries metric of a topic.
func parkedEntries(r *rig, topic string) int {
	return int(testutil.ToFloat64(r.forwarder.metrics.parked.WithLabelValues(topic)))
}

// A topic is missing: its entries are parked, others are not held up; when somebody makes the
// topic they go out, in order, before newer ones, under their own ids.
func TestMissingTopicIsParked(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.start()
	for range 20 {
		r.append(otherTopic, apps(16)...)
		r.append(testTopic, apps(16)...)
	}
	eventually(t, "all of the missing topic's entries are parked", func() bool { return parkedEntries(r, otherTopic) == 320 })
	eventually(t, "parked entries count as settled", func() bool { s := r.main.Stats(); return s.Settled == s.Appended })
	if n := watermarks(r, testTopic); n != 320 {
		t.Errorf("the other topic has %d records, want 320", n)
	}
	last := r.append(otherTopic, apps(16)...)
	if err := r.cluster.CreateTopic(otherTopic, 4, nil); err != nil {
		t.Fatal(err)
	}
	r.synced(last)
	for range 20 {
		r.append(otherTopic, apps(16)...)
	}
	r.drain()
	got := r.fetch(otherTopic)
	if n := r.inOrder(otherTopic, got); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	if n := parkedEntries(r, otherTopic); n != 0 {
		t.Errorf("%d entries count as parked at the end", n)
	}
	ids := map[string]bool{}
	for _, d := range got {
		ids[d.id] = true
	}
	if len(ids) != len(got) {
		t.Errorf("%d ids for %d records", len(ids), len(got))
	}
	r.inOrder(testTopic, r.fetch(testTopic))
}

// An entry counts as settled once it is synced in the parked journal, not when it was appended
// there: a power cut would leave it in neither.
func TestParkedCountsOnceItIsSynced(t *testing.T) {
	r := newRig(t)
	syncs := make(chan struct{}) // closed: they go on
	var once sync.Once
	release := func() { once.Do(func() { close(syncs) }) }
	t.Cleanup(release)
	r.parkedFS = vfs.NewFaulty(r.disk, func(op vfs.Op) vfs.Fault {
		// The batch's own: a handle keeps the name under which it was opened.
		if op.Kind == vfs.KindSync && strings.HasSuffix(op.Name, ".spare") {
			<-syncs
		}
		return vfs.Fault{}
	})
	r.start()
	last := r.append(testTopic, apps(16)...)
	r.synced(last)
	eventually(t, "all is appended to the parked journal", func() bool { return parkedEntries(r, testTopic) == 16 })
	ticks := time.NewTicker(clock)
	defer ticks.Stop()
	for range 4 { // turns of the loop's clock
		<-ticks.C
		if m, p := r.main.Stats(), r.parked.Stats(); m.Settled > 0 || p.Synced > 0 {
			t.Fatalf("settled up to %d, synced in the parked journal up to %d", m.Settled, p.Synced)
		}
	}
	release()
	eventually(t, "all is settled", func() bool { return r.main.Stats().Settled == last.LSN })
}

// A restart in between finds what is parked and keeps it before what is newer.
func TestParkedSurvivesRestart(t *testing.T) {
	r := newRig(t)
	r.start()
	for range 10 {
		r.append(testTopic, apps(16)...)
	}
	eventually(t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 160 })
	r.stop()
	r.open()
	for range 10 {
		r.append(testTopic, apps(16)...) // before the forwarder runs
	}
	r.run()
	if n := parkedEntries(r, testTopic); n != 160 {
		t.Errorf("%d entries are parked after the restart, want 160", n)
	}
	if err := r.cluster.CreateTopic(testTopic, 3, nil); err != nil {
		t.Fatal(err)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	r.stop()
	r.start()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates after another restart", n)
	}
}

// We may not write to a topic although the layout shows it: it is parked; attempts go on at
// growing distances until we may.
func TestClosedTopicIsParkedAndTried(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = small
	closed := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	r.start()
	for range 30 {
		r.append(testTopic, apps(16)...)
	}
	eventually(t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 480 })
	hits := closed.Hits()
	eventually(t, "it is tried again", func() bool { return closed.Hits() > hits+10 })
	closed.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// A topic closes while records are in flight and lanes lag: what was delivered is not parked,
// what is parked goes out in order.
func TestTopicClosesUnderLoad(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(5, testTopic))
	r.produce = small
	r.start()
	for i := range 100 {
		r.synced(r.append(testTopic, apps(32)...))
		if i == 30 {
			closed := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1})
			t.Cleanup(closed.Remove)
			eventually(t, "something is parked", func() bool {
				r.synced(r.append(testTopic, apps(32)...))
				return parkedEntries(r, testTopic) > 0
			})
			closed.Remove()
		}
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// fillParked takes large callbacks of the test's topic until receive is told to refuse it.
func (r *rig) fillParked() {
	r.t.Helper()
	eventually(r.t, "receive is told to refuse the topic", func() bool {
		c := r.callback(testTopic, 5)
		c.Body = append(c.Body, slices.Repeat([]byte(" "), 20_000)...)
		r.synced(r.appendCallback(testTopic, c))
		return r.forwarder.TopicRefused(testTopic)
	})
}

// The parked journal is full: receive is told, nothing is lost, and it ends by itself.
func TestParkedFull(t *testing.T) {
	r := newRig(t)
	r.parkedBytes = journal.MinBytes(256<<10 + EnvelopeBytes)
	r.start()
	r.fillParked()
	if r.forwarder.TopicRefused(otherTopic) {
		t.Error("another topic is refused too")
	}
	if err := r.cluster.CreateTopic(testTopic, 2, nil); err != nil {
		t.Fatal(err)
	}
	r.drainSpaced(testTopic)
	if r.forwarder.TopicRefused(testTopic) {
		t.Error("the topic is refused after all is delivered")
	}
}

// As long as the parked journal is full and its topic not open again, receive is told so: also
// while the topic is tried again, and from the first moment after a restart. What it took
// meanwhile would be parked on top, and once the reserve is used up too, it would stand in the
// main journal, which can free nothing behind it, until that is full for all topics.
func TestParkedFullIsToldWithoutGaps(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.parkedBytes = 12 << 20 // three segments
	r.forward = func(o *Options) { o.TopicRetryMax = 100 * time.Millisecond }
	closed := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	r.start()
	r.fillParked()
	told := func(while string, times int) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for last := closed.Hits() + times; closed.Hits() < last; {
			if !r.forwarder.TopicRefused(testTopic) {
				t.Fatalf("%s, receive may take callbacks of the topic", while)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the topic is not tried", while)
			}
		}
	}
	told("while the topic is tried again", 3)
	r.stop()
	r.start()
	told("after a restart", 3)
	closed.Remove()
	r.drainSpaced(testTopic)
	eventually(t, "receive is told that there is room", func() bool { return !r.forwarder.TopicRefused(testTopic) })
}

// drainSpaced drains, and counts records whose bodies are padded with spaces.
func (r *rig) drainSpaced(topic string) {
	r.t.Helper()
	r.drain()
	if n, want := watermarks(r, topic), int64(r.seq[topic+"5"]); n != want {
		r.t.Errorf("%d records, want %d", n, want)
	}
}

// Kafka refuses one record for what it is: it is parked with its reason, the others go on; it
// goes out when the topic's limit permits.
func TestRefusedRecord(t *testing.T) {
	r := newRig(t)
	r.ackDeadline = time.Minute
	if err := r.cluster.CreateTopic(testTopic, 1, map[string]string{"max.message.bytes": "4000"}); err != nil {
		t.Fatal(err)
	}
	r.forward = func(o *Options) { o.RecordRetry = 300 * time.Millisecond }
	r.start()
	r.append(testTopic, apps(8)...)
	large := r.callback(testTopic, 5)
	large.Body = append(large.Body, slices.Repeat([]byte(" "), 5000)...)
	ticket := r.appendCallback(testTopic, large)
	r.append(testTopic, apps(8)...)
	if err := r.main.Wait(ticket, journal.Broker); err != journal.ErrParked { //nolint:errorlint // the very error
		t.Errorf("the waiter of the refused record: %v", err)
	}
	eventually(t, "the others are there, the record is parked", func() bool {
		return watermark(r, testTopic, 0) == 16 && parkedEntries(r, testTopic) == 1
	})
	eventually(t, "main is settled", func() bool { s := r.main.Stats(); return s.Settled == s.Appended })
	refused := r.forwarder.metrics.refused.WithLabelValues(testTopic)
	eventually(t, "it is tried again", func() bool { return testutil.ToFloat64(refused) >= 3 })
	r.stop()
	r.start()
	if n := parkedEntries(r, testTopic); n != 1 {
		t.Errorf("%d entries are parked after a restart, want 1", n)
	}
	raiseLimit(r, testTopic, "100000")
	r.drain()
	if n := watermark(r, testTopic, 0); n != 17 {
		t.Errorf("%d records in the end, want 17", n)
	}
}
