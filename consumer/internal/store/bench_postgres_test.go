package store

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// BenchmarkPostgres measures what the consumer does, Begin and Save of a batch, and beside
// each the limit: a COPY of the same rows into the same table in another schema, with nothing
// else, in one transaction. The two take turns, so that a machine that has other work slows
// both; what counts is the ratio. Every twentieth turn copies twenty batches in one
// transaction, too.
func BenchmarkPostgres(b *testing.B) {
	open := func() *postgresStore {
		// The clock is the rows', so that they are in a partition made for their day.
		s, err := Open(b.Context(), storetest.Postgres(b), Options{Now: func() time.Time { return start }})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		return s.(*postgresStore)
	}
	saved, copied := open(), open()
	n := 0
	for ; n*benchBatch < benchRows(b); n++ {
		c, ids, apps := benchChanges(n)
		saveBatch(b, saved, c, ids, apps)
		copyRows(b, copied, c.Alarms)
	}
	var save, single, twenty time.Duration
	var large []Alarm
	largeRows := 0
	for b.Loop() {
		c, ids, apps := benchChanges(n)
		n++
		turn := time.Now()
		saveBatch(b, saved, c, ids, apps)
		save += time.Since(turn)
		single += copyRows(b, copied, c.Alarms)
		if n%20 == 0 {
			large = large[:0]
			for k := range 20 {
				more, _, _ := benchChanges(1_000_000 + n + k)
				large = append(large, more.Alarms...)
			}
			twenty += copyRows(b, copied, large)
			largeRows += len(large)
		}
	}
	rate := func(rows int, d time.Duration) float64 { return float64(rows) / d.Seconds() }
	rows := b.N * benchBatch
	b.ReportMetric(rate(rows, save), "saved/s")
	b.ReportMetric(rate(rows, single), "copied/s")
	b.ReportMetric(single.Seconds()/save.Seconds(), "of-copy")
	if largeRows > 0 {
		b.ReportMetric(rate(largeRows, twenty), "copied20/s")
		b.ReportMetric(rate(rows, save)/rate(largeRows, twenty), "of-copy20")
	}
	b.ReportMetric(0, "ns/op")
}

// copyRows copies rows in one transaction and returns how long that took.
func copyRows(b *testing.B, s *postgresStore, rows []Alarm) time.Duration {
	b.Helper()
	var k alarmColumns
	for i := range rows {
		if err := k.add(&rows[i]); err != nil {
			b.Fatal(err)
		}
	}
	source := make([][]any, len(rows))
	for i := range source {
		source[i] = []any{k.days[i], k.ids[i], k.apps[i], k.owners[i], k.severities[i], k.used[i], k.quotas[i], k.percents[i], k.periods[i],
			k.late[i], k.eventTimes[i], k.vendorTimes[i], k.receivedAts[i], k.deliveries[i], k.topics[i], k.partitions[i], k.offsets[i], k.events[i]}
	}
	begun := time.Now()
	_, err := s.pool.CopyFrom(b.Context(), pgx.Identifier{"alarm"}, []string{"event_day", "alarm_id", "app_id", "owner", "severity", "quota_used",
		"quota", "used_percent", "period", "late", "event_time", "vendor_time", "received_at", "deliveries", "raw_topic", "raw_partition",
		"raw_offset", "event"}, pgx.CopyFromRows(source))
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
