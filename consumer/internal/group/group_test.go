package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/schema"
)

func TestEveryRecordOfEveryPartitionComesOnceInOrder(t *testing.T) {
	c := newCluster(t, 3)
	for p := range int32(3) {
		c.produce(p, 100)
	}
	r := &recorder{}
	m := c.start(r, func(o *Options) { o.BatchRecords = 7 })
	for p := range int32(3) {
		c.awaitCommit(p, 100)
		if got := r.of(p); !slices.Equal(got, span(0, 100)) {
			t.Errorf("partition %d: got offsets %v", p, got)
		}
	}
	if err := m.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, b := range r.batches {
		if len(b) > 7 {
			t.Errorf("batch of %d records, want at most 7", len(b))
		}
	}
	if info := c.GroupInfo(testGroup); len(info.Members) != 0 {
		t.Errorf("%d members left in the group after Run returned", len(info.Members))
	}
}

func TestRecordArrivesWhole(t *testing.T) {
	c := newCluster(t, 1)
	before := time.Now().Add(-time.Second)
	c.produce(0, 1)
	r := &recorder{}
	c.start(r, nil)
	c.awaitCommit(0, 1)
	got := r.batches[0][0]
	if got.Topic != testTopic || got.Partition != 0 || got.Offset != 0 || string(got.Key) != "1400000001" || string(got.Value) != "0" {
		t.Errorf("got %+v", got)
	}
	if v, ok := got.Header("ce_id"); !ok || string(v) != "x" {
		t.Errorf("header ce_id: %q %v", v, ok)
	}
	if v, ok := got.Header("empty"); !ok || len(v) != 0 {
		t.Errorf("empty header: %q %v", v, ok)
	}
	if got.Time.Before(before) || got.Time.Location() != time.UTC {
		t.Errorf("time %v", got.Time)
	}
}

func TestBatchClosesWhenItsBytesPassTheBound(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 50)
	r := &recorder{}
	c.start(r, func(o *Options) { o.BatchBytes = 1; o.BatchRecords = 50 })
	c.awaitCommit(0, 50)
	if len(r.batches) != 50 {
		t.Errorf("got %d batches, want 50 of one record each", len(r.batches))
	}
}

func TestHeldUpHandlerIsGivenNothingMore(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 2000)
	entered, release := make(chan struct{}), make(chan struct{})
	r := &recorder{handle: func(context.Context, []schema.Record) error {
		entered <- struct{}{}
		<-release
		return nil
	}}
	m := c.start(r, func(o *Options) { o.BatchRecords = 10 })
	<-entered
	eventually(t, "lag of everything", func() bool {
		lag, _ := m.value("tidegate_consumer_lag_records")
		return lag == 2000
	})
	if got := len(r.of(0)); got != 10 {
		t.Errorf("handler has %d records, want the 10 of one batch", got)
	}
	m.stop()
	close(release)
	_ = m.end()
}

// Records that come one at a time while a batch is handled are fetched one at a time. They are one
// batch all the same: a batch for each fetch would leave a consumer that was slow for a moment behind
// by all that its reader keeps ready, for as long as records come as fast as it handles batches.
func TestWhatCameDuringABatchIsTheNextBatch(t *testing.T) {
	c := newCluster(t, 1)
	asked := make(chan int64, 100)
	c.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if topics := request.(*kmsg.FetchRequest).Topics; len(topics) == 1 && len(topics[0].Partitions) == 1 {
			asked <- topics[0].Partitions[0].FetchOffset
		}
		return nil, nil, false
	})
	entered, release := make(chan struct{}, 100), make(chan struct{})
	r := &recorder{handle: func(context.Context, []schema.Record) error {
		entered <- struct{}{}
		<-release
		return nil
	}}
	c.produce(0, 1)
	c.start(r, func(o *Options) { o.BatchWait = patience })
	<-entered
	for next := int64(1); next <= 20; next++ {
		for <-asked != next { // the reader has all before
		}
		c.produce(0, 1)
	}
	for <-asked != 21 {
	}
	close(release)
	c.awaitCommit(0, 21)
	if len(r.batches) != 2 {
		t.Errorf("got %d batches, want the first record and then the 20 that came meanwhile", len(r.batches))
	}
}

