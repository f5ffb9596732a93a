package group

import (
	"context"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// starts decides at which offset each assigned partition begins, and keeps asking until
// it knows. False: ctx ended.
//
// The decision, per partition:
//
//  1. a committed offset within the log: there;
//  2. a committed offset before the log's first record: at that record, and the gap is
//     reported (retention overtook the group);
//  3. a committed offset beyond the log's end: at the log's first record, and that is
//     reported (the topic was made anew, or a leader lost its tail). Duplicates are
//     recognised downstream; records that were skipped would be lost;
//  4. no committed offset, StartLatest, and no partition of the topic has one: this is the
//     group's first assignment. The leader commits the end of every partition, in one
//     request; other members wait for that commit. So the beginning is a number from then
//     on, and a restart before the first record skips nothing. A member that had an
//     assignment before knows that this is not the first one: Kafka forgets the commits
//     of a topic that was deleted, and all records of the new one are new;
//  5. no committed offset otherwise: at the log's first record.
//
// A negative offset of the library's means that there is no commit, see StartOffset in member.
func (g *Group) starts(ctx context.Context, gen *kafka.Generation, leader bool) (map[int]int64, bool) {
	starts := make(map[int]int64)
	fresh := false
	for _, a := range gen.Assignments[g.o.Topic] {
		starts[a.ID] = a.Offset
		fresh = fresh || a.Offset < 0
	}
	if len(starts) == 0 {
		return starts, true
	}
	if fresh && !g.begin(ctx, gen, leader, starts) {
		return nil, false
	}
	for p, offset := range starts {
		start, ok := g.within(ctx, p, offset)
		if !ok {
			return nil, false
		}
		starts[p] = start
	}
	g.begun = true
	return starts, true
}

// begin does step 4 of starts: it fills in the offsets of partitions that have a commit
// afterwards. It asks for the commits itself, because the library takes any partition that
// is not in its answer for one without a commit. False: ctx ended.
func (g *Group) begin(ctx context.Context, gen *kafka.Generation, leader bool, starts map[int]int64) bool {
	for {
		var all []int
		var committed map[int]int64
		if !g.retry(ctx, "look for the group's commits", func(ctx context.Context) (err error) {
			if all, err = g.partitions(ctx); err == nil {
				committed, err = g.committed(ctx, all)
			}
			return err
		}) {
			return false
		}
		if len(committed) > 0 || g.o.Start != StartLatest || g.begun {
			for p := range starts {
				if offset, ok := committed[p]; ok && starts[p] < 0 {
					starts[p] = offset
				}
			}
			return true
		}
		if !leader {
			pause(ctx, g.o.Heartbeat/2)
			continue
		}
		if !g.retry(ctx, "commit the group's beginning", func(ctx context.Context) error {
			return g.commitEnds(ctx, gen, all)
		}) {
			return false
		}
	}
}

// commitEnds commits the end of all partitions as the group's beginning.
func (g *Group) commitEnds(ctx context.Context, gen *kafka.Generation, all []int) error {
	ranges, err := g.ranges(ctx, all)
	if err != nil {
		return err
	}
	ends := make(map[int]int64, len(ranges))
	for p, r := range ranges {
		ends[p] = r.end
	}
	if err := gen.CommitOffsets(map[string]map[int]int64{g.o.Topic: ends}); err != nil {
		return err
	}
	g.log.Info("new group begins at the end of the log", zap.Any("offsets", ends))
	return nil
}

// within returns where to begin in partition p when the group's offset is the given one
// (negative: none), reports what is missing, and keeps asking until it knows. False: ctx
// ended.
func (g *Group) within(ctx context.Context, p int, offset int64) (int64, bool) {
	var r logRange
	if !g.retry(ctx, "look up the log's range", func(ctx context.Context) error {
		ranges, err := g.ranges(ctx, []int{p})
		r = ranges[p]
		return err
	}) {
		return 0, false
	}
	switch {
	case offset < 0:
		return r.first, true
	case offset < r.first:
		g.gap(p, offset, r.first)
		return r.first, true
	case offset > r.end:
		g.metrics.gaps.Inc()
		g.log.Error("offset of the group is beyond the log's end: the topic was made anew or lost its tail; beginning at its first record",
			zap.Int("partition", p), zap.Int64("offset", offset), zap.Int64("log_end", r.end), zap.Int64("beginning_at", r.first))
		return r.first, true
	}
	return offset, true
}

// gap reports that the records from offset want up to, not including, got are missing.
func (g *Group) gap(p int, want, got int64) {
	g.metrics.gaps.Inc()
	g.log.Error("records are missing: kafka deleted them before they were consumed",
		zap.Int("partition", p), zap.Int64("expected_offset", want), zap.Int64("next_offset", got), zap.Int64("missing", got-want))
}
