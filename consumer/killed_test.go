package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// hold is a message of a consumer that is kept on its way.
type hold struct {
	reached <-chan struct{} // closed when it has come
	release func()          // has it arrive
	lose    func()          // and has it not
}

// holdRequest keeps the next request of a kind that is for a topic.
func (b *bench) holdRequest(key kmsg.Key, topic string) hold {
	reached, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var done, lost atomic.Bool
	b.kafka.ControlKey(int16(key), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if !isOf(request, topic) || done.Swap(true) {
			return nil, nil, false
		}
		b.kafka.DropControl()
		b.kafka.SleepControl(func() {
			close(reached)
			<-released
		})
		if lost.Load() {
			return nil, errors.New("lost"), true
		}
		return nil, nil, false
	})
	release := func() { once.Do(func() { close(released) }) }
	b.t.Cleanup(release)
	return hold{reached, release, func() { lost.Store(true); release() }}
}

// isOf says whether a request is for a topic.
func isOf(request kmsg.Request, topic string) bool {
	switch request := request.(type) {
	case *kmsg.ProduceRequest:
		return len(request.Topics) > 0 && request.Topics[0].Topic == topic
	case *kmsg.OffsetCommitRequest:
		return len(request.Topics) > 0 && request.Topics[0].Topic == topic
	default:
		return false
	}
}

// moment is where a consumer is killed or stopped: at a message that it sends, or waits for.
type moment struct {
	name string
	at   func() hold
	lost bool // the message does not arrive
}

// moments are those of Kafka and, where there is a road to the database, each message on it. Which
// those are the tests see themselves: the nth is beyond the end when all is handled before it.
func moments(r *rise, road *storetest.Road) func(yield func(moment) bool) {
	return func(yield func(moment) bool) {
		for _, lost := range []bool{true, false} {
			if !yield(moment{"publish", func() hold { return r.holdRequest(kmsg.Produce, "im.alarms") }, lost}) ||
				!yield(moment{"commit", func() hold { return r.holdRequest(kmsg.OffsetCommit, "im.alarms.raw") }, lost}) {
				return
			}
		}
		for n := 1; road != nil; n++ {
			at := func() hold {
				h := road.HoldAt(n)
				return hold{h.Reached, h.Release, func() { road.Close(); road.Open() }}
			}
			if !yield(moment{fmt.Sprintf("message %d of the database", n), at, n%2 == 0}) {
				return
			}
		}
	}
}

// reach feeds a step and waits until the message is held. False: it was handled without one.
func (r *rise) reach(c *child, m moment, h hold) bool {
	r.t.Helper()
	r.feed(1)
	reached := false
	eventually(r.t, m.name, func() bool {
		select {
		case <-h.reached:
			reached = true
		case <-c.ended:
			r.t.Fatalf("%s: the consumer ended", m.name)
		default:
		}
		return reached || r.isHandled()
	})
	return reached
}

// onRoad returns a bench of one partition, so that one message comes after another, and the
// road to its database; nil: it has none.
func onRoad(t *testing.T) (r *rise, direct string, road *storetest.Road) {
	b := newBench(t, kfake.SeedTopics(1, "im.alarms.raw", "im.alarms", "im.alarms.dlq"))
	r = newRise(t, b)
	direct = b.store
	if !strings.HasPrefix(direct, "sqlite:") {
		road, b.store = storetest.NewRoad(t, direct)
	}
	return r, direct, road
}

// A consumer is killed at each message that a batch takes, to and from its database and Kafka,
// be it that the message still arrives or not.
func TestKilledAtEachMessage(t *testing.T) {
	r, direct, road := onRoad(t)
	start := func() *child { return r.child("--session-timeout=10s") }
	kills := 0
	c := start()
	for m := range moments(r, road) {
		r.feed(1)
		r.handled() // what is only done the first time is over
		h := m.at()
		if !r.reach(c, m, h) {
			break
		}
		c.kill()
		kills++
		if m.lost {
			h.lose()
		} else {
			h.release()
		}
		r.expire()
		c = start()
	}
	r.handled()
	r.store = direct
	r.oneEffect()
	if kills < 4 || road != nil && kills < 8 {
		t.Errorf("%d kills only", kills)
	}
}

// A consumer is stopped at each of those messages until its session is over, and wakes up: over
// PostgreSQL beside a successor, which has handled everything meanwhile. SQLite is for one
// consumer, which goes on with its own work.
func TestStoppedAtEachMessage(t *testing.T) {
	r, direct, road := onRoad(t)
	if road != nil { // whose transaction is open is not waited for as long as in life
		r.store += "&idle_in_transaction_session_timeout=300"
	}
	start := func() *child { return r.child("--session-timeout=10s") }
	stops := 0
	c := start()
	for m := range moments(r, road) {
		if m.lost && strings.HasPrefix(m.name, "message") {
			continue // then nothing of what it holds in hand could be saved any more
		}
		r.feed(1)
		r.handled()
		h := m.at()
		if !r.reach(c, m, h) {
			break
		}
		c.signal(syscall.SIGSTOP)
		stops++
		r.expire()
		if road == nil {
			wake(c, m, h)
			continue
		}
		through := r.store
		r.store = direct
		successor := start()
		r.store = through
		r.feed(1)
		r.handled()
		wake(c, m, h)
		r.feed(1)
		eventually(t, "the end of its generation", func() bool { return strings.Contains(c.logs.String(), "partitions given back") })
		r.handled()
		c.kill()
		successor.kill()
		r.expire()
		c = start()
	}
	r.handled()
	r.store = direct
	r.oneEffect()
	if stops < 2 || road != nil && stops < 5 {
		t.Errorf("%d stops only", stops)
	}
}

// wake lets the held message and the consumer go on.
func wake(c *child, m moment, h hold) {
	if m.lost {
		h.lose()
	} else {
		h.release()
	}
	c.signal(syscall.SIGCONT)
}
