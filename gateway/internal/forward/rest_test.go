package forward

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
)

// A cluster that answers more slowly than a reader waits, and a backlog: all lanes lag, and the
// live reader does not run through the journal for nobody, since the pass reads it all again.
func TestLiveReaderRestsWhileAllLanesLag(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic), kfake.SleepOutOfOrder())
	r.produce = func(o *produce.Options) { o.MaxBatchRecords = 100 }
	r.forward = func(o *Options) { o.unpaced = true }
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
	ahead, samples := journal.LSN(0), 0
	eventually(t, "a third is delivered", func() bool {
		err := r.forwarder.do(context.Background(), func() {
			f := r.forwarder
			if f.topics[testTopic] == nil {
				return // nothing was read yet
			}
			for _, l := range f.topics[testTopic].lanes {
				if l.lagging {
					samples++
					ahead = max(ahead, f.liveLSN-min(f.liveLSN, f.position(l)))
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return watermarks(r, testTopic) > rounds*64/3
	})
	// What lags is behind by what the other lane could still take, its two batches and as much
	// of this one's, and by what the live reader passes over before it rests, twice: it looks
	// again when a pass ended.
	if bound := journal.LSN(2*(restAfter+chunk) + 4*100*2); ahead > bound {
		t.Errorf("the live reader was %d entries ahead of a lane that lags, want at most %d", ahead, bound)
	}
	if samples == 0 {
		t.Error("no lane lagged: the test shows nothing")
	}
	r.drain()
	r.inOrder(testTopic, r.fetch(testTopic))
}