func TestMissingTopicIsWaitedFor(t *testing.T) {
	c := newCluster(t, 0)
	r := &recorder{}
	m := c.start(r, nil)
	eventually(t, "a line that says so", func() bool {
		return m.logs.FilterMessage("topic does not exist, waiting for it").Len() == 1
	})
	if !m.g.Up() || m.g.Assigned() != -1 {
		t.Errorf("up %v, assigned %d: a missing topic is not a Kafka that is away, and nothing is assigned", m.g.Up(), m.g.Assigned())
	}
	if c.GroupInfo(testGroup) != nil {
		t.Error("joined the group while the topic is missing")
	}
	c.create(2)
	c.produce(1, 5)
	c.awaitCommit(1, 5)
	if epoch := c.GroupInfo(testGroup).Epoch; epoch > 3 {
		t.Errorf("%d generations to consume a new topic", epoch)
	}
}

func TestTopicThatGoesAwayIsWaitedForOutsideTheGroup(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 3)
	r := &recorder{}
	m := c.start(r, nil)
	c.awaitCommit(0, 3)
	before, began := c.GroupInfo(testGroup).Epoch, time.Now()
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	eventually(t, "leaving the group", func() bool {
		return len(c.GroupInfo(testGroup).Members) == 0 && m.g.Assigned() == -1
	})
	// How soon the topic is seen to be gone is the machine's affair; how many generations
	// begin meanwhile is ours.
	took := time.Since(began)
	if made := c.GroupInfo(testGroup).Epoch - before; int(made) > 2+int(took/generationPace) {
		t.Errorf("%d generations in %s until the topic was seen to be gone", made, took)
	}
	c.create(1)
	c.connect()
	c.produce(0, 4)
	eventually(t, "the new topic's records", func() bool {
		return slices.Equal(r.of(0), append(span(0, 3), span(0, 4)...))
	})
}

// The library's reader can hand out a record again after it connected anew, and can pass over
// some that are gone: the first is dropped, the second is said, and neither stops the batch.
func TestOffsetsThatDoNotFollowOn(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	g := &Group{log: zap.New(core), metrics: newMetrics(nil)}
	w := newWorker(&generation{Group: g}, 2, 5)
	var b batch
	for _, offset := range []int64{5, 6, 5, 6, 7, 10, 9, 11} {
		w.add(&b, &kafka.Message{Topic: testTopic, Partition: 2, Offset: offset})
	}
	var got []int64
	for _, r := range b.records {
		got = append(got, r.Offset)
	}
	if want := []int64{5, 6, 7, 10, 11}; !slices.Equal(got, want) || w.next != 12 {
		t.Errorf("got %v and go on at %d, want %v and 12", got, w.next, want)
	}
	if n := testutil.ToFloat64(g.metrics.gaps); n != 1 || logs.Len() != 1 || logs.All()[0].ContextMap()["missing"] != int64(2) {
		t.Errorf("%v gaps counted, logs %v", n, logs.All())
	}
}

func TestRestartGoesOnAfterTheLastCommit(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	r := &recorder{}
	m := c.start(r, nil)
	c.awaitCommit(0, 10)
	_ = m.end()
	c.produce(0, 5)
	c.start(r, nil)
	c.awaitCommit(0, 15)
	if got := r.of(0); !slices.Equal(got, span(0, 15)) {
		t.Errorf("got %v", got)
	}
}

// Small batches in a row are committed together, and the last of them without another one.
func TestCommitsAreApart(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	var requests atomic.Int32
	c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	r := &recorder{}
	c.start(r, nil)
	c.awaitCommit(0, 1)
	begun := time.Now()
	c.oneByOne(r, 2, 40)
	c.awaitCommit(0, 40)
	most := 2 + int32(time.Since(begun)/commitEvery)
	if n := requests.Load(); n > most {
		t.Errorf("%d commits of %d batches in %v, want %d at most", n, len(r.batches), time.Since(begun), most)
	}
}

// What was handled and not yet committed when a generation ends is committed then.
func TestGenerationsEndCommitsWhatWasHandled(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	r, held := holding(4)
	m := c.start(r, nil)
	c.awaitCommit(0, 1)
	c.oneByOne(r, 2, 5)
	<-held
	if err := m.end(); err != nil {
		t.Error(err)
	}
	if got := c.committed(0); got != 4 {
		t.Errorf("committed up to %d; all before 4 was handled", got)
	}
}

