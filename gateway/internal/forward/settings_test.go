package forward

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/schema"
)

// The topic's limit is lowered under load, below what batches have and below what some callbacks
// have: batches are cut until they fit, the large callbacks alone are kept aside, all others go on
// in order; when the limit is raised again the large ones go out.
func TestLimitLoweredUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = r.counted
	r.forward = func(o *Options) { o.RecordRetry = 300 * time.Millisecond }
	r.start()
	large := apps(40)[39]
	const each = 12
	load := func() {
		for range each {
			r.append(testTopic, apps(39)...)
		}
	}
	load()
	raiseLimit(r, testTopic, "6000")
	const kept = 3
	for range kept {
		load()
		c := r.callback(testTopic, large)
		c.Body = append(c.Body, slices.Repeat([]byte(" "), 8000)...)
		r.appendCallback(testTopic, c)
	}
	rounds := int64(each * (1 + kept))
	eventually(t, "all others are there, the large ones are parked", func() bool {
		return watermarks(r, testTopic) == rounds*39 && parkedEntries(r, testTopic) == kept
	})
	eventually(t, "main is settled", func() bool { s := r.main.Stats(); return s.Settled == s.Appended })
	refused := r.forwarder.metrics.refused.WithLabelValues(testTopic)
	eventually(t, "they are tried again", func() bool { return testutil.ToFloat64(refused) > 2*kept })
	raiseLimit(r, testTopic, "1000000")
	load()
	r.drain()
	got := r.fetch(testTopic)
	i := 0 // the large app's: kept aside, so without an order
	for _, d := range got {
		if d.app != strconv.FormatInt(large, 10) {
			got[i] = d
			i++
		}
	}
	if n := len(got) - i; n != kept {
		t.Errorf("%d large records, want %d", n, kept)
	}
	delete(r.seq, testTopic+strconv.FormatInt(large, 10))
	if n := r.inOrder(testTopic, got[:i]); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// records returns a topic's records as they are.
func (r *rig) records(topic string) (got []*kgo.Record) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for want := watermarks(r, topic); int64(len(got)) < want; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("fetched %d of %d records in 30 s", len(got), want)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

// stamped fails unless all records of the test's topic bear the time at which they were produced,
// between two moments, and the time of receipt that the rig gives to callbacks.
func (r *rig) stamped(from, to time.Time) {
	r.t.Helper()
	for _, record := range r.records(testTopic) {
		if record.Timestamp.Before(from.Truncate(time.Millisecond)) || record.Timestamp.After(to) {
			r.t.Fatalf("a record is stamped %v, it was produced between %v and %v", record.Timestamp, from, to)
		}
		i := slices.IndexFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == schema.HeaderTime })
		if i < 0 || !bytes.HasPrefix(record.Headers[i].Value, []byte("2023-11-14T22:13:20")) {
			r.t.Fatalf("ce_time is not the time of receipt: %v", record.Headers)
		}
	}
}

// The clocks of gateway and brokers are two hours apart, ours ahead, then right. Brokers answer
// "invalid timestamp" meanwhile: everything waits in the journal, somebody is told, nothing is
// parked; then all goes out, in order and once, stamped with the time of producing.
func TestClockTwoHoursAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	// The moment at which the brokers' clock, two hours behind, is set right, in milliseconds. What was on its way then is
	// refused as well, so that what is stamped before it is never accepted.
	var right atomic.Int64
	right.Store(math.MaxInt64)
	r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidTimestamp, Count: -1, When: func(request kmsg.Request) bool {
		var b kmsg.RecordBatch
		if err := b.ReadFrom(request.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); err != nil {
			return false
		}
		// message.timestamp.after.max.ms is an hour.
		return b.FirstTimestamp < right.Load() || time.UnixMilli(b.MaxTimestamp).After(time.Now().Add(time.Hour))
	}})
	r.produce = func(o *producerOptions) { small(o); r.counted(o) }
	r.start()
	for range 40 {
		r.synced(r.append(testTopic, apps(32)...))
	}
	eventually(t, "each lane was refused, and somebody could know", func() bool { return r.retries("timestamp") > 20 })
	if n, m := watermarks(r, testTopic), parkedEntries(r, testTopic); n > 0 || m > 0 {
		t.Errorf("%d records went out, %d are parked", n, m)
	}
	if s := r.main.Stats(); s.Settled > 0 {
		t.Errorf("settled up to %d", s.Settled)
	}
	r.stop() // and it waits over a restart
	r.start()
	for range 10 {
		r.synced(r.append(testTopic, apps(32)...))
	}
	now := time.Now()
	right.Store(now.UnixMilli())
	r.drain()
	r.stamped(now, time.Now())
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Kafka was away for longer than the topic keeps records. What was received before, and waited in
// the journal, is new to Kafka when it comes: retention leaves it alone.
func TestOutageLongerThanRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hour := strconv.FormatInt(time.Hour.Milliseconds(), 10)
	if err := r.cluster.CreateTopic(testTopic, 3, map[string]string{"retention.ms": hour, "message.timestamp.before.max.ms": hour}); err != nil {
		t.Fatal(err)
	}
	away := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.open()
	// The rig's callbacks were received in 2023; what counts is the entry's time, too.
	const rounds = 20
	for range rounds {
		r.append(testTopic, apps(32)...)
	}
	r.run()
	if err := away.Wait(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	away.Remove()
	r.drain()
	r.cluster.ApplyRetention()
	if first := r.cluster.PartitionInfo(testTopic, 0).LogStartOffset; first > 0 {
		t.Errorf("retention took %d records", first)
	}
	r.stamped(began.Add(-time.Minute), time.Now())
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}
