package forward

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/produce"
)

// arrivals are the records of the test's topic as they reached the broker, attempts that it
// refused included: what partitions alone cannot show is the order between them.
type arrivals struct {
	mu   sync.Mutex
	list []arrival
}

type arrival struct {
	partition int32
	app       string
	n         int
}

// watch notes all arrivals from now on.
func (r *rig) watch() *arrivals {
	a := &arrivals{}
	r.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, topic := range request.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				a.list = append(a.list, recordsOf(p.Partition, p.Records)...)
			}
		}
		return nil, nil, false
	})
	return a
}

// recordsOf reads a batch.
func recordsOf(partition int32, raw []byte) (list []arrival) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		panic(err)
	}
	rest := b.Records
	for range b.NumRecords {
		length, n := kbin.Varint(rest)
		var record kmsg.Record
		if err := record.ReadFrom(rest[:n+int(length)]); err != nil {
			panic(err)
		}
		rest = rest[n+int(length):]
		number, err := strconv.Atoi(string(bytes.TrimSpace(record.Value)))
		if err != nil {
			panic(err)
		}
		list = append(list, arrival{partition, string(record.Key), number})
	}
	return list
}

// changes are the counts that the topic had, in order. check fails unless the arrivals went
// through them one after another: nothing under an older count comes after something under a
// newer one, and no app's record before an older one of it.
func (a *arrivals) check(t *testing.T, changes ...int32) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	newest := map[string]int{}
	phase, used := 0, map[int32]bool{}
	for i, one := range a.list {
		if next := newest[one.app]; one.n > next {
			t.Fatalf("arrival %d: app %s's record %d came, %d was due", i, one.app, one.n, next)
		} else if one.n == next {
			newest[one.app]++
		}
		for produce.PartitionOf([]byte(one.app), changes[phase]) != one.partition {
			if phase++; phase == len(changes) {
				t.Fatalf("arrival %d of %d: app %s's record %d under a count that is over, in partition %d", i, len(a.list), one.app, one.n, one.partition)
			}
		}
		used[changes[phase]] = true
	}
	for _, count := range changes {
		if !used[count] {
			t.Errorf("nothing went out under the count of %d: the test shows nothing", count)
		}
	}
}

// Partitions are added again and again under load, while answers are lost, late or bad, and over a
// stop and a kill. For the topic as a whole all that was sent under a count is answered before
// anything goes out under the next one, and each app's records arrive in order.
func TestPartitionsAddedAgainAndAgain(t *testing.T) {
	t.Parallel()
	counts := []int32{2, 3, 5, 8, 13}
	r := newRig(t, kfake.SeedTopics(counts[0], testTopic))
	r.produce = small
	r.forward = func(o *Options) { o.StopTimeout = 5 * time.Second }
	seen := r.watch()
	r.start()
	random := rand.New(rand.NewPCG(3, 5))
	load := func() {
		for range 10 {
			r.synced(r.append(testTopic, apps(48)...))
		}
	}
	bound := 0
	for i, count := range counts {
		if i > 0 {
			fault := []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicas}[i%2]
			r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{int32(random.IntN(int(counts[i-1])))}, Err: fault, Count: 6})
			load()
			addPartitions(r, testTopic, count)
			load()
		}
		switch i {
		case 2: // with entries on their way
			r.stop()
			r.start()
		case 3:
			tail := r.main.Stats().Appended
			r.kill()
			r.start()
			settled, _ := r.main.Restored()
			bound += int(tail - settled)
		}
		eventually(t, "the count is seen", func() bool { load(); return r.producer.Topic(testTopic).Partitions == count })
		r.drain()
	}
	seen.check(t, counts...)
	got := r.fetch(testTopic) // an app may come back to a partition that it was in: arrivals show the order
	slices.SortStableFunc(got, func(a, b delivered) int { return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.n, b.n)) })
	if n := r.inOrder(testTopic, got); n > bound {
		t.Errorf("%d duplicates, at most %d were in question", n, bound)
	}
}

// in returns the first n apps of a partition.
func in(partition, count int32, n int) (list []int64) {
	for _, app := range apps(10_000) {
		if len(list) == n {
			return list
		}
		if produce.PartitionOf(strconv.AppendInt(nil, app, 10), count) == partition {
			list = append(list, app)
		}
	}
	panic("no such apps")
}

// While a parked topic returns, partitions go and come again before its lanes are idle, as when
// brokers do not agree about a topic that was made anew. What the lanes that were gone gave back
// goes out before what is newer, and nothing of it is forgotten.
func TestPartitionsGoAndComeAgainWhileATopicReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small // 20 of a lane's entries are on their way, the next one waits
	layout := &view{}
	r.show(layout)
	layout.set(r, 4)
	r.start()
	closed := closeTopic(r)
	quiet, gone := in(0, 4, 1), in(2, 4, 1)
	r.append(testTopic, quiet...)
	eventually(t, "the quiet app's entry is the first to be parked", func() bool { return parkedEntries(r, testTopic) == 1 })
	for range 60 {
		r.append(testTopic, gone...)
	}
	eventually(t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 61 })
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.NotEnoughReplicas, Count: -1})
	closed.Remove()
	eventually(t, "both lanes have entries on their way", func() bool {
		var n, m int
		r.look(func(f *Forwarder) {
			lanes := f.topics[testTopic].lanes
			n, m = lanes[0].inflight, lanes[2].inflight
		})
		return n == 1 && m == 20
	})
	layout.set(r, 2)
	eventually(t, "the partition's entries came back", func() bool {
		var n int
		r.look(func(f *Forwarder) { n = f.topics[testTopic].lanes[2].inflight })
		return n == 0
	})
	layout.set(r, 4)
	other := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	stuck.Remove()
	ticks := time.NewTicker(clock)
	defer ticks.Stop()
	for range 4 {
		<-ticks.C
		if n := watermark(r, testTopic, 2); n > 0 {
			t.Fatalf("%d entries went out before those that were given back", n)
		}
	}
	other.Remove()
	r.append(testTopic, gone...)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// A record that is kept aside is tried again, and its partition goes and comes again meanwhile: the
// attempt counts as none, and there is a next one.
func TestPartitionGoesAndComesAgainUnderARefusedRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.cluster.CreateTopic(testTopic, 4, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	layout := &view{}
	r.show(layout)
	layout.set(r, 4)
	r.forward = func(o *Options) { o.RecordRetry = 100 * time.Millisecond }
	r.start()
	quiet, gone := in(0, 4, 1)[0], in(2, 4, 1)[0]
	large := r.callback(testTopic, gone)
	large.Body = append(large.Body, slices.Repeat([]byte(" "), 3000)...)
	r.appendCallback(testTopic, large)
	eventually(t, "the large record is parked", func() bool { return parkedEntries(r, testTopic) == 1 })
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.NotEnoughReplicas, Count: -1})
	inflight := func(partition, n int) func() bool {
		return func() (is bool) {
			r.look(func(f *Forwarder) { is = f.topics[testTopic].lanes[partition].inflight == n })
			return is
		}
	}
	eventually(t, "it is tried again", inflight(2, 1))
	r.append(testTopic, quiet)
	eventually(t, "another lane has something on its way", inflight(0, 1))
	layout.set(r, 2)
	eventually(t, "the record came back", inflight(2, 0))
	layout.set(r, 4)
	raiseLimit(r, testTopic, "100000")
	stuck.Remove()
	r.drain()
	if n, m := watermark(r, testTopic, 0), watermark(r, testTopic, 2); n != 1 || m != 1 {
		t.Errorf("%d and %d records, want the other one and the large one", n, m)
	}
}
