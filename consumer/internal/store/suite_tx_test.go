package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// handle saves records as the consumer's pipeline does: new alarms with their deliveries,
// further copies counted unless the progress covers them.
func handle(t *testing.T, s Store, records ...rawRecord) {
	t.Helper()
	var ids []string
	last := Progress{Topic: rawTopic, Partition: 3, Offset: -1}
	for _, r := range records {
		ids = append(ids, r.alarm.Event.AlarmID)
		last.Offset, last.LogEnd = r.Offset, r.Offset+1
		if r.Time.After(last.Newest) {
			last.Newest = r.Time
		}
	}
	tx := begin(t, s, ids)
	progress, begun := tx.Progress()
	c := Changes{Progress: last}
	for _, r := range records {
		fresh := slices.IndexFunc(c.Alarms, func(a Alarm) bool { return a.Event.AlarmID == r.alarm.Event.AlarmID })
		_, saved := tx.Known()[r.alarm.Event.AlarmID]
		switch {
		case saved && begun && progress.Covers(&r.Record):
		case saved:
			c.Deliveries = append(c.Deliveries, Delivery{AlarmID: r.alarm.Event.AlarmID, Count: 1})
		case fresh >= 0:
			c.Alarms[fresh].Deliveries++
		default:
			c.Alarms = append(c.Alarms, r.alarm)
		}
	}
	if err := tx.Save(t.Context(), c); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// rawRecord is a raw record and the alarm in it.
type rawRecord struct {
	schema.Record
	alarm Alarm
}

// rawAt returns the record at an offset, produced so many seconds after start.
func rawAt(offset int64, seconds int, a Alarm) rawRecord {
	return rawRecord{
		Record: schema.Record{Topic: rawTopic, Partition: 3, Offset: offset, Time: start.Add(time.Duration(seconds) * time.Second)},
		alarm:  a,
	}
}

// deliveries returns the counted deliveries of each alarm, in the order of saving.
func deliveries(t *testing.T, s Store) []int {
	t.Helper()
	var counts []int
	for _, a := range read(t, s).Alarms {
		counts = append(counts, a.Deliveries)
	}
	return counts
}

func testRedelivery(t *testing.T, d database) {
	s := d.open(t, Options{})
	first, second := alarm(1, 0), alarm(1, 1)
	records := []rawRecord{rawAt(0, 0, first), rawAt(1, 1, second), rawAt(2, 2, first)}
	handle(t, s, records...)
	for range 5 {
		handle(t, s, records...)
	}
	handle(t, s, records[:1]...) // in smaller batches, too
	handle(t, s, records[1:]...)
	equal(t, "deliveries", deliveries(t, s), []int{2, 1})
	equal(t, "progress", read(t, s).Progress, progressAt(2))

	handle(t, s, rawAt(2, 2, first), rawAt(3, 3, first)) // one known, one new
	equal(t, "deliveries", deliveries(t, s), []int{3, 1})
}

func testFiveDeliveries(t *testing.T, d database) {
	s := d.open(t, Options{})
	a := alarm(1, 0)
	for offset := range int64(5) {
		handle(t, s, rawAt(offset, int(offset), a))
	}
	got := read(t, s)
	want := a
	want.Deliveries = 5
	equal(t, "alarms", got.Alarms, []Alarm{want})
}

func testTopicMadeAgain(t *testing.T, d database) {
	s := d.open(t, Options{})
	a := alarm(1, 0)
	handle(t, s, rawAt(1000, 0, a))
	handle(t, s, rawAt(0, 10, a)) // offset 0 once more, but produced later than all that was saved
	handle(t, s, rawAt(1, 11, a))
	handle(t, s, rawAt(0, 10, a), rawAt(1, 11, a)) // redelivered
	equal(t, "deliveries", deliveries(t, s), []int{3})
	want := progressAt(1)
	want.Newest = start.Add(11 * time.Second)
	equal(t, "progress", read(t, s).Progress, want)
}

func testProgressApart(t *testing.T, d database) {
	s := d.open(t, Options{})
	save(t, s, Changes{Progress: progressAt(7)})
	for _, other := range []struct {
		topic     string
		partition int32
	}{{rawTopic, 4}, {"other." + rawTopic, 3}} {
		tx, err := s.Begin(t.Context(), other.topic, other.partition, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := tx.Progress(); ok {
			t.Errorf("%s/%d has the progress of another: %v", other.topic, other.partition, p)
		}
		err = tx.Save(t.Context(), Changes{Progress: Progress{Topic: other.topic, Partition: other.partition, Offset: 1, Newest: start}})
		if err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "progress", read(t, s).Progress, progressAt(7))
}

func testRollback(t *testing.T, d database) {
	s := d.open(t, Options{})
	tx := begin(t, s, nil, 1)
	tx.Rollback()
	tx.Rollback()
	if err := tx.Save(t.Context(), batch()); err == nil {
		t.Error("Save after Rollback succeeded")
	}
	equal(t, "contents", read(t, s), contents{Periods: map[int64]quota.Period{}})

	tx = begin(t, s, nil, 1)
	if err := tx.Save(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	tx.Rollback() // as deferred
	if err := tx.Save(t.Context(), batch()); err == nil {
		t.Error("a second Save succeeded")
	}
	if got := len(read(t, s).Alarms); got != 2 {
		t.Errorf("%d alarms, want 2", got)
	}
}

func testCloseInside(t *testing.T, d database) {
	s := d(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Begin(ctx, rawTopic, 3, nil, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	equal(t, "contents", read(t, d.open(t, Options{})), contents{Periods: map[int64]quota.Period{}})
}

func testDataErrors(t *testing.T, d database) {
	s := d.open(t, Options{})
	save(t, s, Changes{Progress: progressAt(0)})
	before := read(t, s)
	for _, test := range []struct {
		name  string
		spoil func(c *Changes)
	}{
		{"an alarm with a quota of 0", func(c *Changes) { c.Alarms[1].Event.Quota = 0 }},
		{"an alarm of negative use", func(c *Changes) { c.Alarms[1].Event.QuotaUsed = -1 }},
		{"an alarm without bytes", func(c *Changes) { c.Alarms[1].EventBytes = nil }},
		{"an alarm that arrived never", func(c *Changes) { c.Alarms[1].Deliveries = 0 }},
		{"an alarm at no time", func(c *Changes) { c.Alarms[1].Event.EventTime = "soon" }},
		{"an alarm received at no time", func(c *Changes) { c.Alarms[1].Event.ReceivedAt = "\x00" }},
		{"a delivery taken back", func(c *Changes) {
			c.Deliveries = []Delivery{{AlarmID: c.Alarms[0].Event.AlarmID, Count: -1}}
		}},
		{"a notice whose alarm has no percentage", func(c *Changes) { c.Notices[0].Alarm.UsedPercent = math.NaN() }},
		{"a notice that stands for nothing", func(c *Changes) { c.Notices[0].Count = 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := batch()
			test.spoil(&c)
			err := begin(t, s, nil, 1).Save(t.Context(), c)
			if !errors.Is(err, ErrData) {
				t.Errorf("Save: %v, want ErrData", err)
			}
			equal(t, "contents", read(t, s), before)
		})
	}
	save(t, s, batch()) // what was not spoilt goes in
}

func testCancelled(t *testing.T, d database) {
	s := d.open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := s.Begin(ctx, rawTopic, 3, nil, []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	// The worker does not know yet; its successor is not held up by it.
	save(t, s, Changes{Progress: progressAt(5)})
	if err := tx.Save(ctx, batch()); !errors.Is(err, context.Canceled) {
		t.Errorf("Save after the end of its context: %v", err)
	}
	tx.Rollback()
	got := read(t, s)
	equal(t, "contents", got, contents{Periods: map[int64]quota.Period{}, Progress: progressAt(5)})
}

func testCancelledBefore(t *testing.T, d database) {
	s := d.open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Begin(ctx, rawTopic, 3, nil, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrData) {
		t.Errorf("Begin: %v", err)
	}
	if _, err := s.Retain(ctx, 1, start); !errors.Is(err, context.Canceled) {
		t.Errorf("Retain: %v", err)
	}
	for _, err := range s.Alarms(ctx, AlarmFilter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Alarms: %v", err)
		}
	}
	save(t, s, batch())
}

func testSerial(t *testing.T, d database) {
	s := d.open(t, Options{})
	const workers, rounds = 4, 25
	done := make(chan error, workers)
	for range workers {
		go func() {
			for range rounds {
				// Read, add, write: a transaction that does not hold others off loses one.
				tx, err := s.Begin(t.Context(), rawTopic, 3, nil, []int64{1})
				if err != nil {
					done <- err
					return
				}
				p := tx.Periods()[1]
				p.Number++
				if err := tx.Save(t.Context(), Changes{Periods: map[int64]quota.Period{1: p}, Progress: progressAt(0)}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s).Periods[1].Number; got != workers*rounds {
		t.Errorf("%d transactions left their mark, want %d", got, workers*rounds)
	}
}

func testPartitionIsHeld(t *testing.T, d database) {
	s := d.open(t, Options{})
	const workers, rounds = 4, 10
	done := make(chan error, workers)
	for range workers {
		go func() {
			for range rounds {
				tx, err := s.Begin(t.Context(), rawTopic, 3, nil, nil)
				if err != nil {
					done <- err
					return
				}
				p, _ := tx.Progress()
				if err := tx.Save(t.Context(), Changes{Progress: progressAt(p.Offset + 1)}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "progress", read(t, s).Progress, progressAt(workers*rounds))
}

// testNewAppIsHeld begins twice over an app that has no row to lock, of two partitions as
// when partitions were added: the second one sees what the first one saved.
func testNewAppIsHeld(t *testing.T, d database) {
	s := d.open(t, Options{})
	first := begin(t, s, nil, 1, 2)
	second := make(chan error, 1)
	go func() {
		tx, err := s.Begin(t.Context(), rawTopic, 4, nil, []int64{2, 3})
		if err == nil {
			if tx.Periods()[2].Date == "" {
				err = errors.New("began before the other was over")
			}
			tx.Rollback()
		}
		second <- err
	}()
	c := Changes{Periods: map[int64]quota.Period{1: {Date: "2026-11-23"}, 2: {Date: "2026-11-23"}}, Progress: progressAt(1)}
	if err := first.Save(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if p := begin(t, s, nil, 3).Periods(); len(p) != 0 {
		t.Errorf("an app that was only asked about has a period: %v", p)
	}
}

func testCancelledWaiting(t *testing.T, d database) {
	s := d.open(t, Options{})
	holding := begin(t, s, nil, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Begin(ctx, rawTopic, 3, nil, []int64{1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Begin: %v", err)
	}
	if err := holding.Save(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	begin(t, s, nil, 1).Rollback()
}

// testStaleOwner has two consumers that both believe they own the partition, as one that
// was stopped (SIGSTOP) for longer than its session. Its transaction is gone; what it holds
// in hand it handles once more, behind its successor.
func testStaleOwner(t *testing.T, d database) {
	s := d.open(t, Options{})
	var records []rawRecord
	for i := range 30 {
		records = append(records, rawAt(int64(i), i, alarm(1, i)))
	}
	handle(t, s, records[:10]...)
	stale, stop := context.WithCancel(t.Context())
	defer stop()
	late, err := s.Begin(stale, rawTopic, 3, idsOf([]Alarm{records[10].alarm}), []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	handle(t, s, records[10:25]...)
	save(t, s, Changes{Periods: map[int64]quota.Period{1: {Date: "2026-11-23", Number: 25}}, Progress: progressAt(24)})
	before := read(t, s)

	c := Changes{Alarms: []Alarm{records[10].alarm}, Periods: map[int64]quota.Period{1: {Number: 10}}, Progress: progressAt(10)}
	if err := late.Save(stale, c); err == nil {
		t.Error("the transaction that ended was saved")
	}
	equal(t, "contents", read(t, s), before)
	handle(t, s, records[10:20]...) // all of it behind the successor
	equal(t, "contents", read(t, s), before)
	handle(t, s, records[20:30]...) // half of it
	after := read(t, s)
	equal(t, "progress", after.Progress, progressAt(29))
	equal(t, "periods", after.Periods, before.Periods)
	for _, n := range deliveries(t, s) {
		if n != 1 {
			t.Errorf("deliveries %v, want 1 each", deliveries(t, s))
		}
	}
	if len(after.Alarms) != 30 {
		t.Errorf("%d alarms, want 30", len(after.Alarms))
	}
}

func testConcurrentReader(t *testing.T, d database) {
	writer := d.open(t, Options{})
	reader := d.open(t, Options{ReadOnly: true})
	const batches, rows = 40, 25
	var failed error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for b := range batches {
			tx, err := writer.Begin(t.Context(), rawTopic, 3, nil, nil)
			if err == nil {
				err = tx.Save(t.Context(), Changes{Alarms: alarms(int64(b)+1, rows), Progress: progressAt(int64(b))})
			}
			if err != nil {
				failed = err
				return
			}
		}
	}()
	for looking := true; looking; {
		select {
		case <-finished:
			looking = false
		default:
		}
		if n := len(list(t, reader.Alarms(t.Context(), AlarmFilter{}))); n%rows != 0 {
			t.Fatalf("the reader saw %d alarms: part of a batch", n)
		}
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if n := len(list(t, reader.Alarms(t.Context(), AlarmFilter{}))); n != batches*rows {
		t.Errorf("the reader sees %d alarms at last, want %d", n, batches*rows)
	}
	if _, err := reader.Begin(t.Context(), rawTopic, 3, nil, nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Begin of a reader: %v, want ErrReadOnly", err)
	}
	if _, err := reader.Retain(t.Context(), 1, start); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Retain of a reader: %v, want ErrReadOnly", err)
	}
}
