package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidegate/tidegate/consumer/internal/quota"
)

// postgresTx is Tx on PostgreSQL: one connection with an open transaction. Once a connection has
// prepared its statements (those that name days: for these days), Begin takes one round trip to
// the server, or two where an app has no row; Save takes one, and more where dead letters are
// saved or replayed.
//
// What it locks, in this order, and why no two can wait for each other crosswise:
//
//  1. The partition, by an advisory lock: two consumers that both believe they own it come
//     one after the other, also where nothing was saved of it yet. Nobody waits for a
//     partition who holds anything.
//  2. The rows of the batch's apps, in the order of their ids. Where an app has no row, the
//     transaction is rolled back, all its locks released, and begun again, this time inserting
//     the missing rows first, in the order of their ids, without a state: a row that is not
//     there cannot be locked, and two partitions can hold one app when partitions were added.
//     An insert waits for one who has inserted that row and not committed, or for one who is
//     saving or deleting it and waits for no row of period; and who waits for a lock inserts
//     no more rows, so that the two kinds of wait make no circle.
//  3. At Save, the rows of dead letters that were replayed, and after them, where there are
//     new ones, the row of the total: retention and evictions lock rows and then the total,
//     too, and wait for no row (SKIP LOCKED).
//
// An alarm is of one app, so that whoever holds the app's row also is the only one that
// writes its alarms. What is known is read behind the locks, each statement in a snapshot of its
// own (read committed): it is all that others committed before.
type postgresTx struct {
	s       *postgresStore
	known   map[string]Saved
	periods map[int64]quota.Period

	progress    Progress
	hasProgress bool

	mu   sync.Mutex    // held by who uses conn: the owner, or the end of the context
	conn *pgxpool.Conn // nil: the transaction is over
	err  error         // why it is over, for a Save that comes too late
	stop func() bool   // stops waiting for the end of the context
}

// errOver says that a transaction was used after its end: a fault of the caller.
var errOver = errors.New("the transaction is over")

// Begin starts a transaction; see Store.
func (s *postgresStore) Begin(ctx context.Context, topic string, partition int32, ids []string, apps []int64) (Tx, error) {
	if s.o.ReadOnly {
		return nil, fmt.Errorf("begin: %w", ErrReadOnly)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", ended(ctx, err))
	}
	t := &postgresTx{s: s, conn: conn, progress: Progress{Topic: topic, Partition: partition}}
	if err := t.load(ctx, ids, apps); err != nil {
		t.end(errOver, false)
		return nil, fmt.Errorf("load %s/%d: %w", topic, partition, classifyPostgres(ended(ctx, err)))
	}
	t.stop = context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.end(context.Cause(ctx), true)
	})
	return t, nil
}

// end gives the connection back, to be used again where it is sound, and rolls back what is
// not committed. The caller holds mu, or nobody else has t yet.
func (t *postgresTx) end(why error, sound bool) {
	if t.conn == nil {
		return
	}
	if conn := t.conn.Conn(); sound && !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
		defer cancel()
		_, _ = conn.Exec(ctx, "ROLLBACK") // where that fails, Release closes it
	}
	t.err = why
	t.conn.Release() // closes a connection whose transaction is open
	t.conn = nil
}

const (
	insertMissingPeriods = `INSERT INTO period (app_id) SELECT app_id FROM unnest($1::bigint[]) AS wanted (app_id)
		ORDER BY app_id ON CONFLICT (app_id) DO NOTHING`

	lockPeriods = `SELECT app_id, state FROM period WHERE app_id = ANY($1::bigint[]) ORDER BY app_id FOR UPDATE`

	selectPostgresProgress = `SELECT "offset", log_end, newest FROM progress WHERE topic = $1 AND partition = $2`

	// selectPostgresKnown goes from the ids to the rows, each by the primary key (LIMIT keeps
	// the planner from another way); see queueOnDays.
	selectPostgresKnown = `SELECT wanted.alarm_id, saved.*
		FROM unnest($1::date[], $2::text[]) AS wanted (event_day, alarm_id)
		CROSS JOIN LATERAL (SELECT raw_topic, raw_partition, raw_offset, event FROM alarm
			WHERE event_day = ANY(%s) AND event_day = wanted.event_day AND alarm_id = wanted.alarm_id LIMIT 1) AS saved`
)

