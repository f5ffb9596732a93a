//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteTable is table on SQLite: the consumer's file, and one for the baseline, to which the
// first is attached.
type sqliteTable struct {
	dir  string
	copy *sql.DB // nil: not opened yet
	last int64   // the last row that a baseline took
}

func (t *sqliteTable) path() string  { return filepath.Join(t.dir, "tidegate.db") }
func (t *sqliteTable) store() string { return "sqlite:" + t.path() }

// open opens the file at path with one connection and the pragmas.
func (t *sqliteTable) open(path string, pragmas string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// filling makes rows in the database itself. Times are in milliseconds, spread evenly; the id is
// the time and a number that looks like a hash. ?1: rows, ?2: the first time, ?3: milliseconds
// between two, in millionths, ?4: apps, ?5: the event.
const filling = `WITH RECURSIVE n (i, at) AS (SELECT 0, ?2 UNION ALL SELECT i + 1, ?2 + (i + 1) * ?3 / 1000000 FROM n WHERE i + 1 < ?1)
	INSERT INTO alarm (` + copied + `)
	SELECT printf('%012x%020x', at, i), 1400000001 + i % ?4, 'team-1', 'watch', 70500 + i % 9000, 100000, 73.21, '2026-01-02', 0, at, at, at + 100,
		1, 'im.alarms.raw', i % 12, i / 12, ?5 FROM n`

// fill makes the rows without the indexes and without a journal, and then the indexes.
func (t *sqliteTable) fill(ctx context.Context, rows int64) (err error) {
	db, err := t.open(t.path(), "&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = OFF"); err != nil {
		return err
	}
	indexes, err := t.definitions(ctx, db, "index")
	if err != nil {
		return err
	}
	for name := range indexes {
		if _, err := db.ExecContext(ctx, "DROP INDEX "+name); err != nil {
			return err
		}
	}
	from := filledFrom(time.Now())
	step := filledDays * 24 * time.Hour / time.Duration(max(rows, 1))
	if _, err := db.ExecContext(ctx, filling, rows, from.UnixMilli(), step.Nanoseconds(), fillApps, filledEvent()); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	for name, text := range indexes {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("make index %s again: %w", name, err)
		}
	}
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
	return err
}

// fillApps is how many apps the filled rows are of.
const fillApps = 300

// definitions returns the statements that make what belongs to alarm, by name.
func (t *sqliteTable) definitions(ctx context.Context, db *sql.DB, kind string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'alarm' AND type = ? AND sql IS NOT NULL", kind)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		found[name] = text
	}
	return found, rows.Err()
}

// openCopy opens the baseline's file as the consumer opens its own, with the same tables.
func (t *sqliteTable) openCopy(ctx context.Context) error {
	db, err := t.open(filepath.Join(t.dir, "copy.db"), "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-16384)&_pragma=wal_autocheckpoint(4096)&_pragma=temp_store(MEMORY)")
	if err != nil {
		return err
	}
	t.copy = db
	live, err := t.open(t.path(), "&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer func() { _ = live.Close() }() // it only read
	for _, kind := range []string{"table", "index"} {
		texts, err := t.definitions(ctx, live, kind)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if _, err := db.ExecContext(ctx, text); err != nil {
				return err
			}
		}
	}
	if _, err := db.ExecContext(ctx, "ATTACH ? AS live", t.path()); err != nil {
		return err
	}
	return db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM live.alarm").Scan(&t.last)
}

// bulk writes in batches, and in no other way.
func (t *sqliteTable) bulk(ctx context.Context, most int64) ([]bulkTurn, error) {
	if t.copy == nil {
		if err := t.openCopy(ctx); err != nil {
			return nil, fmt.Errorf("open the baseline's file: %w", err)
		}
		t.last -= most // of what was saved before, too
	}
	var newest int64
	if err := t.copy.QueryRowContext(ctx, "SELECT max(seq) FROM live.alarm").Scan(&newest); err != nil {
		return nil, err
	}
	turn := bulkTurn{rate: bulkPerSecond, over: overBulk}
	begun := time.Now()
	for from := max(t.last, newest-most); from < newest; from += batchRows {
		done, err := t.copy.ExecContext(ctx, "INSERT INTO main.alarm ("+copied+") SELECT "+copied+" FROM live.alarm WHERE seq > ? AND seq <= ?", from, min(from+batchRows, newest))
		if err != nil {
			return nil, err
		}
		n, _ := done.RowsAffected() // the driver knows it
		turn.rows += n
	}
	turn.took, t.last = time.Since(begun), newest
	return []bulkTurn{turn}, nil
}

func (t *sqliteTable) count(ctx context.Context) (n int64, err error) {
	db, err := t.open(t.path(), "&_pragma=query_only(1)")
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // it only read
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM alarm").Scan(&n)
	return n, err
}

func (t *sqliteTable) server(ctx context.Context) (version string, err error) {
	db, err := t.open(t.path(), "&_pragma=query_only(1)")
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }() // it only read
	err = db.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&version)
	return version, err
}

func (t *sqliteTable) close(context.Context) error {
	var err error
	if t.copy != nil {
		err = t.copy.Close()
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}
