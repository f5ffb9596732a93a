package group

import (
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

func latest(o *Options) { o.Start = StartLatest }

func TestNewGroupAtLatestSkipsWhatWasThere(t *testing.T) {
	c := newCluster(t, 2)
	c.produce(0, 10)
	c.produce(1, 20)
	r := &recorder{}
	c.start(r, latest)
	c.awaitCommit(0, 10)
	c.awaitCommit(1, 20)
	c.produce(0, 3)
	c.awaitCommit(0, 13)
	if got := r.of(0); !slices.Equal(got, span(10, 13)) {
		t.Errorf("partition 0: got %v", got)
	}
	if got := r.of(1); len(got) != 0 {
		t.Errorf("partition 1: got %v", got)
	}
}

// The library takes a partition that the coordinator does not answer for, as it does while
// it is loading, for one without a commit.
func TestCommitThatTheCoordinatorDidNotTellAtFirstIsFound(t *testing.T) {
	for _, from := range []Start{StartEarliest, StartLatest} {
		t.Run(string(from), func(t *testing.T) {
			c := newCluster(t, 1)
			c.produce(0, 10)
			m := c.start(&recorder{}, nil)
			c.awaitCommit(0, 10)
			_ = m.end()
			c.produce(0, 5)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Err: kerr.CoordinatorLoadInProgress, Count: 2})
			r := &recorder{}
			c.start(r, func(o *Options) { o.Start = from })
			c.awaitCommit(0, 15)
			if got := r.of(0); !slices.Equal(got, span(10, 15)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// The beginning is a number from the first assignment on: what comes while the consumer
// is away belongs to it, though it has never consumed a record.
func TestLatestIsDecidedOnce(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	m := c.start(&recorder{}, latest)
	c.awaitCommit(0, 10)
	_ = m.end()
	c.produce(0, 5)
	r := &recorder{}
	c.start(r, latest)
	c.awaitCommit(0, 15)
	if got := r.of(0); !slices.Equal(got, span(10, 15)) {
		t.Errorf("got %v, want what came while nobody was there", got)
	}
}

// Kafka forgot the group's commits, with its topic or after a week; the database did not forget
// that the group is no new one: nothing is skipped.
func TestLatestDoesNotApplyToAGroupThatBeganBefore(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	r := &recorder{}
	c.start(r, func(o *Options) { latest(o); o.Begun = true })
	c.awaitCommit(0, 10)
	if got := r.of(0); !slices.Equal(got, span(0, 10)) {
		t.Errorf("got %v, want all", got)
	}
}

func TestPartitionAddedLaterBeginsAtItsBeginning(t *testing.T) {
	for _, test := range []struct {
		name string
		from Start
	}{{"earliest", StartEarliest}, {"latest", StartLatest}} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 1)
			r := &recorder{}
			m := c.start(r, func(o *Options) { o.Start = test.from })
			eventually(t, "an assignment", func() bool { return m.g.Assigned() == 1 })
			c.grow(3)
			c.produce(2, 8)
			c.awaitCommit(2, 8)
			if got := r.of(2); !slices.Equal(got, span(0, 8)) {
				t.Errorf("got %v", got)
			}
			eventually(t, "all three partitions", func() bool { return m.g.Assigned() == 3 })
		})
	}
}

func TestPartitionAddedWhileNobodyWasThereBeginsAtItsBeginning(t *testing.T) {
	c := newCluster(t, 1)
	m := c.start(&recorder{}, latest)
	c.awaitCommit(0, 0)
	_ = m.end()
	c.grow(2)
	c.produce(1, 4)
	r := &recorder{}
	c.start(r, latest)
	c.awaitCommit(1, 4)
	if got := r.of(1); !slices.Equal(got, span(0, 4)) {
		t.Errorf("got %v", got)
	}
}

