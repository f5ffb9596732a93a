package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
)

// sqliteTx is Tx on SQLite: BEGIN IMMEDIATE on the only writing connection.
type sqliteTx struct {
	s       *sqliteStore
	tx      *sql.Tx
	known   map[string]Saved
	periods map[int64]quota.Period

	progress    Progress
	hasProgress bool
}

// Begin starts a transaction; see Store.
func (s *sqliteStore) Begin(ctx context.Context, topic string, partition int32, ids []string, apps []int64) (Tx, error) {
	if s.write == nil {
		return nil, fmt.Errorf("begin: %w", ErrReadOnly)
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	t := &sqliteTx{s: s, tx: tx, progress: Progress{Topic: topic, Partition: partition}}
	if err := t.load(ctx, ids, apps); err != nil {
		t.Rollback()
		return nil, fmt.Errorf("load %s/%d: %w", topic, partition, err)
	}
	return t, nil
}

// load reads what Begin promises.
func (t *sqliteTx) load(ctx context.Context, ids []string, apps []int64) error {
	if err := t.loadKnown(ctx, ids); err != nil {
		return fmt.Errorf("known alarms: %w", err)
	}
	if err := t.loadPeriods(ctx, apps); err != nil {
		return fmt.Errorf("periods: %w", err)
	}
	var newest int64
	err := t.get(ctx, t.s.stmts.progress, []any{t.progress.Topic, t.progress.Partition},
		&t.progress.Offset, &t.progress.LogEnd, &newest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	t.hasProgress, t.progress.Newest = true, time.UnixMilli(newest).UTC()
	return nil
}

func (t *sqliteTx) loadKnown(ctx context.Context, ids []string) error {
	t.known = make(map[string]Saved)
	return t.each(ctx, t.s.stmts.known, ids, len(ids), func(rows *sql.Rows) error {
		var id string
		var saved Saved
		if err := rows.Scan(&id, &saved.Topic, &saved.Partition, &saved.Offset, &saved.Event); err != nil {
			return err
		}
		t.known[id] = saved
		return nil
	})
}

func (t *sqliteTx) loadPeriods(ctx context.Context, apps []int64) error {
	t.periods = make(map[int64]quota.Period, len(apps))
	return t.each(ctx, t.s.stmts.periods, apps, len(apps), func(rows *sql.Rows) error {
		var app int64
		var state sql.RawBytes
		if err := rows.Scan(&app, &state); err != nil {
			return err
		}
		var period quota.Period
		if err := json.Unmarshal(state, &period); err != nil {
			return fmt.Errorf("state of app %d: %w: %w", app, ErrData, err)
		}
		t.periods[app] = period
		return nil
	})
}

// each runs a query over the n keys, given to it as a JSON array: one statement for any
// number of them.
func (t *sqliteTx) each(ctx context.Context, stmt *sql.Stmt, keys any, n int, scan func(*sql.Rows) error) (err error) {
	if n == 0 {
		return nil
	}
	list, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	within := t.tx.StmtContext(ctx, stmt)
	defer func() { _ = within.Close() }()
	rows, err := within.QueryContext(ctx, string(list))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// get reads the one row of a query into dest.
func (t *sqliteTx) get(ctx context.Context, stmt *sql.Stmt, args []any, dest ...any) error {
	within := t.tx.StmtContext(ctx, stmt)
	defer func() { _ = within.Close() }()
	return within.QueryRowContext(ctx, args...).Scan(dest...)
}

// exec runs a statement and returns how many rows it changed.
func (t *sqliteTx) exec(ctx context.Context, stmt *sql.Stmt, args ...any) (int64, error) {
	within := t.tx.StmtContext(ctx, stmt)
	defer func() { _ = within.Close() }()
	result, err := within.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Known returns which of the ids exist; see Tx.
func (t *sqliteTx) Known() map[string]Saved { return t.known }

// Periods returns the state of the apps; see Tx.
func (t *sqliteTx) Periods() map[int64]quota.Period { return t.periods }

// Progress returns how far the partition was saved; see Tx.
func (t *sqliteTx) Progress() (Progress, bool) {
	if !t.hasProgress {
		return Progress{}, false
	}
	return t.progress, true
}

// Rollback ends the transaction; see Tx. There is nothing to do about an error: what was
// not committed is gone with the connection, too.
func (t *sqliteTx) Rollback() { _ = t.tx.Rollback() }