func TestBatchThatWasNotHandledToTheEndComesAgain(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	entered := make(chan struct{})
	first := &recorder{handle: func(ctx context.Context, records []schema.Record) error {
		if records[0].Offset == 0 {
			return nil // a commit, without which there is no last one
		}
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}
	m := c.start(first, nil)
	c.awaitCommit(0, 1)
	c.produce(0, 4)
	<-entered
	if err := m.end(); err != nil {
		t.Errorf("Run: %v, want nil: stopping is no failure", err)
	}
	if got := c.committed(0); got != 1 {
		t.Fatalf("offset %d was committed for a batch that was not handled", got)
	}
	second := &recorder{}
	c.start(second, nil)
	c.awaitCommit(0, 5)
	if got := second.of(0); !slices.Equal(got, span(1, 5)) {
		t.Errorf("redelivered %v", got)
	}
}

// A handler that succeeds after its generation ended has nothing committed for it: the
// records are another member's by then.
func TestNothingIsCommittedForAGenerationThatEnded(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	entered := make(chan struct{})
	late := &recorder{handle: func(ctx context.Context, records []schema.Record) error {
		if records[0].Offset == 0 {
			return nil // a commit, without which there is no last one
		}
		close(entered)
		<-ctx.Done()
		return nil
	}}
	m := c.start(late, nil)
	c.awaitCommit(0, 1)
	c.produce(0, 4)
	<-entered
	_ = m.end()
	if got := c.committed(0); got != 1 {
		t.Errorf("offset %d was committed", got)
	}
}

func TestHandlersFailureIsFatalAndLeavesTheGroup(t *testing.T) {
	c := newCluster(t, 2)
	c.produce(1, 3)
	broken := errors.New("out of order")
	m := c.start(&recorder{handle: func(context.Context, []schema.Record) error { return broken }}, nil)
	err := m.wait()
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "im.alarms.raw partition 1 from offset 0") {
		t.Errorf("Run: %v", err)
	}
	if got := c.committed(1); got > 0 {
		t.Errorf("offset %d was committed", got)
	}
	if n := len(c.GroupInfo(testGroup).Members); n != 0 {
		t.Errorf("%d members left in the group", n)
	}
}

func TestOnAssignedSeesTheShare(t *testing.T) {
	c := newCluster(t, 4)
	shares := make(chan string, 10)
	m := c.start(&recorder{}, func(o *Options) {
		o.OnAssigned = func(assigned, total int) error {
			shares <- fmt.Sprintf("%d of %d", assigned, total)
			return nil
		}
	})
	next := func() string {
		t.Helper()
		select {
		case share := <-shares:
			return share
		case <-time.After(patience):
			t.Fatal("no assignment")
			return ""
		}
	}
	if got := next(); got != "4 of 4" {
		t.Errorf("alone: %s", got)
	}
	refusal := errors.New("needs all partitions")
	seen := make(chan struct{}) // the first member knows its share: the second may go
	second := c.start(&recorder{}, func(o *Options) {
		o.ShareGrace = 50 * time.Millisecond
		o.OnAssigned = func(assigned, total int) error {
			if assigned < total {
				<-seen
				return refusal
			}
			return nil
		}
	})
	if got := next(); got != "2 of 4" {
		t.Errorf("with a second member: %s", got)
	}
	close(seen)
	if err := second.wait(); !errors.Is(err, refusal) || !strings.Contains(err.Error(), "assigned 2 of 4 partitions") {
		t.Errorf("second member: %v", err)
	}
	if got := next(); got != "4 of 4" {
		t.Errorf("after it left: %s", got)
	}
	eventually(t, "all partitions", func() bool { return m.g.Assigned() == 4 })
}

// A member that was killed keeps its part until its session times out: who needs all
// partitions waits for that and consumes nothing meanwhile.
func TestRefusedShareIsWaitedOut(t *testing.T) {
	c := newCluster(t, 2)
	c.produce(0, 3)
	first := c.start(&recorder{}, nil)
	c.awaitCommit(0, 3)
	refused := make(chan struct{}, 10)
	r := &recorder{}
	second := c.start(r, func(o *Options) {
		o.ShareGrace = patience
		o.OnAssigned = func(assigned, total int) error {
			if assigned < total {
				refused <- struct{}{}
				return errors.New("needs all partitions")
			}
			return nil
		}
	})
	<-refused
	if second.g.Assigned() != -1 {
		t.Errorf("has %d partitions while its share is refused", second.g.Assigned())
	}
	if err := first.end(); err != nil {
		t.Errorf("first member: %v", err)
	}
	eventually(t, "all partitions", func() bool { return second.g.Assigned() == 2 })
	c.produce(0, 2)
	c.produce(1, 2)
	c.awaitCommit(0, 5)
	c.awaitCommit(1, 2)
	if err := second.end(); err != nil {
		t.Errorf("second member: %v", err)
	}
}

