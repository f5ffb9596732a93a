package forward

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// closeTopic refuses all writes to some partitions of the test's topic, all where none is named.
func closeTopic(r *rig, partitions ...int32) *kfake.FaultHandle {
	return r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: partitions, Err: kerr.TopicAuthorizationFailed, Count: -1})
}

// parkSome parks n rounds of 32 apps by a topic that is closed, and returns what opens it.
func parkSome(r *rig, n int) *kfake.FaultHandle {
	r.t.Helper()
	closed := closeTopic(r)
	for range n {
		r.append(testTopic, apps(32)...)
	}
	eventually(r.t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 32*n })
	return closed
}

// A topic answers for some partitions and refuses for another: what those took is not sent
// again in the next attempt, what is left goes out in order, and newer entries wait for it.
func TestTopicClosesAgainHalfway(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.forward = func(o *Options) { o.TopicRetryMax = 200 * time.Millisecond }
	r.start()
	closed := parkSome(r, 20)
	half := closeTopic(r, 2)
	closed.Remove()
	eventually(t, "it was tried several times", func() bool { return half.Hits() > 15 })
	for range 5 {
		r.append(testTopic, apps(32)...)
	}
	half.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Two topics are parked, interleaved. One returns and is delivered, the other stays away, over
// restarts: what was delivered is not sent again, what was not is kept.
func TestOneOfTwoParkedTopicsReturns(t *testing.T) {
	r := newRig(t)
	r.start()
	for range 10 {
		r.append(otherTopic, apps(8)...)
		r.append(testTopic, apps(8)...)
	}
	eventually(t, "both are parked", func() bool { return parkedEntries(r, testTopic) == 80 && parkedEntries(r, otherTopic) == 80 })
	if err := r.cluster.CreateTopic(testTopic, 3, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is delivered", func() bool { return parkedEntries(r, testTopic) == 0 })
	for range 2 {
		r.stop()
		r.start()
		if n, m := parkedEntries(r, testTopic), parkedEntries(r, otherTopic); n != 0 || m != 80 {
			t.Errorf("after a restart %d and %d are parked, want 0 and 80", n, m)
		}
		r.append(testTopic, apps(8)...)
	}
	if err := r.cluster.CreateTopic(otherTopic, 3, nil); err != nil {
		t.Fatal(err)
	}
	r.drain()
	for _, topic := range []string{testTopic, otherTopic} {
		if n := r.inOrder(topic, r.fetch(topic)); n > 0 {
			t.Errorf("%s: %d duplicates", topic, n)
		}
	}
}

// Two topics return at the same time and one of them is stuck: the other is not held up.
func TestStuckReturnHoldsUpNobody(t *testing.T) {
	r := newRig(t)
	r.produce = small
	r.start()
	for range 20 {
		r.append(testTopic, apps(8)...)
		r.append(otherTopic, apps(8)...)
	}
	eventually(t, "both are parked", func() bool { return parkedEntries(r, testTopic) == 160 && parkedEntries(r, otherTopic) == 160 })
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.NotEnoughReplicas, Count: -1})
	for _, topic := range []string{testTopic, otherTopic} {
		if err := r.cluster.CreateTopic(topic, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the other topic is through", func() bool { return parkedEntries(r, otherTopic) == 0 })
	if n := parkedEntries(r, testTopic); n != 160 {
		t.Errorf("%d entries of the stuck topic are parked, want 160", n)
	}
	for range 20 {
		r.synced(r.append(testTopic, apps(8)...)) // newer ones: they wait for those
	}
	stuck.Remove()
	r.drain()
	for _, topic := range []string{testTopic, otherTopic} {
		if n := r.inOrder(topic, r.fetch(topic)); n > 0 {
			t.Errorf("%s: %d duplicates", topic, n)
		}
	}
}

// A topic refuses in one partition, and another one's answer is due: what is newer there is not
// parked before it is known what becomes of the older ones.
func TestParkingWaitsForAnswers(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.forward = func(o *Options) { o.TopicRetryMin, o.TopicRetryMax = 2*time.Second, 2*time.Second }
	r.start()
	due := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{1}, Err: kerr.NotEnoughReplicas, Count: -1})
	closed := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	r.synced(r.append(testTopic, apps(16)...))
	zero := inPartition(apps(16), 0, 2)
	eventually(t, "one partition's entries are parked", func() bool { return parkedEntries(r, testTopic) == zero })
	r.synced(r.append(testTopic, apps(16)...))
	eventually(t, "and its newer ones", func() bool { return parkedEntries(r, testTopic) >= 2*zero })
	ticks := time.NewTicker(clock)
	defer ticks.Stop()
	for range 4 {
		<-ticks.C
		if n := parkedEntries(r, testTopic); n > 2*zero && due.Hits() > 0 {
			t.Fatalf("%d entries are parked, the answered partition has %d", n, 2*zero)
		}
	}
	due.Remove()
	closed.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Partitions are added while a topic is parked, and while it returns.
func TestPartitionsAddedToAParkedTopic(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.produce = small
	r.start()
	closed := parkSome(r, 20)
	addPartitions(r, testTopic, 4)
	eventually(t, "the new count is seen", func() bool { return r.producer.Topic(testTopic).Partitions == 4 })
	closed.Remove()
	eventually(t, "it begins to return", func() bool { return watermarks(r, testTopic) > 0 })
	addPartitions(r, testTopic, 7)
	for range 10 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetchByTime(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// A record that is refused on its way out of the parked journal goes to its end, with the
// reason; the others of its topic pass it, and it goes out when it is taken.
func TestRefusedRecordOfAParkedTopic(t *testing.T) {
	r := newRig(t)
	r.forward = func(o *Options) { o.RecordRetry = 200 * time.Millisecond }
	r.start()
	r.append(testTopic, apps(4)...)
	large := r.callback(testTopic, 9)
	large.Body = append(large.Body, make([]byte, 3000)...)
	r.appendCallback(testTopic, large)
	r.append(testTopic, apps(4)...)
	eventually(t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 9 })
	if err := r.cluster.CreateTopic(testTopic, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	refused := r.forwarder.metrics.refused.WithLabelValues(testTopic)
	eventually(t, "it was refused more than once", func() bool { return testutil.ToFloat64(refused) > 2 })
	// On its way to the end of the parked journal it counts twice for a moment.
	eventually(t, "8 are there and 1 parked", func() bool { return watermark(r, testTopic, 0) == 8 && parkedEntries(r, testTopic) == 1 })
	raiseLimit(r, testTopic, "100000")
	r.drain()
	got := r.fetch(testTopic)
	ids := map[string]bool{}
	for _, d := range got {
		ids[d.id] = true
	}
	if len(got) != 9 || len(ids) != 9 {
		t.Errorf("%d records with %d ids, want 9", len(got), len(ids))
	}
}

// Killed while a topic is parked, and while it returns: nothing is lost, order is kept.
func TestKillsWhileParked(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = small
	r.start()
	closed := closeTopic(r)
	for range 4 {
		for range 15 {
			r.synced(r.append(testTopic, apps(32)...))
		}
		eventually(t, "something is parked", func() bool { return parkedEntries(r, testTopic) > 0 })
		r.kill()
		r.start()
	}
	closed.Remove()
	for range 4 {
		r.synced(r.append(testTopic, apps(32)...))
		r.kill()
		r.start()
	}
	r.drain()
	t.Logf("%d duplicates", r.inOrder(testTopic, r.fetch(testTopic)))
}
