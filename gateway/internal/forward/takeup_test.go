package forward

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// A topic that answers again is taken up although callbacks of it go on coming: on a device
// whose sync takes 3 ms there is always an entry on its way into the parked journal.
func TestRefusedTopicIsTakenUpUnderLoad(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	slow := vfs.NewFaulty(r.disk, func(op vfs.Op) vfs.Fault {
		if op.Kind == vfs.KindSync {
			d := 2 * time.Millisecond
			if strings.HasPrefix(op.Name, "/parked") {
				d = 15 * time.Millisecond
			}
			time.Sleep(d)
		}
		return vfs.Fault{}
	})
	open := func(dir string, payload int) *journal.Journal {
		j, err := journal.Open(journal.Options{Dir: dir, FS: slow, MaxBytes: 256 << 20, MaxPayload: payload, Retain: -1, SegmentBytes: 32 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	r.life = &life{metrics: prometheus.NewRegistry(), ended: make(chan error, 1), produced: make(chan error, 1)}
	r.main, r.parked = open("/main", 256<<10), open("/parked", 256<<10+EnvelopeBytes)
	r.run()
	closed := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	// 3,000 callbacks a second, evenly, from now to the end.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	load := func(d time.Duration, until func() bool) bool {
		for end := time.Now().Add(d); time.Now().Before(end); {
			<-tick.C
			r.append(testTopic, 1_400_000_001, 1_400_000_002, 1_400_000_003)
			if until() {
				return true
			}
		}
		return false
	}
	if !load(10*time.Second, func() bool { return parkedEntries(r, testTopic) > 0 }) {
		t.Fatal("was not parked")
	}
	load(time.Second, func() bool { return false })
	hits := closed.Hits()
	closed.Remove()
	began := time.Now()
	parked := parkedEntries(r, testTopic)
	if load(5*time.Second, func() bool { return watermarks(r, testTopic) > 0 }) {
		t.Logf("taken up after %v", time.Since(began))
	} else {
		t.Errorf("the topic has answered for %v (refused attempts before: %d) and nothing was sent to it; parked %d, then %d",
			time.Since(began).Round(time.Second), hits, parked, parkedEntries(r, testTopic))
	}
	r.drain()
}