// load begins, takes the locks and reads what Begin promises.
func (t *postgresTx) load(ctx context.Context, ids []string, apps []int64) error {
	apps = slices.Compact(slices.Sorted(slices.Values(apps)))
	var b pgx.Batch
	locked := t.queueLoad(&b, ids, apps, false)
	if err := t.conn.SendBatch(ctx, &b).Close(); err != nil || *locked == len(apps) {
		return err
	}
	b = pgx.Batch{} // rarely: an app has no row, as it is new or retention deleted it
	b.Queue("ROLLBACK")
	locked = t.queueLoad(&b, ids, apps, true)
	if err := t.conn.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	if *locked < len(apps) {
		return fmt.Errorf("%d of %d apps have a row to lock: retention removed the others this very moment", *locked, len(apps))
	}
	return nil
}

// queueLoad queues one attempt of load on b; insertMissing: first a row for each app that has none.
// How many apps had a row to lock is set once the results of b are closed.
func (t *postgresTx) queueLoad(b *pgx.Batch, ids []string, apps []int64, insertMissing bool) (locked *int) {
	p, locked := &t.progress, new(int)
	t.hasProgress = false
	b.Queue("BEGIN")
	b.Queue("SELECT pg_advisory_xact_lock($1)", t.s.lockID(fmt.Sprintf("partition\x00%s\x00%d", p.Topic, p.Partition)))
	t.periods = make(map[int64]quota.Period, len(apps))
	if len(apps) > 0 {
		if insertMissing {
			b.Queue(insertMissingPeriods, apps)
		}
		b.Queue(lockPeriods, apps).Query(func(rows pgx.Rows) (err error) {
			*locked, err = t.readPeriods(rows)
			return err
		})
	}
	b.Queue(selectPostgresProgress, postgresText(p.Topic), p.Partition).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&p.Offset, &p.LogEnd, &p.Newest)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		p.Newest, t.hasProgress = p.Newest.UTC(), err == nil
		return err
	})
	t.known = make(map[string]Saved)
	if days, dayOfEach, valid := daysOf(ids); len(valid) > 0 {
		queueOnDays(b, selectPostgresKnown, days, dayOfEach, valid).Query(t.readKnown)
	}
	return locked
}

// readPeriods reads the states of the apps that have a row, and says how many they are.
func (t *postgresTx) readPeriods(rows pgx.Rows) (locked int, err error) {
	for ; rows.Next(); locked++ {
		var app int64
		var state []byte
		if err := rows.Scan(&app, &state); err != nil {
			return 0, err
		}
		if state == nil {
			continue // the row is there to be locked
		}
		var period quota.Period
		if err := json.Unmarshal(state, &period); err != nil {
			return 0, fmt.Errorf("state of app %d: %w: %w", app, ErrData, err)
		}
		t.periods[app] = period
	}
	return locked, rows.Err()
}

func (t *postgresTx) readKnown(rows pgx.Rows) error {
	for rows.Next() {
		var id string
		var saved Saved
		if err := rows.Scan(&id, &saved.Topic, &saved.Partition, &saved.Offset, &saved.Event); err != nil {
			return err
		}
		saved.Topic = originalText(saved.Topic)
		t.known[id] = saved
	}
	return rows.Err()
}

// Known returns which of the ids exist; see Tx.
func (t *postgresTx) Known() map[string]Saved { return t.known }

// Periods returns the state of the apps; see Tx.
func (t *postgresTx) Periods() map[int64]quota.Period { return t.periods }

// Progress returns how far the partition was saved; see Tx.
func (t *postgresTx) Progress() (Progress, bool) {
	if !t.hasProgress {
		return Progress{}, false
	}
	return t.progress, true
}

// Rollback ends the transaction; see Tx.
func (t *postgresTx) Rollback() {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(errOver, true)
}
