package store

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// BenchmarkPostgres measures what the consumer does, Begin and Save of batch after batch,
// with one worker and with one for each of two partitions, and beside it the limit: as many
// workers that COPY the same rows, in as many transactions, into the same table in another
// schema, and do nothing else. The two take turns, so that a machine that has other work
// slows both; what counts is the ratio.
func BenchmarkPostgres(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(strconv.Itoa(workers), func(b *testing.B) { benchPostgres(b, workers) })
	}
}

// turnBatches is how many batches each worker handles in one turn.
const turnBatches = 4

func benchPostgres(b *testing.B, workers int) {
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
	var save, bulk time.Duration
	turn := 0
	both := func() {
		batches := make([][]benchBatchOf, workers)
		for w := range batches {
			for i := range turnBatches {
				batches[w] = append(batches[w], newBenchBatch(b, w, turn*turnBatches+i))
			}
		}
		turn++
		save += inParallel(workers, func(w int) {
			for i := range batches[w] {
				batches[w][i].save(b, saved)
			}
		})
		bulk += inParallel(workers, func(w int) {
			for i := range batches[w] {
				batches[w][i].copy(b, copied)
			}
		})
	}
	for turn*workers*turnBatches*benchBatch < benchRows(b) {
		both()
	}
	both() // statements are prepared
	save, bulk = 0, 0
	for b.Loop() {
		both()
	}
	rows := float64(b.N * workers * turnBatches * benchBatch)
	b.ReportMetric(rows/save.Seconds(), "saved/s")
	b.ReportMetric(rows/bulk.Seconds(), "copied/s")
	b.ReportMetric(bulk.Seconds()/save.Seconds(), "of-copy")
	b.ReportMetric(0, "ns/op")
}

// inParallel runs work for each worker and returns how long it took all of them.
func inParallel(workers int, work func(worker int)) time.Duration {
	begun := time.Now()
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() { work(w) })
	}
	wait.Wait()
	return time.Since(begun)
}

// benchBatchOf is one batch of a worker, and its rows as COPY wants them.
type benchBatchOf struct {
	changes Changes
	ids     []string
	apps    []int64
	rows    [][]any
}

// newBenchBatch returns the nth batch of a worker, whose partition and apps are its own.
func newBenchBatch(b *testing.B, worker, n int) benchBatchOf {
	b.Helper()
	var one benchBatchOf
	one.changes, one.ids, one.apps = benchChanges(n)
	c := &one.changes
	c.Progress.Partition = int32(worker)
	periods := map[int64]quota.Period{}
	for i := range one.apps {
		app := one.apps[i] + int64(worker)*benchApps
		periods[app] = c.Periods[one.apps[i]]
		one.apps[i] = app
	}
	c.Periods = periods
	var k alarmColumns
	for i := range c.Alarms {
		c.Alarms[i] = alarm(c.Alarms[i].Event.SdkAppID+int64(worker)*benchApps, n*benchBatch+i)
		if err := k.add(&c.Alarms[i]); err != nil {
			b.Fatal(err)
		}
		one.rows = append(one.rows, []any{k.days[i], k.ids[i], k.apps[i], k.owners[i], k.severities[i], k.used[i], k.quotas[i],
			k.percents[i], k.periods[i], k.late[i], k.eventTimes[i], k.vendorTimes[i], k.receivedAts[i], k.deliveries[i], k.topics[i],
			k.partitions[i], k.offsets[i], k.events[i]})
	}
	one.ids = idsOf(c.Alarms)
	return one
}

// save saves the batch as the pipeline does.
func (one *benchBatchOf) save(b *testing.B, s Store) {
	tx, err := s.Begin(b.Context(), rawTopic, one.changes.Progress.Partition, one.ids, one.apps)
	if err == nil {
		err = tx.Save(b.Context(), one.changes)
	}
	if err != nil {
		b.Error(err)
	}
}

// copy copies the batch's alarms in one transaction.
func (one *benchBatchOf) copy(b *testing.B, s *postgresStore) {
	_, err := s.pool.CopyFrom(b.Context(), pgx.Identifier{"alarm"}, []string{"event_day", "alarm_id", "app_id", "owner", "severity", "quota_used",
		"quota", "used_percent", "period", "late", "event_time", "vendor_time", "received_at", "deliveries", "raw_topic", "raw_partition",
		"raw_offset", "event"}, pgx.CopyFromRows(one.rows))
	if err != nil {
		b.Error(err)
	}
}
