package group

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/schema"
)

func TestLagAndItsAgeAreShown(t *testing.T) {
	c := newCluster(t, 0)
	if err := c.CreateTopic(testTopic, 2, map[string]string{"retention.ms": "3600000"}); err != nil {
		t.Fatal(err)
	}
	c.connect()
	c.produce(0, 5)
	c.produce(1, 3)
	entered, release := make(chan struct{}), make(chan struct{})
	m := c.start(&recorder{handle: func(ctx context.Context, records []schema.Record) error {
		if records[0].Partition == 1 {
			return nil
		}
		close(entered)
		<-release
		return nil
	}}, nil)
	<-entered
	c.awaitCommit(1, 3)
	eventually(t, "the lag of partition 0 and its age", func() bool {
		lag, _ := m.value("tidegate_consumer_lag_records")
		age, _ := m.value("tidegate_consumer_lag_seconds")
		headroom, _ := m.value("tidegate_consumer_retention_headroom_seconds")
		return lag == 5 && age > 0 && age < 60 && headroom > 3500 && headroom < 3600
	})
	close(release)
	eventually(t, "no lag", func() bool {
		lag, _ := m.value("tidegate_consumer_lag_records")
		age, _ := m.value("tidegate_consumer_lag_seconds")
		headroom, _ := m.value("tidegate_consumer_retention_headroom_seconds")
		return lag == 0 && age == 0 && headroom == 3600
	})
	_ = m.end()
	if _, shown := m.value("tidegate_consumer_lag_records"); shown {
		t.Error("the lag of partitions that were given back is still shown")
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &monitor{waiting: map[int]time.Time{}}
	for _, step := range []struct {
		name   string
		behind int64
		oldest time.Time
		after  time.Duration
		want   time.Duration
	}{
		{"nothing waits", 0, time.Time{}, 0, 0},
		{"first seen, not fetched", 4, time.Time{}, 0, 0},
		{"still not fetched", 4, time.Time{}, 10 * time.Second, 10 * time.Second},
		{"in hand: since it was produced", 4, now.Add(-time.Hour), 10 * time.Second, time.Hour + 10*time.Second},
		{"the next one, not fetched: at most that", 2, time.Time{}, 20 * time.Second, time.Hour + 20*time.Second},
		{"all handled", 0, time.Time{}, 30 * time.Second, 0},
		{"a clock ahead of ours", 1, now.Add(time.Hour), 40 * time.Second, 0},
	} {
		if got := m.age(7, step.behind, step.oldest, now.Add(step.after)); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

func TestHeadroom(t *testing.T) {
	for _, test := range []struct {
		name      string
		kept, age time.Duration
		want      float64
	}{
		{"no lag", time.Hour, 0, 3600},
		{"half way", time.Hour, 30 * time.Minute, 1800},
		{"overtaken", time.Hour, 2 * time.Hour, -3600},
		{"kept for ever", -time.Millisecond, time.Hour, math.Inf(1)},
	} {
		m := newMetrics(nil)
		m.setHeadroom(test.kept, test.age)
		if got := testutil.ToFloat64(m.headroom); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		m.forget(nil) // what a member without partitions has to handle, Kafka cannot delete
		if got := testutil.ToFloat64(m.headroom); !math.IsInf(got, 1) {
			t.Errorf("%s: %v is left of partitions that were given back", test.name, got)
		}
	}
}

// A log that ends before what was handled, and partitions beyond what was shared out, end
// the generation; an older count of partitions from the connection's cache does not.
func TestWhatEndsAGeneration(t *testing.T) {
	for _, test := range []struct {
		name  string
		total int
		next  int64
		ends  bool
		gaps  float64
	}{
		{"all as it was shared out", 2, 5, false, 0},
		{"log ends before what was handled", 2, 6, true, 1},
		{"partition added since", 1, 5, true, 0},
		{"count is older than the assignment", 3, 5, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 2)
			c.produce(0, 5)
			member := c.start(&recorder{}, func(o *Options) { o.Group = "another"; o.Log = zap.NewNop() })
			g := member.g
			ended := false
			r := &generation{Group: g, leader: true, total: test.total, cancel: func() { ended = true }}
			m := monitor{generation: r, workers: []*worker{newWorker(r, 0, test.next)}, waiting: map[int]time.Time{}}
			if err := m.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ended != test.ends {
				t.Errorf("ended %v, want %v", ended, test.ends)
			}
			if gaps, _ := member.value("tidegate_consumer_offset_gaps_total"); gaps != test.gaps {
				t.Errorf("%v gaps counted, want %v", gaps, test.gaps)
			}
		})
	}
}
