//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// postgresTable is table on PostgreSQL: a database of the consumer's, and three for the baselines
// with the same tables.
type postgresTable struct {
	url     string // of the server, as --store takes it
	name    string // of the consumer's database
	copies  []string
	workers int   // connections that write at once in the baseline
	last    int64 // the last row that a baseline took
}

// newPostgresTable makes the database.
func newPostgresTable(ctx context.Context, server string) (*postgresTable, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the PostgreSQL server's URL cannot be read")
	}
	if host := u.Query().Get("host"); u.Hostname() != "" || !strings.HasPrefix(host, "/") {
		if err := onLoopback(server); err != nil {
			return nil, fmt.Errorf("PostgreSQL: %w", err)
		}
	}
	t := &postgresTable{url: server, name: "bench_" + strings.ToLower(rand.Text()[:8]), workers: 2}
	return t, t.exec(ctx, "", "CREATE DATABASE "+t.name)
}

// of returns the --store value of a database; empty: the one that the server's URL names.
func (t *postgresTable) of(database string) string {
	u, _ := url.Parse(t.url) // it was parsed before
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

func (t *postgresTable) store() string { return t.of(t.name) }

// connect returns a connection to a database. The caller closes it.
func (t *postgresTable) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	u, _ := url.Parse(t.of(database))
	query := u.Query()
	file := query.Get("password_file") // the consumer's own parameter
	query.Del("password_file")
	u.RawQuery = query.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("the PostgreSQL server's URL cannot be read")
	}
	if file != "" {
		password, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("PostgreSQL: %w", err)
		}
		config.Password = strings.TrimRight(string(password), "\n")
	}
	return pgx.ConnectConfig(ctx, config)
}

// exec runs statements, each by itself.
func (t *postgresTable) exec(ctx context.Context, database string, statements ...string) error {
	conn, err := t.connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%.60q: %w", text, err)
		}
	}
	return nil
}

