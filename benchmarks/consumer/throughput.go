//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// settling is how long a consumer that was stopped goes on uncounted: its heartbeats, its
// connections and the database's locks.
const settling = time.Second

// overSQLite measures the consumer over SQLite.
func (b *bench) overSQLite(ctx context.Context) error {
	dir, err := b.folder("tables-sqlite")
	if err != nil {
		return err
	}
	return b.throughput(ctx, partSQLite, &sqliteTable{dir: dir})
}

// overPostgres measures the consumer over PostgreSQL.
func (b *bench) overPostgres(ctx context.Context) error {
	t, err := newPostgresTable(ctx, b.Postgres)
	if err != nil {
		return err
	}
	return b.throughput(ctx, partPostgres, t)
}

// throughput fills the table and the topic, has a consumer work, and takes turns with the
// baseline. The table is closed.
func (b *bench) throughput(ctx context.Context, name string, t table) (err error) {
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	dir, err := b.folder(name)
	if err != nil {
		return err
	}
	apps, err := b.appsFile(ctx, dir)
	if err != nil {
		return err
	}
	prepared := sample{Part: name, Variant: "prepared", Facts: map[string]string{factKafka: b.kafkaName()}, Figures: map[string]float64{
		rowsBefore: float64(b.Rows), backlogRecords: float64(b.Backlog), appsOf: float64(b.Apps), processors: float64(runtime.NumCPU()),
	}}
	if prepared.Figures[fillSeconds], err = b.fillTable(ctx, dir, apps, t); err != nil {
		return err
	}
	if prepared.Facts[factServer], err = t.server(ctx); err != nil {
		return err
	}
	f, took, err := b.fillBacklog(ctx)
	if err != nil {
		return err
	}
	prepared.Figures[backlogSeconds] = took.Seconds()
	unix.Sync() // what was filled is not written while it is measured
	b.add(prepared)
	return b.workOff(ctx, name, dir, apps, f, t)
}

// fillTable has a consumer make the tables, and fills them. It returns how long that took.
func (b *bench) fillTable(ctx context.Context, dir, apps string, t table) (seconds float64, err error) {
	empty, err := b.topics(ctx, "empty")
	if err != nil {
		return 0, err
	}
	m, err := b.startMember(ctx, dir, "maker", apps, empty, t.store())
	if err != nil {
		return 0, err
	}
	if err := m.stop(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := t.fill(ctx, b.Rows); err != nil {
		return 0, err
	}
	return time.Since(begun).Seconds(), nil
}

// workOff measures a consumer on the backlog.
func (b *bench) workOff(ctx context.Context, name, dir, apps string, f kafkaconn.Flags, t table) (err error) {
	topics := schema.NewTopics(f.TopicPrefix)
	published, err := records(ctx, f, topics.Alarms)
	if err != nil {
		return err
	}
	// A consumer that is stopped for its baseline's turn keeps its partitions.
	m, err := b.startMember(ctx, dir, "consumer", apps, f, t.store(), "--group", name, "--session-timeout", "10m", "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.child.Kill()) }() // does nothing where it was stopped
	if err := until(ctx, "first alarm saved", time.Minute, func() (bool, error) {
		n, err := m.saved(ctx)
		return n > 0, err
	}); err != nil {
		return drive.Explain(err, m.output)
	}
	if err := wait(ctx, b.Warmup); err != nil {
		return err
	}
	for round := range b.Rounds {
		if err := b.turn(ctx, name, round, m, t); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	peak, err := drive.Peak(m.child.PID())
	if err != nil {
		return err
	}
	saved, err := m.saved(ctx)
	if err != nil {
		return err
	}
	b.add(sample{Part: name, Variant: "afterwards", Figures: map[string]float64{peakMiB: float64(peak) / (1 << 20), lagLeft: float64(b.Backlog - saved)}})
	if saved >= b.Backlog {
		b.refuse("%s: the backlog of %d alarms was worked off before the last turn was over: make it larger, or the turns shorter", name, b.Backlog)
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	return b.account(ctx, name, f, t, saved, published)
}

// turn is one of the consumer's, and one of the baseline's while the consumer is stopped.
func (b *bench) turn(ctx context.Context, name string, round int, m *member, t table) error {
	before, err := m.look(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, b.Turn); err != nil {
		return err
	}
	after, err := m.look(ctx)
	if err != nil {
		return err
	}
	s := sample{Part: name, Round: round, Figures: map[string]float64{}}
	if err := after.since(before, &s); err != nil {
		return drive.Explain(err, m.output)
	}
	if err := m.child.Pause(); err != nil {
		return err
	}
	unix.Sync() // each writes to the disk what is its own
	done, err := t.bulk(ctx, min(bulkRows, after.saved-before.saved))
	unix.Sync()
	if err := errors.Join(err, m.child.Resume()); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	for _, one := range done {
		one.put(&s)
	}
	b.add(s)
	return wait(ctx, settling)
}

// account holds what was counted against rows, committed offsets and published events. The
// consumer has stopped; what it was at then may be more than was counted, never less, and a
// batch whose offset was not committed any more is there all the same.
func (b *bench) account(ctx context.Context, name string, f kafkaconn.Flags, t table, counted, publishedBefore int64) error {
	rows, err := t.count(ctx)
	if err != nil {
		return err
	}
	offsets, err := committed(ctx, f, name)
	if err != nil {
		return err
	}
	events, err := records(ctx, f, schema.NewTopics(f.TopicPrefix).Alarms)
	if err != nil {
		return err
	}
	rows, events = rows-b.Rows, events-publishedBefore
	b.say("%s: %d alarms counted as saved; rows %d, committed %d, published %d", name, counted, rows, offsets, events)
	const inHand = stack.DefaultPartitions * batchRows // counted, and not committed yet when it was stopped
	if rows < counted || events < counted || offsets < counted-inHand || offsets > rows || offsets > events {
		b.refuse("%s: %d alarms were counted as saved, and there are %d rows, %d committed offsets and %d events", name, counted, rows, offsets, events)
	}
	return nil
}

// kafkaName says what Kafka it is.
func (b *bench) kafkaName() string {
	if b.embedded != nil {
		return "the embedded broker in the driver's process"
	}
	return "a real Kafka of one node"
}
