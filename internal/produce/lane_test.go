package produce

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wiretap keeps the record batches of all produce requests, as they came in.
type wiretap struct {
	mu      sync.Mutex
	batches [][]byte
}

// tap begins to keep. answer, where not nil, may answer a request in the broker's place.
func tap(c *kfake.Cluster, answer func(n int, req *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition) *wiretap {
	w := &wiretap{}
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.batches = append(w.batches, bytes.Clone(req.Topics[0].Partitions[0].Records))
		if answer == nil {
			return nil, nil, false
		}
		p := answer(len(w.batches), req)
		if p == nil {
			return nil, nil, false
		}
		p.Partition = req.Topics[0].Partitions[0].Partition
		res := req.ResponseKind().(*kmsg.ProduceResponse)
		res.Topics = []kmsg.ProduceResponseTopic{{Topic: req.Topics[0].Topic, Partitions: []kmsg.ProduceResponseTopicPartition{*p}}}
		return res, nil, true
	})
	return w
}

// refusal is an answer that refuses, naming records.
func refusal(e *kerr.Error, records ...int32) *kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceResponseTopicPartition()
	p.ErrorCode = e.Code
	for _, r := range records {
		named := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		named.RelativeOffset = r
		p.ErrorRecords = append(p.ErrorRecords, named)
	}
	return &p
}

// seen returns the batches so far, decoded.
func (w *wiretap) seen(t testing.TB) (batches []kmsg.RecordBatch) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, raw := range w.batches {
		var b kmsg.RecordBatch
		if err := b.ReadFrom(raw); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	return batches
}

// fill adds n records, tagged from first on, and lets them go.
func fill(t testing.TB, l *Lane, first, n int) {
	t.Helper()
	for i := range n {
		if !l.Add(uint64(first+i), []byte("key"), []byte(strconv.Itoa(first+i)), nil) {
			t.Fatalf("the lane has no room for record %d", first+i)
		}
	}
	l.Flush(0)
}

// through collects settlements until n records are settled.
func (o *owner) through(t testing.TB, n int) (all []Settlement) {
	t.Helper()
	for n > 0 {
		s := o.next(t)
		all = append(all, s)
		n -= len(s.Tags)
	}
	return all
}

// values are the values of partition 0, in order.
func values(t testing.TB, c *kfake.Cluster) (list []string) {
	t.Helper()
	for _, r := range consume(t, c, testTopic, int(logEnd(c, testTopic, 0))) {
		list = append(list, r.value)
	}
	return list
}

// count returns "0".."n-1".
func count(n int) (list []string) {
	for i := range n {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

// javaIncrement is DefaultRecordBatch.incrementSequence of Kafka 4.3.1.
func javaIncrement(sequence, increment int32) int32 {
	const last = 1<<31 - 1
	if sequence > last-increment {
		return increment - (last - sequence) - 1
	}
	return sequence + increment
}

// The sequence passes its end, inside a batch and at its border, as real brokers expect it.
// kfake counts modulo 2^31-1 where Kafka counts modulo 2^31, so that the test itself answers;
// and where kfake refuses (45), a new producer id goes on without loss.
func TestSequenceWraps(t *testing.T) {
	for _, start := range []int32{sequenceMask - 9, sequenceMask - 4, sequenceMask} {
		for _, strict := range []bool{true, false} {
			t.Run(fmt.Sprint(start, " as Kafka: ", strict), func(t *testing.T) {
				c := cluster(t, kfake.SeedTopics(1, testTopic))
				due := start
				w := tap(c, func(n int, req *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition {
					if !strict || n == 1 {
						return nil
					}
					var b kmsg.RecordBatch
					if err := b.ReadFrom(req.Topics[0].Partitions[0].Records); err != nil || b.FirstSequence != due {
						t.Errorf("sequence %d came, %d was due (%v)", b.FirstSequence, due, err)
					}
					due = javaIncrement(due, b.NumRecords)
					p := kmsg.NewProduceResponseTopicPartition()
					return &p
				})
				p := producer(t, c, nil)
				o := newOwner()
				l := p.Lane(testTopic, 0, o)
				fill(t, l, 0, 1) // a partition that never held a record takes sequence 0 only
				o.through(t, 1)
				var err error
				if l.id, l.epoch, err = p.o.Conn.InitProducerID(t.Context()); err != nil {
					t.Fatal(err)
				}
				l.sequence = start // the lane's goroutine waits: the next Add hands over
				for i := range 6 {
					fill(t, l, 1+5*i, 5)
					o.through(t, 5)
				}
				if n := len(w.seen(t)); strict && n != 7 {
					t.Errorf("%d requests for 7 batches", n)
				}
				if got := values(t, c); !strict && !slices.Equal(got, count(31)) {
					t.Errorf("the log has %v", got)
				}
			})
		}
	}
}

// A topic that is missing or closed for longer than a moment is handed back whole: what is in
// flight and what fills; nothing is taken until Reopen.
func TestTopicRefused(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (*kfake.Cluster, func()){
		"missing": func(t *testing.T) (*kfake.Cluster, func()) {
			c := cluster(t)
			return c, func() {
				if err := c.CreateTopic(testTopic, 1, nil); err != nil {
					t.Fatal(err)
				}
			}
		},
		"closed": func(t *testing.T) (*kfake.Cluster, func()) {
			c := cluster(t, kfake.SeedTopics(1, testTopic))
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
			return c, h.Remove
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, end := open(t)
			p := producer(t, c, nil)
			p.Topic(testTopic)
			o := newOwner()
			l := p.Lane(testTopic, 0, o)
			fill(t, l, 0, 3)
			eventually(t, "the first request is under way", l.Stalled)
			fill(t, l, 3, 2)
			s := o.next(t)
			if s.Outcome != TopicRefused || !slices.Equal(s.Tags, []uint64{0, 1, 2, 3, 4}) {
				t.Fatalf("settlement %v", s)
			}
			if l.Add(5, nil, nil, nil) {
				t.Error("the lane took a record before Reopen")
			}
			end()
			eventually(t, "the topic is there", func() bool { return p.Topic(testTopic).Partitions == 1 })
			l.Reopen()
			fill(t, l, 0, 5)
			if all := o.through(t, 5); all[0].Outcome != Delivered {
				t.Errorf("after Reopen: %v", all[0])
			}
			if got := values(t, c); !slices.Equal(got, count(5)) {
				t.Errorf("the log has %v", got)
			}
		})
	}
}

// A topic made again with fewer partitions: the lanes that are no more hand their records back.
func TestPartitionGone(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(3, testTopic))
	p := producer(t, c, nil)
	o := newOwner()
	l := p.Lane(testTopic, 2, o)
	eventually(t, "the topic is known", func() bool { return p.Topic(testTopic).Partitions == 3 })
	fill(t, l, 0, 1)
	o.through(t, 1)
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(testTopic, 1, nil); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 4)
	if s := o.next(t); s.Outcome != PartitionGone || len(s.Tags) != 4 {
		t.Fatalf("settlement %v", s)
	}
}

