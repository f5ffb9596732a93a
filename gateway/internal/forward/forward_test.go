package forward

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

func TestDeliversInOrder(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(12, testTopic))
	r.start()
	for range 100 {
		r.append(testTopic, apps(64)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	eventually(t, "the checkpoint says that all is settled", func() bool {
		s := r.main.Stats()
		return s.Settled == s.Appended
	})
}

// Kafka is away and comes back: nothing is lost, nothing comes twice, no key's order suffers.
func TestBrokerAwayAndBack(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(12, testTopic))
	r.start()
	r.append(testTopic, apps(64)...)
	away := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	for range 150 {
		r.append(testTopic, apps(64)...)
	}
	if err := away.Wait(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	away.Remove()
	for range 10 {
		r.append(testTopic, apps(64)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Answers that are lost (timed out after they were applied) make no duplicates.
func TestLostAnswers(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 25})
	r.start()
	for range 50 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// One partition is stuck for long: the others' entries go out meanwhile, its own afterwards.
func TestOneStuckPartitionHoldsUpNobody(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{2}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.start()
	const rounds = 200
	for range rounds {
		r.append(testTopic, apps(64)...)
	}
	eventually(t, "the other partitions have all of theirs", func() bool {
		return watermarks(r, testTopic)-watermark(r, testTopic, 2) == rounds*int64(64-inPartition(apps(64), 2, 4))
	})
	if n := watermark(r, testTopic, 2); n != 0 {
		t.Fatalf("the stuck partition has %d records", n)
	}
	if s := r.main.Stats(); s.Settled >= s.Synced {
		t.Errorf("settled up to %d with a partition stuck", s.Settled)
	}
	stuck.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// small makes batches small, so that lanes fill and lag often.
func small(o *producerOptions) { o.MaxBatchRecords = 10 }

// Lanes that lag at different places are served by passes, in order, without duplicates.
func TestCatchUp(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(6, testTopic))
	r.produce = small
	faults := []*kfake.FaultHandle{}
	for p := range int32(6) {
		faults = append(faults, r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{p}, Err: kerr.NotLeaderForPartition, Count: -1}))
	}
	r.start()
	for i := range 120 {
		r.synced(r.append(testTopic, apps(64)...))
		if i%20 == 10 {
			faults[i/20].Remove()
		}
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// What waits at level broker hears of its own entry.
func TestWaitersHear(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.ackDeadline = time.Minute
	r.start()
	if err := r.main.Wait(r.append(testTopic, 7), journal.Broker); err != nil {
		t.Errorf("delivered entry: %v", err)
	}
	eventually(t, "the entry of a missing topic is parked", func() bool {
		return errors.Is(r.main.Wait(r.append("missing", 7), journal.Broker), journal.ErrParked)
	})
}

func TestDrainEnds(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.forward = func(o *Options) { o.StopTimeout = 50 * time.Millisecond }
	r.start()
	r.synced(r.append(testTopic, 7))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.forwarder.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("drain with an ended context: %v", err)
	}
	done := make(chan error, 1)
	f := r.forwarder
	go func() { done <- f.Drain(context.Background()) }()
	eventually(t, "drain waits", func() bool {
		f.drainMu.Lock()
		defer f.drainMu.Unlock()
		return len(f.drains) > 0
	})
	r.stop()
	if err := <-done; !errors.Is(err, ErrStopped) {
		t.Errorf("drain of a stopped forwarder: %v", err)
	}
	if err := f.Drain(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("drain after the end: %v", err)
	}
}

// Partitions are added under load: each key's records keep their order over both partitions.
func TestPartitionsAdded(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = small
	r.start()
	for i := range 120 {
		r.synced(r.append(testTopic, apps(32)...))
		if i == 40 {
			addPartitions(r, testTopic, 8)
		}
		if i == 80 {
			eventually(t, "the new count is in use", func() bool { return r.producer.Topic(testTopic).Partitions == 8 })
		}
	}
	r.drain()
	got := r.fetchByTime(testTopic)
	if n := r.inOrder(testTopic, got); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	late := 0
	for _, d := range got {
		if d.partition >= 3 {
			late++
		}
	}
	if late == 0 {
		t.Error("nothing went to the new partitions")
	}
}

// Partitions are added while answers are due: what is newer waits, because its key may have
// another partition now, where it would overtake.
func TestPartitionsAddedWhileAnswersAreDue(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.start()
	due := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0, 1, 2}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.synced(r.append(testTopic, apps(32)...))
	if err := due.Wait(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	addPartitions(r, testTopic, 8)
	eventually(t, "the new count is seen", func() bool { return r.producer.Topic(testTopic).Partitions == 8 })
	r.synced(r.append(testTopic, apps(32)...))
	ticks := time.NewTicker(clock)
	defer ticks.Stop()
	for range 4 {
		<-ticks.C
		if n := watermarks(r, testTopic); n > 0 {
			t.Fatalf("%d records went to new partitions before the older ones were answered", n)
		}
	}
	due.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetchByTime(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Partitions are added while one lane lags: what the others delivered of the entries that are
// gone through again for it is not sent again.
func TestPartitionsAddedWhileALaneLags(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = small
	due := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.start()
	const rounds = 40
	for range rounds {
		r.synced(r.append(testTopic, apps(32)...))
	}
	others := rounds * int64(32-inPartition(apps(32), 0, 3))
	eventually(t, "the other partitions have theirs", func() bool { return watermarks(r, testTopic) == others })
	addPartitions(r, testTopic, 7)
	eventually(t, "the new count is seen", func() bool { return r.producer.Topic(testTopic).Partitions == 7 })
	due.Remove()
	r.synced(r.append(testTopic, apps(32)...))
	r.drain()
	if n := r.inOrder(testTopic, r.fetchByTime(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}