// value reads the one value of a query.
func (t *postgresTable) value(ctx context.Context, query string, into any) error {
	conn, err := t.connect(ctx, t.name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.QueryRow(ctx, query).Scan(into)
}

// fillPostgres makes rows in the database itself; see filling. $1 to $2: their numbers, $3: the
// first time, $4: microseconds between two, $5: apps, $6: the event.
const fillPostgres = `INSERT INTO alarm (event_day, ` + copied + `)
	SELECT date '1970-01-01' + (at / 86400000)::integer, lpad(to_hex(at), 12, '0') || lpad(to_hex(i), 20, '0'), 1400000001 + i % $5, 'team-1', 'watch',
		70500 + i % 9000, 100000, 73.21, '2026-01-02', false, to_timestamp(at / 1000.0), to_timestamp(at / 1000.0), to_timestamp((at + 100) / 1000.0),
		1, 'im.alarms.raw', i % 12, i / 12, $6
	FROM (SELECT i, $3::bigint + i * $4::bigint / 1000 AS at FROM generate_series($1::bigint, $2::bigint) AS i) AS made`

// fill makes the rows without the indexes, on two connections, then the indexes, and then copies
// all of it for the baselines, whose rows go into tables and indexes of the same size.
func (t *postgresTable) fill(ctx context.Context, rows int64) error {
	const key = "ALTER TABLE alarm ADD PRIMARY KEY (event_day, alarm_id)"
	if err := t.exec(ctx, t.name, "ALTER TABLE alarm DROP CONSTRAINT alarm_pkey", "DROP INDEX alarm_by_receipt, alarm_by_app"); err != nil {
		return err
	}
	from := filledFrom(time.Now())
	step := filledDays * 24 * time.Hour / time.Duration(max(rows, 1))
	group, within := errgroup.WithContext(ctx)
	for half := range int64(2) {
		group.Go(func() error {
			conn, err := t.connect(within, t.name)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(ctx) }()
			if _, err := conn.Exec(within, "SET synchronous_commit = off"); err != nil {
				return err
			}
			_, err = conn.Exec(within, fillPostgres, half*rows/2, (half+1)*rows/2-1, from.UnixMilli(), step.Microseconds(), fillApps, filledEvent())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if err := t.exec(ctx, t.name, "SET maintenance_work_mem = '512MB'", key, "CREATE INDEX alarm_by_receipt ON alarm (received_at)",
		"CREATE INDEX alarm_by_app ON alarm (app_id, received_at)", "VACUUM ANALYZE alarm", "CHECKPOINT"); err != nil {
		return err
	}
	for _, name := range []string{t.name + "_plain", t.name + "_batches", t.name + "_encoded"} {
		if err := t.exec(ctx, "", "CREATE DATABASE "+name+" TEMPLATE "+t.name+" STRATEGY FILE_COPY"); err != nil {
			return err
		}
		t.copies = append(t.copies, name)
	}
	return nil
}

// bulk copies in three ways, each into tables of its own: plainly, as one COPY of a client that
// has the rows as values; the same in batches over two connections; and one COPY of what a COPY
// of the saved rows gave, so that there is nothing to encode.
func (t *postgresTable) bulk(ctx context.Context, most int64) ([]bulkTurn, error) {
	last := t.last
	rows, err := t.values(ctx, last, most)
	if err != nil {
		return nil, err
	}
	header, tuples, err := t.newest(ctx, last, most)
	if err != nil {
		return nil, err
	}
	turns := []bulkTurn{{rate: copyPerSecond, over: overCopy}, {rate: bulkPerSecond, over: overBulk}, {rate: rawPerSecond, over: overRaw}}
	for i, way := range []func() error{
		func() error { return t.copyValues(ctx, t.copies[0], rows, len(rows)) },
		func() error {
			group, within := errgroup.WithContext(ctx)
			for w := range t.workers {
				group.Go(func() error { return t.copyValues(within, t.copies[1], share(rows, w, t.workers), batchRows) })
			}
			return group.Wait()
		},
		func() error { return t.copyEncoded(ctx, t.copies[2], header, tuples) },
	} {
		begun := time.Now()
		if err := way(); err != nil {
			return nil, err
		}
		turns[i].rows, turns[i].took = int64(len(tuples)), time.Since(begun)
	}
	return turns, nil
}

// share is worker w's part of all, of so many workers.
func share[T any](all []T, w, workers int) []T {
	return all[w*len(all)/workers : (w+1)*len(all)/workers]
}

const copyColumns = "event_day, " + copied

// newestRows selects what was saved after seq.
func newestRows(seq int64) string {
	return fmt.Sprintf("SELECT %s FROM alarm WHERE event_day >= current_date - 1 AND seq > %d ORDER BY seq", copyColumns, seq)
}

// values returns the rows that were saved last, but none up to seq, and notes where they end.
func (t *postgresTable) values(ctx context.Context, seq, most int64) (all [][]any, err error) {
	conn, err := t.connect(ctx, t.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, "SELECT last_value FROM alarm_seq").Scan(&t.last); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, newestRows(max(seq, t.last-most)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// copyValues copies rows with pgx's CopyFrom, in transactions of size rows.
func (t *postgresTable) copyValues(ctx context.Context, database string, rows [][]any, size int) error {
	conn, err := t.connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	columns := strings.FieldsFunc(copyColumns, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
	for len(rows) > 0 {
		n := min(size, len(rows))
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"alarm"}, columns, pgx.CopyFromRows(rows[:n])); err != nil {
			return fmt.Errorf("copy %d rows: %w", n, err)
		}
		rows = rows[n:]
	}
	return nil
}

// newest returns the rows that values returned, as COPY gives them.
func (t *postgresTable) newest(ctx context.Context, seq, most int64) (header []byte, tuples [][]byte, err error) {
	conn, err := t.connect(ctx, t.name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var all bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &all, "COPY ("+newestRows(max(seq, t.last-most))+") TO STDOUT (FORMAT binary)"); err != nil {
		return nil, nil, err
	}
	header, tuples, err = splitCopy(all.Bytes())
	if err == nil && len(tuples) == 0 {
		err = errors.New("no row was saved since the last turn")
	}
	return header, tuples, err
}

// copyEncoded copies tuples in one transaction.
func (t *postgresTable) copyEncoded(ctx context.Context, database string, header []byte, tuples [][]byte) error {
	conn, err := t.connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(joinCopy(header, tuples)), "COPY alarm ("+copyColumns+") FROM STDIN (FORMAT binary)"); err != nil {
		return fmt.Errorf("copy %d rows: %w", len(tuples), err)
	}
	return nil
}

func (t *postgresTable) count(ctx context.Context) (n int64, err error) {
	err = t.value(ctx, "SELECT count(*) FROM alarm", &n)
	return n, err
}

func (t *postgresTable) server(ctx context.Context) (version string, err error) {
	err = t.value(ctx, "SELECT current_setting('server_version')", &version)
	version, _, _ = strings.Cut(version, " ")
	return "PostgreSQL " + version, err
}

// dropping bounds how long the databases of a part take to go: each waits for a checkpoint, which on
// a slow disk writes and syncs what millions of rows left.
const dropping = 3 * time.Minute

func (t *postgresTable) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropping)
	defer cancel()
	var drops []string
	for _, name := range append(t.copies, t.name) {
		drops = append(drops, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}
	return t.exec(ctx, "", drops...)
}
