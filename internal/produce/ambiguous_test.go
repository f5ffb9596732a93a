package produce

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Attempt 1 of a record is applied, its answer says that the time was up (7). Attempt 2 is
// refused as too large (max.message.bytes was lowered meanwhile). The record that comes next
// goes out under the same sequence: to the broker it is a repetition of the first one.
func TestRefusedAfterAnAppliedAttempt(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	p := producer(t, c, nil)
	produceKey := []kmsg.Key{kmsg.Produce}
	timedOut := c.Fault(kfake.Fault{Keys: produceKey, Topic: testTopic, Err: kerr.RequestTimedOut}) // kfake: applied all the same
	c.Fault(kfake.Fault{Keys: produceKey, Topic: testTopic, Err: kerr.MessageTooLarge})
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	fill(t, l, 0, 1)
	first := o.next(t)
	if timedOut.Hits() != 1 {
		t.Fatal("the first attempt was not answered 7")
	}
	fill(t, l, 1, 1)
	second := o.next(t)
	got := values(t, c)
	t.Logf("record 0: outcome %d code %d; record 1: outcome %d; in the log: %v", first.Outcome, first.Code, second.Outcome, got)
	if second.Outcome == Delivered && !slices.Contains(got, "1") {
		t.Error("record 1 was reported as delivered and is not in the log: lost")
	}
}

// The same with a topic that closes: attempt 1 of {0 1} is applied and timed out, then the topic
// refuses for good and both are handed back. The owner sends another pair first (in the gateway:
// a batch that held a single record tried again, or what was parked of another numbering).
func TestTopicClosedAfterAnAppliedAttempt(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, testTopic))
	p := producer(t, c, nil)
	produceKey := []kmsg.Key{kmsg.Produce}
	c.Fault(kfake.Fault{Keys: produceKey, Topic: testTopic, Err: kerr.RequestTimedOut})
	closed := c.Fault(kfake.Fault{Keys: produceKey, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	fill(t, l, 0, 2)
	if s := o.next(t); s.Outcome != TopicRefused {
		t.Fatalf("outcome %d", s.Outcome)
	}
	closed.Remove()
	l.Reopen()
	fill(t, l, 2, 2)
	s := o.next(t)
	got := values(t, c)
	t.Logf("records 2 and 3: outcome %d; in the log: %v", s.Outcome, got)
	if s.Outcome == Delivered && !slices.Contains(got, "2") {
		t.Error("records 2 and 3 were reported as delivered and are not in the log: lost")
	}
}
