package forward

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A topic is deleted and made again while entries are on their way: offsets begin at 0, nobody
// knows our producer ids. Those that the old topic did not have go into the new one, in order and
// once, however many partitions it has and however long it was away.
func TestTopicMadeAgain(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after int32
		parked        bool // it is away for longer than the grace period
		restart       bool // and we are, too
	}{
		{name: "as it was", before: 6, after: 6},
		{name: "with fewer partitions", before: 6, after: 2},
		{name: "with more partitions", before: 2, after: 6},
		{name: "with fewer partitions, after a while", before: 6, after: 2, parked: true},
		{name: "with more partitions, after a while", before: 2, after: 6, parked: true},
		{name: "with more partitions, over a restart", before: 2, after: 6, restart: true},
		{name: "with fewer partitions, after a while and over a restart", before: 6, after: 2, parked: true, restart: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kfake.SeedTopics(tt.before, testTopic))
			r.produce = small
			r.start()
			const rounds = 10
			load := func() {
				for range rounds {
					r.synced(r.append(testTopic, apps(32)...))
				}
			}
			load()
			r.drain()
			stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			load()
			if err := stuck.Wait(t.Context(), int(tt.before)); err != nil {
				t.Fatal(err)
			}
			if err := r.cluster.DeleteTopic(testTopic); err != nil {
				t.Fatal(err)
			}
			stuck.Remove()
			if tt.parked {
				eventually(t, "all is parked", func() bool { return parkedEntries(r, testTopic) == 32*rounds })
				load()
			}
			if tt.restart {
				r.stop()
			}
			if err := r.cluster.CreateTopic(testTopic, tt.after, nil); err != nil {
				t.Fatal(err)
			}
			if tt.restart {
				r.start()
			}
			load()
			r.drain()
			r.continues(rounds)
		})
	}
}

// continues fails unless the test's topic has each app's records from a number on, all and once.
func (r *rig) continues(from int) {
	r.t.Helper()
	next := map[string]int{}
	for _, d := range r.fetchByTime(testTopic) {
		if next[d.app] == 0 {
			next[d.app] = from
		}
		if d.n != next[d.app] {
			r.t.Fatalf("app %s: record %d came where %d was due", d.app, d.n, next[d.app])
		}
		next[d.app]++
	}
	for _, app := range apps(32) {
		key := fmt.Sprint(app)
		if want := r.seq[testTopic+key]; next[key] != want {
			r.t.Errorf("app %s: records up to %d, want %d", key, next[key], want)
		}
	}
}
