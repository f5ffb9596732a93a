package produce

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// wrongClock is a machine's clock that somebody sets.
type wrongClock struct{ off atomic.Int64 }

func (w *wrongClock) set(off time.Duration) { w.off.Store(int64(off)) }

func (w *wrongClock) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

// strictAboutTime answers 32 to what is stamped more than an hour ahead, as brokers do with
// message.timestamp.after.max.ms.
func strictAboutTime(_ int, req *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(req.Topics[0].Partitions[0].Records); err != nil {
		panic(err)
	}
	if time.UnixMilli(b.MaxTimestamp).After(time.Now().Add(time.Hour)) {
		return refusal(kerr.InvalidTimestamp)
	}
	return nil
}

// Our clock is two hours ahead, which brokers refuse: the records wait, somebody is told, no
// record is given up; once the clock is right they go out in order, each with the time at which it
// was taken.
func TestClockAhead(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	w := tap(c, strictAboutTime)
	var clock wrongClock
	clock.set(2 * time.Hour)
	core, logs := observer.New(zap.ErrorLevel)
	p := producer(t, c, func(o *Options) { o.now, o.Log, o.MaxBatchRecords = clock.now, zap.New(core), 4 })
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	fill(t, l, 0, 4)
	eventually(t, "it was tried again and again", func() bool { return testutil.ToFloat64(p.metrics.retries[classTimestamp]) >= 4 })
	fill(t, l, 4, 4)
	if n := len(o.settled); n > 0 {
		t.Errorf("settled: %v", <-o.settled)
	}
	if n := logs.FilterMessage("batch not taken, trying again").FilterField(zap.Int16("code", kerr.InvalidTimestamp.Code)).Len(); n == 0 {
		t.Error("no error was logged")
	}
	if !l.Stalled() {
		t.Error("the lane does not count as stalled")
	}
	refused := len(w.seen(t))
	right := time.Now()
	clock.set(0)
	for _, s := range o.through(t, 8) {
		if s.Outcome != Delivered {
			t.Errorf("settlement %v", s)
		}
	}
	for i, r := range consume(t, c, testTopic, 8) {
		if r.value != count(8)[i] {
			t.Errorf("record %d is %s", i, r.value)
		}
		if r.time.Before(right.Truncate(time.Millisecond)) || r.time.After(time.Now()) {
			t.Errorf("record %d is stamped %v, it was taken at %v", i, r.time, right)
		}
	}
	for i, b := range w.seen(t)[:refused] {
		if b.FirstSequence != 0 || b.NumRecords != 4 {
			t.Errorf("attempt %d has sequence %d and %d records", i, b.FirstSequence, b.NumRecords)
		}
	}
}

// The clock is set back by two hours. What has to be done after a while is done after that while:
// a cluster that goes away is found to be away, a request without an answer stalls its lane.
func TestClockSetBack(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	var clock wrongClock
	p := producer(t, c, func(o *Options) { o.now, o.RequestTimeout = clock.now, time.Minute })
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	fill(t, l, 0, 1)
	o.through(t, 1)
	held, answer := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(answer) })
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		notify(held)
		c.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	fill(t, l, 1, 1)
	<-held
	clock.set(-2 * time.Hour)
	eventually(t, "the lane counts as stalled before its request failed", func() bool { return l.Stalled() && !l.retrying.Load() })
	if !p.Up() {
		t.Fatal("the cluster counts as away while it answers")
	}
	down := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ApiVersions}, TopLevel: true, Err: kerr.BrokerNotAvailable, Count: -1})
	defer down.Remove()
	eventually(t, "the cluster counts as away", func() bool { return !p.Up() })
}
