package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// startGeneration runs gen on a goroutine of its own, which ends when gen does. When gen
// has ended already the library runs it all the same, but no longer waits for it: the
// WaitGroup does.
func (g *Group) startGeneration(ctx context.Context, gen *kafka.Generation) {
	shared, leader := g.balancer.shared()
	g.wg.Add(1)
	gen.Start(func(genCtx context.Context) {
		defer g.wg.Done()
		genCtx, cancel := context.WithCancel(genCtx)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		r := generation{Group: g, gen: gen, leader: leader, total: shared, cancel: cancel, commits: newCommitter(g.o.Topic, gen.CommitOffsets)}
		r.run(genCtx)
	})
}

// generation is one generation of the group: the partitions that this member has until
// the next rebalance.
type generation struct {
	*Group
	gen     *kafka.Generation
	leader  bool
	total   int                // partitions that were shared out; 0 until known, where another member is the leader
	cancel  context.CancelFunc // ends it
	commits *committer
}

// run consumes the assigned partitions until ctx ends, or until something calls cancel: a
// worker (fenced by the coordinator, its handler failed, its topic was made anew), or the monitor. The generation ends for all its
// functions when one returns, so this is the only one, and it returns last.
func (r *generation) run(ctx context.Context) {
	starts, ok := r.starts(ctx, r.gen, r.leader)
	if !ok || !r.learnTotal(ctx) {
		return
	}
	r.log.Info("partitions assigned",
		zap.Int32("generation", r.gen.ID), zap.Bool("leader", r.leader),
		zap.Int("assigned", len(starts)), zap.Int("total", r.total), zap.Any("beginning_at", starts))
	if r.o.OnAssigned != nil {
		if err := r.o.OnAssigned(len(starts), r.total); err != nil {
			r.refuse(ctx, fmt.Errorf("assigned %d of %d partitions of %s: %w", len(starts), r.total, r.o.Topic, err))
			return
		}
	}
	r.refusedSince, r.content = time.Time{}, true
	r.assigned.Store(int64(len(starts)))
	defer r.assigned.Store(-1)
	r.consume(ctx, starts)
}

// refuse consumes nothing until the next generation, which may have another share, and
// gives up when the share has been refused for too long.
func (r *generation) refuse(ctx context.Context, err error) {
	if r.refusedSince.IsZero() {
		r.refusedSince = time.Now()
	}
	grace := r.o.ShareGrace
	if r.content {
		grace *= 2
	}
	left := grace - time.Since(r.refusedSince)
	r.log.Warn("nothing is consumed with this share; waiting whether the other member is one that is gone", zap.Duration("at_most", left), zap.Error(err))
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		r.fail(&fatalError{err})
	}
}

// learnTotal makes sure that total is known. The leader knows what it shared out; any
// other member asks for the metadata. False: ctx ended.
func (r *generation) learnTotal(ctx context.Context) bool {
	if r.total > 0 {
		return true
	}
	return r.retry(ctx, "count the topic's partitions", func(ctx context.Context) error {
		all, err := r.partitions(ctx)
		r.total = len(all)
		if errors.Is(err, kafka.UnknownTopicOrPartition) {
			return nil // gone meanwhile: the watcher ends the generation
		}
		return err
	})
}

// consume runs one worker per partition and the monitor, and returns when all ended.
func (r *generation) consume(ctx context.Context, starts map[int]int64) {
	var wg sync.WaitGroup
	workers := make([]*worker, 0, len(starts))
	for partition, offset := range starts {
		w := newWorker(r, partition, offset)
		w.hasCommit = slices.ContainsFunc(r.gen.Assignments[r.o.Topic], func(a kafka.PartitionAssignment) bool {
			return a.ID == partition && a.Offset >= 0
		})
		workers = append(workers, w)
		wg.Go(func() { w.run(ctx) })
	}
	m := monitor{generation: r, workers: workers}
	wg.Go(func() { m.run(ctx) })
	wg.Wait()
	r.metrics.forget(starts)
	r.log.Info("partitions given back", zap.Int32("generation", r.gen.ID), zap.Int("assigned", len(starts)))
}
