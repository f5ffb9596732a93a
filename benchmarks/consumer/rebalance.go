//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// Variants of the part rebalance.
const (
	variantJoins  = "joins"
	variantKilled = "killed"
)

const (
	// steadyRate is how many alarms a second come while members come and go: some for every
	// partition in any tenth of a second.
	steadyRate = 300

	// session is the members' session timeout: the least that Kafka permits by default.
	session = 6 * time.Second

	// rebalancing bounds how long a rebalance takes: a session, and another attempt to join.
	rebalancing = 40 * time.Second
)

// group is a group of consumers that alarms keep coming for.
type group struct {
	*bench
	dir, apps, store string
	kafka            kafkaconn.Flags
	asking           *kgo.Client // of the coordinator
	seen             *seen
}

// rebalance has a second consumer join a group and kills it.
func (b *bench) rebalance(ctx context.Context) (err error) {
	g := &group{bench: b}
	if g.dir, err = b.folder("rebalance"); err != nil {
		return err
	}
	if g.apps, err = b.appsFile(ctx, g.dir); err != nil {
		return err
	}
	if g.kafka, err = b.topics(ctx, "rebalance"); err != nil {
		return err
	}
	t, err := newPostgresTable(ctx, b.Postgres)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	g.store = t.store()
	if g.asking, err = newProducer(g.kafka); err != nil {
		return err
	}
	defer g.asking.Close()
	if g.seen, err = follow(ctx, g.kafka); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.seen.stop()) }()
	ctx, cancel := context.WithCancel(ctx)
	sending := make(chan error, 1)
	go func() { sending <- g.send(ctx) }()
	defer func() {
		cancel()
		if failed := <-sending; !errors.Is(failed, context.Canceled) {
			err = errors.Join(err, failed)
		}
	}()
	stays, err := g.start(ctx, "stays")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stays.child.Kill()) }()
	if _, err := g.processing(ctx, time.Now()); err != nil {
		return drive.Explain(err, stays.output)
	}
	for round := range b.Rebalances {
		if err := g.round(ctx, round); err != nil {
			return drive.Explain(fmt.Errorf("round %d: %w", round+1, err), stays.output)
		}
	}
	return nil
}

func (g *group) start(ctx context.Context, name string) (*member, error) {
	return g.startMember(ctx, g.dir, name, g.apps, g.kafka, g.store, "--session-timeout", session.String())
}

// send writes raw alarms on schedule until ctx ends.
func (g *group) send(ctx context.Context) error {
	client, err := newProducer(g.kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	made := rawAlarm{int64(g.Apps), schema.NewTopics(g.kafka.TopicPrefix).AlarmsRaw}
	schedule := drive.Schedule{Begin: time.Now(), Rate: steadyRate}
	for i := int64(0); ; i++ {
		if err := wait(ctx, time.Until(schedule.Due(i))); err != nil {
			return err
		}
		client.Produce(ctx, made.record(i, time.Now(), bottomUsed+i/int64(g.Apps)), nil)
	}
}

// round has a second consumer join, and kills it.
func (g *group) round(ctx context.Context, round int) (err error) {
	joined := make(chan error, 1)
	var second *member
	go func() {
		var err error
		second, err = g.start(ctx, fmt.Sprintf("comes-%d", round+1))
		joined <- err
	}()
	measured := g.measure(ctx, round, variantJoins, 2)
	if err := errors.Join(<-joined, measured); err != nil {
		if second != nil {
			err = errors.Join(err, second.child.Kill())
		}
		return err
	}
	if err := second.child.Kill(); err != nil {
		return err
	}
	return g.measure(ctx, round, variantKilled, 1)
}

// measure waits for a stable generation of so many members, and then for an event of every
// partition.
func (g *group) measure(ctx context.Context, round int, variant string, members int) error {
	at, err := g.stableWith(ctx, members)
	if err != nil {
		return err
	}
	first, err := g.processing(ctx, at)
	if err != nil {
		return err
	}
	soonest, latest := rebalancing, time.Duration(0)
	for _, event := range first {
		soonest, latest = min(soonest, event.Sub(at)), max(latest, event.Sub(at))
	}
	g.add(sample{Part: partRebalance, Variant: variant, Round: round, Figures: map[string]float64{
		worstMillis: float64(latest.Microseconds()) / 1000, firstMillis: float64(soonest.Microseconds()) / 1000,
	}})
	return nil
}

// stableWith returns the first moment in which the coordinator said that the generation is
// stable and has so many members.
func (g *group) stableWith(ctx context.Context, members int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, rebalancing)
	defer cancel()
	for {
		n, yes, err := stable(ctx, g.asking, "tidegate")
		at := time.Now()
		if err != nil {
			return at, err
		}
		if yes && n == members {
			return at, nil
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return at, fmt.Errorf("a stable generation of %d members: %w", members, err)
		}
	}
}

// processing waits until there is an event of every partition that came after a time, and
// returns when those came.
func (g *group) processing(ctx context.Context, after time.Time) (first map[int32]time.Time, err error) {
	err = until(ctx, "an event of every partition", rebalancing, func() (bool, error) {
		first = g.seen.firstAfter(after)
		return len(first) == stack.DefaultPartitions, nil
	})
	return first, err
}
