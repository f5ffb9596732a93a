package forward

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// clockedPace plays a pace through time: entries come at live a second.
type clockedPace struct {
	pace
	now      time.Time
	appended journal.LSN
	live     int
}

func newClockedPace(live int) *clockedPace {
	return &clockedPace{now: time.Unix(1_700_000_000, 0), live: live}
}

// pass lets d go by, with adjustments, and returns how many entries were let go.
func (c *clockedPace) pass(d time.Duration, behind bool, p99 time.Duration) (went int) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(10 * time.Millisecond)
		c.appended += journal.LSN(c.live / 100)
		if c.now.Sub(c.looked) >= paceEvery {
			c.adjust(c.now, behind, c.appended, journal.SyncTimes{Count: 500, P99: p99})
		}
		for n := 0; n < 10_000 && !c.spent(c.now); n++ {
			c.took()
			went++
		}
	}
	return went
}

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	t.Run("nothing to catch up: no bound", func(t *testing.T) {
		c := newClockedPace(2000)
		if went := c.pass(time.Second, false, 2*ms); went != 100*10_000 {
			t.Errorf("%d went, the bound of the test is 1,000,000", went)
		}
	})
	t.Run("the first look at a quiet disk is taken as it is", func(t *testing.T) {
		var p pace
		p.adjust(time.Unix(1, 0), false, 0, journal.SyncTimes{Count: 500, P99: 4 * ms})
		if p.quiet != 4*ms {
			t.Errorf("quiet is %v", p.quiet)
		}
	})
	t.Run("a quiet disk: faster and faster", func(t *testing.T) {
		c := newClockedPace(2000)
		c.pass(5*time.Second, false, 2*ms)
		first, later := c.pass(time.Second, true, 2*ms), 0
		for range 5 {
			later = c.pass(time.Second, true, 3*ms)
		}
		if first < 5_000 || first > 15_000 || later < 10*first {
			t.Errorf("%d in the first second, %d in the sixth", first, later)
		}
	})
	t.Run("a disk that suffers: down to 1.5 times the live rate, and not below", func(t *testing.T) {
		c := newClockedPace(2000)
		c.pass(10*time.Second, false, 2*ms)
		c.pass(5*time.Second, true, 2*ms)
		fast := c.pass(time.Second, true, 5*ms)
		c.pass(10*time.Second, true, 5*ms)
		if slow := c.pass(time.Second, true, 5*ms); slow < 2900 || slow > 3100 || slow >= fast {
			t.Errorf("%d a second, then %d; want 3,000", fast, slow)
		}
	})
	t.Run("nobody waits for the disk: soon without a bound that matters", func(t *testing.T) {
		p := pace{looked: time.Unix(1, 0)}
		now := time.Unix(1, 0)
		for range 20 {
			now = now.Add(paceEvery)
			p.adjust(now, true, 0, journal.SyncTimes{})
		}
		if p.rate < 1e6 {
			t.Errorf("%.0f a second after five seconds", p.rate)
		}
	})
	t.Run("a start with a backlog: the least latency seen is taken for quiet", func(t *testing.T) {
		c := newClockedPace(1000)
		c.pass(2*time.Second, true, 4*ms)
		if c.quiet != 4*ms {
			t.Errorf("quiet is %v", c.quiet)
		}
		c.pass(2*time.Second, true, 1*ms)
		if c.quiet != 1*ms {
			t.Errorf("quiet is %v", c.quiet)
		}
	})
	t.Run("caught up: no bound any more", func(t *testing.T) {
		c := newClockedPace(1000)
		c.pass(3*time.Second, true, 4*ms)
		c.pass(time.Second, false, 4*ms)
		if c.limited {
			t.Error("still limited")
		}
	})
}

// A forwarder with a backlog is limited, delivers all of it, and is free afterwards.
func TestCatchingUpIsPaced(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small // else the lanes themselves would hold nearly all of it
	away := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.start()
	for range 150 {
		r.synced(r.append(testTopic, apps(64)...))
	}
	away.Remove()
	limited := func() bool { return testutil.ToFloat64(r.forwarder.metrics.catchUp) > 0 }
	eventually(t, "it knows that it is behind", limited)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
	eventually(t, "it is free", func() bool { return !limited() })
}