// A young cluster has no producer ids for a while.
func TestInitProducerIDIsAskedAgain(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.ClusterAuthorizationFailed} {
		t.Run(e.Message, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(1, testTopic))
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: e, Count: 3})
			p := producer(t, c, nil)
			o := newOwner()
			fill(t, p.Lane(testTopic, 0, o), 0, 2)
			o.through(t, 2)
			if h.Hits() != 3 {
				t.Errorf("%d refusals, want 3", h.Hits())
			}
		})
	}
}

// One request of a lane at a time, whatever is added meanwhile; the rest goes in batches.
func TestOneRequestInFlight(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	w := tap(c, nil)
	p := producer(t, c, func(o *Options) { o.MaxBatchRecords = 100 })
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	for i := range 2000 {
		for !l.Add(uint64(i), nil, []byte(strconv.Itoa(i)), nil) {
			<-o.room
		}
	}
	l.Flush(0)
	o.through(t, 2000)
	if got := values(t, c); !slices.Equal(got, count(2000)) {
		t.Error("the log is not in order")
	}
	for i, b := range w.seen(t) {
		if b.NumRecords > 100 {
			t.Errorf("batch %d has %d records", i, b.NumRecords)
		}
	}
}

// While a request has no answer the lane makes no second one, though its next batch is full;
// and each asks for the answer of all in-sync replicas.
func TestNoRequestBeforeTheAnswer(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	var flying, total atomic.Int32
	second := make(chan struct{}, 1)
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if acks := r.(*kmsg.ProduceRequest).Acks; acks != -1 {
			t.Errorf("acks %d, want all", acks)
		}
		if flying.Add(1) > 1 {
			t.Error("a second request while one has no answer")
			notify(second)
		}
		defer flying.Add(-1)
		if total.Add(1) <= 5 {
			c.SleepControl(func() {
				select {
				case <-second:
				case <-time.After(50 * time.Millisecond): // long enough for one that should not come
				}
			})
		}
		return nil, nil, false
	})
	p := producer(t, c, func(o *Options) { o.MaxBatchRecords = 10 })
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	for i := range 100 {
		for !l.Add(uint64(i), nil, []byte(strconv.Itoa(i)), nil) {
			<-o.room
		}
	}
	l.Flush(0)
	o.through(t, 100)
	if n := total.Load(); n < 5 {
		t.Errorf("%d requests: the test shows nothing", n)
	}
	if got := values(t, c); !slices.Equal(got, count(100)) {
		t.Errorf("the log has %v", got)
	}
}

// A batch that was tried for long gets a new time under the same sequence, so that a topic's
// retention does not delete it on arrival.
func TestOldBatchGetsNewTime(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	var mu sync.Mutex
	ahead := time.Duration(0)
	w := tap(c, func(n int, _ *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition {
		mu.Lock()
		defer mu.Unlock()
		ahead += restampAfter / 2
		if n < 5 {
			return refusal(kerr.NotEnoughReplicas)
		}
		return nil
	})
	p := producer(t, c, func(o *Options) {
		o.now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
	})
	o := newOwner()
	fill(t, p.Lane(testTopic, 0, o), 0, 3)
	o.through(t, 3)
	times := map[int64]bool{}
	for _, b := range w.seen(t) {
		times[b.FirstTimestamp] = true
		if b.FirstSequence != 0 || b.NumRecords != 3 {
			t.Errorf("an attempt has sequence %d and %d records", b.FirstSequence, b.NumRecords)
		}
	}
	if len(times) < 2 || len(times) > 3 {
		t.Errorf("%d times in five attempts over %v", len(times), ahead)
	}
}

// A lane that has just sent lingers, and the least of several lingers counts; one that has not
// sent for long does not linger.
func TestLinger(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	p := producer(t, c, nil)
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	add := func(tag uint64, linger time.Duration) {
		t.Helper()
		if !l.Add(tag, nil, []byte("v"), nil) {
			t.Fatal("no room")
		}
		l.Flush(linger)
	}
	add(0, time.Hour)
	o.through(t, 1)
	add(1, time.Hour)
	add(2, time.Hour)
	if n := logEnd(c, testTopic, 0); n != 1 {
		t.Fatalf("%d records are in the log, the lane was to linger", n)
	}
	add(3, 0)
	if all := o.through(t, 3); len(all) != 1 {
		t.Errorf("three records took %d requests, want one", len(all))
	}
}
