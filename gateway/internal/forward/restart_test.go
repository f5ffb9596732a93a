package forward

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A stop in order leaves nothing to deliver twice, also while lanes stand at different places.
func TestRestartHonoursCursors(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(6, testTopic))
	r.produce = small
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{1}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.forward = func(o *Options) { o.StopTimeout = 100 * time.Millisecond }
	r.start()
	const rounds = 40
	others := rounds * int64(64-inPartition(apps(64), 1, 6))
	for range rounds {
		r.append(testTopic, apps(64)...)
	}
	eventually(t, "the other partitions have theirs", func() bool { return watermarks(r, testTopic) == others })
	for range 3 {
		r.stop()
		r.start()
		r.synced(r.append(testTopic, apps(1)...))
	}
	stuck.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Cursors of a former numbering count after a restart, too.
func TestRestartAfterPartitionsWereAdded(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(3, testTopic))
	r.produce = small
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.forward = func(o *Options) { o.StopTimeout = 100 * time.Millisecond }
	r.start()
	const rounds = 40
	for range rounds {
		r.append(testTopic, apps(32)...)
	}
	others := rounds * int64(32-inPartition(apps(32), 0, 3))
	eventually(t, "the other partitions have theirs", func() bool { return watermarks(r, testTopic) == others })
	r.stop()
	addPartitions(r, testTopic, 7)
	stuck.Remove()
	r.start()
	for range 5 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetchByTime(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// Killed at random moments: all that was synced is delivered, in order; what comes twice was
// delivered after the last checkpoint that the disk has.
func TestKills(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small
	r.start()
	random := rand.New(rand.NewPCG(1, 2))
	kills, bound := 8, 0
	for range kills {
		before := r.main.Stats().Settled
		for range 20 + random.IntN(60) {
			r.synced(r.append(testTopic, apps(32)...))
		}
		bound += int(r.main.Stats().Appended - before)
		r.kill()
		r.start()
	}
	r.drain()
	n := r.inOrder(testTopic, r.fetch(testTopic))
	if n > bound {
		t.Errorf("%d duplicates, more than was in question", n)
	}
	t.Logf("%d kills, %d duplicates of %d records", kills, n, watermarks(r, testTopic))
}

// After a kill that follows a checkpoint, with nothing delivered in between, nothing comes twice.
func TestKillAfterCheckpoint(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.start()
	for range 20 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	eventually(t, "the checkpoint is written", func() bool { return r.main.Stats().Settled == r.main.Stats().Appended })
	<-time.After(300 * time.Millisecond) // the journal writes it every 100 ms and does not say when
	r.kill()
	r.start()
	r.append(testTopic, apps(32)...)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// A stop that comes just after the loop was woken finds the mail that it was woken for: with no
// further wake-up to come, what was parked and synced is settled in the main journal, else
// it would be parked again after the restart and go out twice.
func TestStopReadsWhatItWasWokenFor(t *testing.T) {
	r := newRig(t)
	r.forward = func(o *Options) { o.StopTimeout = 20 * time.Second }
	r.open()
	r.prepare()
	r.ended <- nil // nobody runs the loop but this test
	f := r.forwarder
	f.live.reader = f.journal.Reader(1)
	defer f.closeReaders()
	last := r.append(testTopic, apps(16)...)
	r.synced(last)
	eventually(t, "all is parked", func() bool {
		f.now = time.Now()
		f.review()
		f.turn()
		return parkedEntries(r, testTopic) == 16
	})
	eventually(t, "all is synced there", func() bool { return r.parked.Stats().Synced == r.parked.Stats().Appended })
	if len(f.park.waiting) == 0 {
		t.Log("the last turn saw it already: this run shows less")
	}
	began := time.Now()
	f.finish(events{}) // never woken
	if took := time.Since(began); took > f.o.StopTimeout/2 {
		t.Errorf("took %v although nothing was left to wait for", took)
	}
	if s := r.main.Stats(); s.Settled != last.LSN {
		t.Errorf("settled up to %d of %d", s.Settled, last.LSN)
	}
}