func TestRebalanceLosesNothingAndOverlapsNothing(t *testing.T) {
	c := newCluster(t, 4)
	var active [4]atomic.Int32
	exclusive := func(ctx context.Context, records []schema.Record) error {
		p := records[0].Partition
		if active[p].Add(1) > 1 {
			t.Errorf("partition %d is handled by two at once", p)
		}
		defer active[p].Add(-1)
		select { // long enough for rebalances to fall into it
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	one, two := &recorder{handle: exclusive}, &recorder{handle: exclusive}
	small := func(o *Options) { o.BatchRecords = 5 }
	first := c.start(one, small)
	for p := range int32(4) {
		c.produce(p, 200)
	}
	eventually(t, "the first member is at work", func() bool { return len(one.of(0)) > 0 })
	second := c.start(two, small)
	c.awaitMembers(2)
	eventually(t, "both members have a share", func() bool { return first.g.Assigned() == 2 && second.g.Assigned() == 2 })
	for p := range int32(4) {
		c.produce(p, 100)
	}
	_ = first.end()
	for p := range int32(4) {
		c.produce(p, 100)
		c.awaitCommit(p, 400)
		all := append(one.of(p), two.of(p)...)
		slices.Sort(all)
		if got := slices.Compact(all); !slices.Equal(got, span(0, 400)) {
			t.Errorf("partition %d: records are missing: got %d of 400", p, len(got))
		}
	}
}

// A topic that is deleted and made again while a batch of it is handled: the batch's commit would be
// of the new log, and what is new would be taken for handled.
func TestTopicMadeAnewDuringABatch(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 5)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	r := &recorder{handle: func(_ context.Context, records []schema.Record) error {
		if records[0].Offset == 5 {
			select {
			case entered <- struct{}{}:
				<-release
			default: // again, of the new log
			}
		}
		return nil
	}}
	core, logs := observer.New(zap.DebugLevel)
	c.start(r, func(o *Options) { o.Log, o.Poll, o.Heartbeat = zap.New(core), time.Hour, 0 })
	c.awaitCommit(0, 5)
	c.produce(0, 5)
	<-entered
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reader has met an error", func() bool { return logs.FilterMessage("kafka-go reports about a reader").Len() > 0 })
	c.create(1)
	c.connect()
	c.produce(0, 50)
	time.Sleep(commitEvery) // the batch's commit is due, and comes before another look
	close(release)
	c.awaitCommit(0, 50)
	if got := r.of(0); !slices.Equal(got[:10], span(0, 10)) || !slices.Equal(got[10:], span(0, 50)) {
		t.Errorf("got %v", got)
	}
}

// Nor does the last commit of a generation that ends while the batch is handled: it would be of the new
// log, too, and where nothing else was committed there, the next generation would begin behind it.
func TestTopicMadeAnewBeforeTheLastCommit(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	r, held := holding(4)
	m := c.start(r, func(o *Options) { o.Poll, o.Heartbeat = time.Hour, 0 })
	c.awaitCommit(0, 1)
	c.oneByOne(r, 2, 5)
	<-held // 1 to 3 are handled, most of them not committed
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	c.create(1)
	c.connect()
	c.produce(0, 50)
	if err := m.end(); err != nil {
		t.Error(err)
	}
	if got := c.committed(0); got > 0 {
		t.Errorf("offset %d of the old log is committed in the new one", got)
	}
}

// The errors of an outage that was over before its batch was hold nobody up and are no outage now.
func TestErrorsOfAnOutageThatIsOver(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 1)
	var broken atomic.Bool
	var refused atomic.Int32
	beyond := make(chan struct{}, 1000)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError, Count: -1, When: func(request kmsg.Request) bool {
		if request.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset == 2 {
			beyond <- struct{}{} // so the reader has the record before it
		}
		if broken.Load() {
			refused.Add(1)
		}
		return broken.Load()
	}})
	entered, release := make(chan struct{}), make(chan struct{})
	r := &recorder{handle: func(_ context.Context, records []schema.Record) error {
		if records[0].Offset == 0 {
			close(entered)
			<-release
		}
		return nil
	}}
	m := c.start(r, nil)
	<-entered
	broken.Store(true)
	eventually(t, "several fetches were refused", func() bool { return refused.Load() > 10 })
	broken.Store(false)
	c.produce(0, 1)
	select {
	case <-beyond:
	case <-time.After(patience):
		t.Fatal("the reader did not recover")
	}
	close(release)
	c.awaitCommit(0, 2)
	if n := m.logs.FilterMessage("could not fetch, trying again").Len(); n > 0 {
		t.Errorf("%d lines of an outage that is over", n)
	}
	if got := r.of(0); !slices.Equal(got, span(0, 2)) {
		t.Errorf("got %v", got)
	}
}

func TestCoordinatorThatIsLoadingIsWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name string
		key  kmsg.Key
		err  *kerr.Error
	}{
		{"coordinator not available when looked for", kmsg.FindCoordinator, kerr.CoordinatorNotAvailable},
		{"coordinator loading when joining", kmsg.JoinGroup, kerr.CoordinatorLoadInProgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.produce(0, 3)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{test.key}, Group: testGroup, Err: test.err, Count: 1})
			r := &recorder{}
			m := c.start(r, nil)
			c.awaitCommit(0, 3)
			if got := r.of(0); !slices.Equal(got, span(0, 3)) {
				t.Errorf("got %v", got)
			}
			if n := m.logs.FilterMessage("could not join the group, trying again").Len(); n == 0 {
				t.Error("no line says that joining failed: the fault did not take place")
			}
		})
	}
}

func TestFailedCommitIsTriedAgain(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 3)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.UnknownServerError, Count: 2})
	r := &recorder{}
	m := c.start(r, nil)
	c.awaitCommit(0, 3)
	if got := r.of(0); !slices.Equal(got, span(0, 3)) {
		t.Errorf("got %v, want the records once: only the commit failed", got)
	}
	if n := m.logs.FilterMessage("kafka refused, trying again").Len(); n != 2 {
		t.Errorf("%d lines about the failed commit, want 2", n)
	}
}

// So does one that finds no topic: what comes under its name is another log.
func TestFencedCommitEndsTheGenerationAndTheRecordsComeAgain(t *testing.T) {
	for _, refused := range []*kerr.Error{kerr.IllegalGeneration, kerr.UnknownTopicOrPartition} {
		t.Run(refused.Message, func(t *testing.T) {
			c := newCluster(t, 1)
			c.produce(0, 3)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: refused, Count: 1})
			r := &recorder{}
			c.start(r, nil)
			c.awaitCommit(0, 3)
			if got := r.of(0); !slices.Equal(got, append(span(0, 3), span(0, 3)...)) {
				t.Errorf("got %v, want the batch twice", got)
			}
		})
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	c := newCluster(t, 1)
	good := c.start(&recorder{}, nil).g.o
	good.Metrics = nil
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no connection", func(o *Options) { o.Conn = nil }, "connection"},
		{"no handler", func(o *Options) { o.Handler = nil }, "handler"},
		{"no group", func(o *Options) { o.Group = "" }, "name and a topic"},
		{"no topic", func(o *Options) { o.Topic = "" }, "name and a topic"},
		{"unknown start", func(o *Options) { o.Start = "yesterday" }, `start is "yesterday"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := good
			test.change(&o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := New(good); err != nil {
		t.Errorf("complete options: %v", err)
	}
}

func TestBalancerKnowsWhetherThisMemberLeads(t *testing.T) {
	b := &balancer{}
	members := []kafka.GroupMember{{ID: "a", Topics: []string{"t"}}, {ID: "b", Topics: []string{"t"}}}
	partitions := []kafka.Partition{{Topic: "t", ID: 0}, {Topic: "t", ID: 1}, {Topic: "t", ID: 2}}
	if _, leader := b.shared(); leader {
		t.Error("leader before anything was shared out")
	}
	_, _ = b.UserData()
	if got := b.AssignGroups(members, partitions); len(got["a"]["t"])+len(got["b"]["t"]) != 3 {
		t.Errorf("assignment %v", got)
	}
	if n, leader := b.shared(); n != 3 || !leader {
		t.Errorf("shared %d, leader %v", n, leader)
	}
	if _, err := b.UserData(); err != nil {
		t.Fatal(err)
	}
	if _, leader := b.shared(); leader {
		t.Error("still leader in the next attempt to join")
	}
}
