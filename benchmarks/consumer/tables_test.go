//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// The rows that a table is filled with are what they are to be, the indexes are there again, and
// the baseline takes each row once.
func TestSQLiteIsFilled(t *testing.T) {
	table := &sqliteTable{dir: filepath.Join(t.TempDir(), "tables")}
	if err := os.Mkdir(table.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := table.open(table.path(), "")
	if err != nil {
		t.Fatal(err)
	}
	migrations, err := filepath.Glob("../../consumer/internal/store/migrations/sqlite/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatal(migrations, err)
	}
	for _, path := range migrations {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), string(text)); err != nil {
			t.Fatal(path, err)
		}
	}
	before, err := table.definitions(t.Context(), db, "index")
	if err != nil || len(before) < 3 {
		t.Fatal(before, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const rows = 1200
	if err := table.fill(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if n, err := table.count(t.Context()); n != rows || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	db, err = table.open(table.path(), "&_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if after, err := table.definitions(t.Context(), db, "index"); len(after) != len(before) || err != nil {
		t.Errorf("indexes %v, before %v, %v", after, before, err)
	}
	var apps, spread, wrong int
	if err := db.QueryRowContext(t.Context(), `SELECT count(DISTINCT app_id), max(event_time) - min(event_time),
		count(*) FILTER (WHERE length(alarm_id) <> 32 OR substr(alarm_id, 1, 12) <> printf('%012x', event_time)) FROM alarm`).Scan(&apps, &spread, &wrong); err != nil {
		t.Fatal(err)
	}
	if days := float64(spread) / 86400e3; apps != fillApps || wrong != 0 || days < filledDays-0.1 || days > filledDays {
		t.Errorf("%d apps over %.1f days, %d wrong ids", apps, days, wrong)
	}
	for turn, want := range []int64{700, 0} {
		done, err := table.bulk(t.Context(), 700)
		if err != nil || len(done) != 1 || done[0].rows != want {
			t.Errorf("turn %d: %+v, %v, want %d rows", turn, done, err, want)
		}
	}
	if err := table.close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSmoke runs every part for a moment with the real binaries and the embedded broker, and over
// PostgreSQL where TIDEGATE_TEST_POSTGRES names one. It is for who changes this program, not for
// every run of the tests: CONSUMER_BENCH_SMOKE=1 go test ./benchmarks/consumer
func TestSmoke(t *testing.T) {
	if os.Getenv("CONSUMER_BENCH_SMOKE") == "" {
		t.Skip("a run of the real binaries: CONSUMER_BENCH_SMOKE=1 asks for it")
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	o := options{
		Rows: 2000, Backlog: 60_000, Apps: 30, Rounds: 1, Turn: 1e9, Warmup: 1e8, Settle: 1e8, Rate: 100, Rebalances: 1,
		Postgres: os.Getenv("TIDEGATE_TEST_POSTGRES"), Bin: bin, Work: t.TempDir(), Out: t.TempDir(),
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
