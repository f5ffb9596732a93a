package forward

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/produce"
)

// A cluster that answers more slowly than a reader waits, and a backlog: all lanes lag, and the
// live reader does not run through the journal for nobody, since the pass reads it all again; but
// no rest is long.
func TestLiveReaderRestsWhileAllLanesLag(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic), kfake.SleepOutOfOrder())
	r.produce = func(o *produce.Options) { o.MaxBatchRecords = 500 }
	r.forward = func(o *Options) { o.unpaced, o.Topics = true, []string{testTopic} }
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		r.cluster.SleepControl(func() { time.Sleep(2 * holdFor) })
		return nil, nil, false
	})
	r.open()
	const rounds = 100
	for range rounds {
		r.append(testTopic, apps(64)...)
	}
	eventually(t, "all is durable", func() bool { s := r.main.Stats(); return s.Synced == s.Appended })
	r.run()
	var lags, rests, restsOn bool
	var over int
	eventually(t, "a lane that lags goes on", func() bool {
		err := r.forwarder.do(context.Background(), func() {
			f := r.forwarder
			if lags = f.anyMoving() && f.o.Producer.Up(); !lags {
				return
			}
			f.over, f.rests = restAfter, time.Time{}
			rests = f.resting()
			f.over, f.rests = restAfter, f.now.Add(-restFor)
			restsOn, over = f.resting(), f.over
		})
		if err != nil {
			t.Fatal(err)
		}
		return lags
	})
	if !rests || restsOn || over != restAfter-restStride {
		t.Errorf("the live reader rests: %v; longer than it may: %v; and then asks again after %d entries, want %d", rests, restsOn, restAfter-over, restStride)
	}
	r.drain()
	r.inOrder(testTopic, r.fetch(testTopic))
}

// Whatever lies in the journal for a partition that does not answer, the others' entries behind it
// are found.
func TestStuckLaneDoesNotRestTheLiveReader(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.produce = func(o *produce.Options) { o.MaxBatchRecords = 100 }
	r.forward = func(o *Options) { o.unpaced, o.Topics = true, []string{testTopic} }
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0}, Err: kerr.LeaderNotAvailable, Count: -1})
	var here, there []int64 // apps of the partition that is stuck, and of the other
	for _, app := range apps(16) {
		if inPartition([]int64{app}, 0, 2) == 1 {
			here = append(here, app)
		} else {
			there = append(there, app)
		}
	}
	r.start()
	for range 4 * restAfter / len(here) {
		r.append(testTopic, here...)
	}
	r.append(testTopic, there...)
	eventually(t, "the other partition has its records", func() bool { return watermark(r, testTopic, 1) == int64(len(there)) })
	stuck.Remove()
	r.drain()
	r.inOrder(testTopic, r.fetch(testTopic))
}

// A topic that is slow, but answers, and comes faster than it can go: another topic's entry behind
// its backlog does not wait for that.
func TestSlowLaneDoesNotRestTheLiveReader(t *testing.T) {
	const slow = "im.callbacks.raw"
	r := newRig(t, kfake.SeedTopics(1, testTopic, slow), kfake.SleepOutOfOrder())
	r.produce = func(o *produce.Options) { o.MaxBatchRecords = 500 }
	r.forward = func(o *Options) { o.unpaced, o.Topics = true, []string{testTopic, slow} }
	r.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if request.(*kmsg.ProduceRequest).Topics[0].Topic == slow {
			r.cluster.SleepControl(func() { time.Sleep(300 * time.Millisecond) })
		}
		return nil, nil, false
	})
	r.open()
	for range 400 {
		r.append(slow, apps(64)...)
	}
	r.append(testTopic, apps(1)...)
	eventually(t, "all is durable", func() bool { s := r.main.Stats(); return s.Synced == s.Appended })
	r.run()
	began := time.Now()
	eventually(t, "the other topic's entry is there", func() bool { return watermark(r, testTopic, 0) == 1 })
	took, backlog := time.Since(began), 400*64-watermark(r, slow, 0)
	t.Logf("after %s, with %d entries of the slow topic left", took.Round(time.Millisecond), backlog)
	if backlog < 10_000 {
		t.Errorf("the other topic's entry came after %s, with %d entries of the slow topic left", took, backlog)
	}
}
