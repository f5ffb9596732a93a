package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// benchRows is how many rows the database holds before the measurement: set
// TIDEGATE_BENCH_ROWS to see what a grown one takes.
func benchRows(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("TIDEGATE_BENCH_ROWS"))
	if err != nil && os.Getenv("TIDEGATE_BENCH_ROWS") != "" {
		b.Fatal(err)
	}
	return n
}

const (
	benchBatch = 500
	benchApps  = 64
)

// benchChanges returns the nth batch: 500 alarms of 64 apps with their periods, each of
// which has all the points that it can have.
func benchChanges(n int) (Changes, []string, []int64) {
	period := quota.Period{Date: "2026-11-23", Number: 1, Used: 7321, Quota: 10000, LastID: alarm(1, 0).Event.AlarmID}
	for i := range int64(60) {
		period.Points = append(period.Points, quota.Point{At: start.UnixMilli() + i*30_000, Used: 7000 + i})
	}
	c := Changes{Periods: map[int64]quota.Period{}, Progress: progressAt(int64(n+1) * benchBatch)}
	var apps []int64
	for i := range benchBatch {
		app := int64(i%benchApps) + 1
		if i < benchApps {
			c.Periods[app] = period
			apps = append(apps, app)
		}
		c.Alarms = append(c.Alarms, alarm(app, n*benchBatch+i))
	}
	return c, idsOf(c.Alarms), apps
}

// benchStore opens a database for a benchmark.
func benchStore(b *testing.B) *sqliteStore {
	s, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "bench.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s.(*sqliteStore)
}

// saveBatch saves the nth batch.
func saveBatch(b *testing.B, s *sqliteStore, c Changes, ids []string, apps []int64) {
	tx, err := s.Begin(b.Context(), rawTopic, 3, ids, apps)
	if err != nil {
		b.Fatal(err)
	}
	if err := tx.Save(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSave measures what the consumer does: Begin and Save, batch after batch, each
// synced. Its limit is BenchmarkBulkInsert.
func BenchmarkSave(b *testing.B) {
	for _, synchronous := range []string{"FULL", "NORMAL"} {
		b.Run(synchronous, func(b *testing.B) {
			s := benchStore(b)
			if _, err := s.write.Exec("PRAGMA synchronous = " + synchronous); err != nil {
				b.Fatal(err)
			}
			n := 0
			for ; n*benchBatch < benchRows(b); n++ {
				c, ids, apps := benchChanges(n)
				saveBatch(b, s, c, ids, apps)
			}
			for b.Loop() {
				b.StopTimer()
				c, ids, apps := benchChanges(n)
				b.StartTimer()
				saveBatch(b, s, c, ids, apps)
				n++
			}
			b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "alarms/s")
		})
	}
}

// BenchmarkBulkInsert inserts the same rows into the same table and nothing else, in
// transactions of the same size and of twenty times that: the limit.
func BenchmarkBulkInsert(b *testing.B) {
	for _, batches := range []int{1, 20} {
		b.Run(strconv.Itoa(batches*benchBatch), func(b *testing.B) {
			s := benchStore(b)
			n := 0
			for b.Loop() {
				b.StopTimer()
				var rows []Alarm
				for range batches {
					c, _, _ := benchChanges(n)
					rows = append(rows, c.Alarms...)
					n++
				}
				b.StartTimer()
				bulkInsert(b, s, rows)
			}
			b.ReportMetric(float64(n*benchBatch)/b.Elapsed().Seconds(), "alarms/s")
		})
	}
}

// bulkInsert inserts rows in one transaction.
func bulkInsert(b *testing.B, s *sqliteStore, rows []Alarm) {
	tx, err := s.write.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	t := &sqliteTx{s: s, tx: tx}
	if err := t.saveAlarms(b.Context(), &Changes{Alarms: rows}); err != nil {
		b.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPeriod measures what a period costs on its way from and to its row.
func BenchmarkPeriod(b *testing.B) {
	c, _, _ := benchChanges(0)
	text, err := json.Marshal(c.Periods[1])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var p quota.Period
		if err := json.Unmarshal(text, &p); err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeadLetters measures a flood of garbage.
func BenchmarkDeadLetters(b *testing.B) {
	s := benchStore(b)
	dead := make([]schema.DeadLetter, benchBatch)
	offset := int64(0)
	value := []byte(strings.Repeat("x", 1000))
	for b.Loop() {
		for i := range dead {
			dead[i] = letter(offset)
			dead[i].Record.Value = value
			offset++
		}
		saveBatch(b, s, Changes{DeadLetters: dead, Progress: progressAt(offset)}, nil, nil)
	}
	b.ReportMetric(float64(offset)/b.Elapsed().Seconds(), "letters/s")
}