func TestMembersThatAreNotTheLeaderWaitForTheBeginning(t *testing.T) {
	c := newCluster(t, 4)
	for p := range int32(4) {
		c.produce(p, 5)
	}
	// The leader's first attempts to commit fail, so that the others have to wait.
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.UnknownServerError, Count: 3})
	one, two := &recorder{}, &recorder{}
	c.start(one, latest)
	c.start(two, latest)
	for p := range int32(4) {
		c.awaitCommit(p, 5)
	}
	c.awaitMembers(2)
	for p := range int32(4) {
		c.produce(p, 2)
		c.awaitCommit(p, 7)
		got := append(one.of(p), two.of(p)...)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, span(5, 7)) {
			t.Errorf("partition %d: got %v", p, got)
		}
	}
}

func TestWhatRetentionDeletedIsAGapOfThatSize(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	m := c.start(&recorder{}, nil)
	c.awaitCommit(0, 10)
	_ = m.end()
	c.produce(0, 40)
	if err := c.DeleteRecords(testTopic, 0, 30); err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	m = c.start(r, nil)
	c.awaitCommit(0, 50)
	if got := r.of(0); !slices.Equal(got, span(30, 50)) {
		t.Errorf("got %v", got)
	}
	wantGap(t, m, "records are missing: kafka deleted them before they were consumed", zap.Int64("missing", 20))
}

func TestOffsetBeyondTheLogBeginsAnewAndSaysSo(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	m := c.start(&recorder{}, nil)
	c.awaitCommit(0, 10)
	_ = m.end()
	client := kafka.Client{Addr: kafka.TCP(c.ListenAddrs()...)}
	if _, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
		GroupID: testGroup, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{testTopic: {{Partition: 0, Offset: 1000}}},
	}); err != nil {
		t.Fatal(err)
	}
	if got := c.committed(0); got != 1000 {
		t.Fatalf("offset is %d after the commit", got)
	}
	r := &recorder{}
	m = c.start(r, nil)
	c.awaitCommit(0, 10)
	if got := r.of(0); !slices.Equal(got, span(0, 10)) {
		t.Errorf("got %v", got)
	}
	wantGap(t, m, "offset of the group is beyond the log's end: the topic was made anew or lost its tail; beginning at its first record",
		zap.Int64("offset", 1000))
}

// kafka-go's reader would wait beyond the new log's end for ever.
func TestTopicMadeAnewUnderARunningConsumerIsReadFromItsBeginning(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 10)
	r := &recorder{}
	c.start(r, latest)
	c.awaitCommit(0, 10)
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	c.create(1)
	c.connect()
	c.produce(0, 4)
	eventually(t, "the new log's records", func() bool { return slices.Equal(r.of(0), span(0, 4)) })
}

// The new log is longer than what was handled of the old one before anybody looks.
func TestLongerTopicMadeAnewIsReadFromItsBeginning(t *testing.T) {
	c := newCluster(t, 1)
	c.produce(0, 5)
	r := &recorder{}
	m := c.start(r, func(o *Options) { o.Poll, o.Heartbeat = 0, 0 }) // the defaults: nobody looks in between
	c.awaitCommit(0, 5)
	if err := c.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	c.create(1)
	c.connect()
	c.produce(0, 50)
	eventually(t, "all of the new log", func() bool { return slices.Equal(r.of(0), append(span(0, 5), span(0, 50)...)) })
	// By whichever saw it: the monitor, the reader or, once the log is longer, the commit that is gone.
	if n, _ := m.value("tidegate_consumer_offset_gaps_total"); n < 1 {
		t.Error("no gap counted")
	}
}

// wantGap checks that one gap was counted, and that its line holds the fact.
func wantGap(t *testing.T, m *member, message string, fact zap.Field) {
	t.Helper()
	if n, _ := m.value("tidegate_consumer_offset_gaps_total"); n != 1 {
		t.Errorf("%v gaps counted, want 1", n)
	}
	if m.logs.FilterMessage(message).FilterField(fact).Len() != 1 {
		t.Errorf("no line %q with %v in %v", message, fact, m.logs.All())
	}
}
