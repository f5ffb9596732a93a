package group

import (
	"context"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// retentionAge is for how long an answer about the retention is used.
const retentionAge = time.Minute

// monitor watches one generation: lag, time until retention overtakes it, and two things
// that the library does not notice. It is one goroutine.
type monitor struct {
	*generation
	workers []*worker

	kept    time.Duration     // retention of the topic; negative: no limit
	asked   time.Time         // when kept was asked for; zero: never
	waiting map[int]time.Time // by partition: since when its oldest record waits
}

// run looks every Poll until ctx ends.
func (m *monitor) run(ctx context.Context) {
	m.waiting = make(map[int]time.Time)
	for ctx.Err() == nil {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.setUp(false, err)
		}
		pause(ctx, m.o.Poll)
	}
}

// look compares what Kafka holds with what was handled. It ends the generation when
//
//   - a log ends before what was handled (the topic was made anew, or a leader lost its
//     tail): a reader there would wait for ever. The next generation begins within it;
//   - there are more partitions now than this leader shared out: the library's own
//     watcher takes the number that it sees first for the number that was shared out, and
//     misses what was added between.
func (m *monitor) look(ctx context.Context) error {
	all, err := m.partitions(ctx)
	if err != nil {
		return err
	}
	if m.leader && len(all) > m.total { // fewer: the answer is from a cache, seconds old
		m.log.Info("partitions were added after they were shared out: joining again",
			zap.Int("shared", m.total), zap.Int("partitions", len(all)))
		m.cancel()
		return nil
	}
	if len(m.workers) == 0 {
		m.setUp(true, nil)
		return nil
	}
	numbers := make([]int, 0, len(m.workers))
	done := make(map[int]progress, len(m.workers))
	for _, w := range m.workers {
		w.mu.Lock()
		done[w.partition] = w.progress
		w.mu.Unlock()
		numbers = append(numbers, w.partition)
	}
	// Progress is read first: it can only grow, so it is beyond the end only if that fell.
	ranges, err := m.ranges(ctx, numbers)
	if err != nil {
		return err
	}
	m.setUp(true, nil)
	m.learnRetention(ctx)
	m.report(done, ranges)
	return nil
}

// report sets the gauges, and ends the generation where a log ends too early.
func (m *monitor) report(done map[int]progress, ranges map[int]logRange) {
	now := time.Now()
	var age time.Duration
	for p, d := range done {
		r := ranges[p]
		if r.end < d.next {
			m.metrics.gaps.Inc()
			m.log.Error("log ends before what was handled: joining again",
				zap.Int("partition", p), zap.Int64("offset", d.next), zap.Int64("log_end", r.end))
			m.cancel()
		}
		behind := max(0, r.end-d.next)
		m.metrics.lag.WithLabelValues(strconv.Itoa(p)).Set(float64(behind))
		age = max(age, m.age(p, behind, d.oldest, now))
	}
	m.metrics.lagSeconds.Set(age.Seconds())
	if !m.asked.IsZero() {
		m.metrics.setHeadroom(m.kept, age)
	}
}

// age returns for how long the oldest record that was not handled has waited: since it was
// produced, where it is in hand; from then until the next batch is, since the same time, which is
// rather too much; and before the first batch since it was first seen to be there.
func (m *monitor) age(p int, behind int64, oldest, now time.Time) time.Duration {
	if behind == 0 {
		delete(m.waiting, p)
		return 0
	}
	since, ok := m.waiting[p]
	if !oldest.IsZero() {
		since, ok = oldest, true
	}
	if !ok {
		since = now
	}
	m.waiting[p] = since
	return max(0, now.Sub(since))
}

// learnRetention asks for the topic's retention now and then. A principal that may not
// describe the topic costs the headroom's metric, nothing else.
func (m *monitor) learnRetention(ctx context.Context) {
	if time.Since(m.asked) < retentionAge {
		return
	}
	kept, err := m.retention(ctx)
	if err != nil {
		m.log.Debug("could not ask for the retention", zap.Error(err))
		return
	}
	m.kept, m.asked = kept, time.Now()
}
