package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// database is an empty database of one test, which it can open as often as it likes, as
// if from several processes.
type database func(t *testing.T, o Options) Store

// open opens it and closes it with the test.
func (d database) open(t *testing.T, o Options) Store {
	t.Helper()
	s := d(t, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// testStore is the conformance suite: what every database has to do. fresh makes an empty
// database.
func testStore(t *testing.T, fresh func(t *testing.T) database) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, d database)
	}{
		{"what is saved is what is read", testRoundTrip},
		{"an empty database has nothing and reads as nothing", testEmpty},
		{"a NUL, quotes and every Unicode plane in a string", testStrangeText},
		{"an alarm 40 days old, one a year ahead, the vendor's sample of 2022", testStrangeTimes},
		{"two alarms of one app in a batch", testTwoOfOneApp},
		{"a batch of 1,000 rows of each kind", testLargeBatch},
		{"a batch redelivered five times counts nothing twice", testRedelivery},
		{"five copies of one alarm are one row with five deliveries", testFiveDeliveries},
		{"a topic made again starts over", testTopicMadeAgain},
		{"partitions and topics have progress of their own", testProgressApart},
		{"rollback leaves nothing", testRollback},
		{"a closed store forgets the transaction that was open", testCloseInside},
		{"a bad row of any kind leaves nothing of its batch", testDataErrors},
		{"the end of the context rolls back and lets the next one in", testCancelled},
		{"a context that ended before begins nothing", testCancelledBefore},
		{"transactions of two workers come one after the other", testSerial},
		{"a reader sees whole batches beside the writer", testConcurrentReader},
		{"a notice told again is the same notice", testNoticeUnique},
		{"a dead letter saved again is the same dead letter", testDeadLetterUnique},
		{"dead letters keep null and empty apart", testDeadLetterNulls},
		{"dead letters together stay within the bound", testDeadLetterBound},
		{"filters and limits", testFilters},
		{"retention by receipt, in chunks", testRetain},
		{"a state of an earlier or later release is read", testPeriodRelease},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// start is when the tests' world begins: not the machine's time, so that nothing passes
// by luck.
var start = time.Date(2026, time.November, 23, 1, 2, 3, 456e6, time.UTC)

const rawTopic = "im.alarms.raw"

// alarm returns the nth alarm of an app, received n seconds after start.
func alarm(app int64, n int) Alarm {
	at := start.Add(time.Duration(n) * time.Second)
	name, owner := "Harbor Chat", "team-harbor"
	event := schema.EnrichedAlarm{
		AlarmID:  fmt.Sprintf("%012x%020x", at.UnixMilli(), app*1_000_003+int64(n)),
		SdkAppID: app, AppName: &name, Owner: &owner, Registered: true,
		Command:   schema.CommandQuotaAlarm,
		QuotaUsed: 7321, Quota: 10000, UsedPercent: 73.21, Remaining: 2679,
		Severity: schema.SeverityWatch, StepEntered: n == 0,
		EventTime: schema.FormatTime(at), EventTimeSource: schema.EventTimeVendor,
		ReceivedAt: schema.FormatTime(at), Period: "2026-11-23",
		ForecastBasis: schema.ForecastTooFew, Authenticated: "sign",
		CallbackID: "00000000000000aa-1", RawTopic: rawTopic, RawPartition: 3, RawOffset: int64(n),
	}
	return encoded(Alarm{Event: event, VendorTime: at, Deliveries: 1})
}

// encoded returns the alarm with its event's bytes.
func encoded(a Alarm) Alarm {
	text, err := json.Marshal(&a.Event)
	if err != nil {
		panic(err)
	}
	a.EventBytes = text
	return a
}

// alarms returns n alarms of an app.
func alarms(app int64, n int) []Alarm {
	all := make([]Alarm, n)
	for i := range all {
		all[i] = alarm(app, i)
	}
	return all
}

// progressAt returns the progress at an offset of the tests' partition, whose record of
// offset n was produced n seconds after start.
func progressAt(offset int64) Progress {
	return Progress{
		Topic: rawTopic, Partition: 3, Offset: offset, LogEnd: offset + 1,
		Newest: start.Add(time.Duration(offset) * time.Second),
	}
}

// notice returns a step notice of an app.
func notice(app int64, step schema.Severity) quota.Notice {
	event := alarm(app, 0).Event
	return quota.Notice{AppID: app, Period: "2026-11-23", Kind: quota.KindStep, Step: step, Count: 1, Alarm: event}
}

// letter returns the dead letter of an offset.
func letter(offset int64) schema.DeadLetter {
	return schema.DeadLetter{
		Record: schema.Record{
			Topic: rawTopic, Partition: 3, Offset: offset, Time: start.Add(time.Duration(offset) * time.Second),
			Key: []byte("1400000001"), Value: []byte("{\"Quota\":0}\x00\xff"),
			Headers: []schema.Header{{Key: "ce_id", Value: []byte("00-1")}, {Key: "\xff\x00", Value: nil}, {Key: "", Value: []byte{}}},
		},
		Group: "tidegate", Reason: schema.ReasonBadField, Message: "Quota is 0, want at least 1", FailedAt: start,
	}
}

// begin begins a transaction over the tests' partition.
func begin(t *testing.T, s Store, ids []string, apps ...int64) Tx {
	t.Helper()
	tx, err := s.Begin(t.Context(), rawTopic, 3, ids, apps)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	t.Cleanup(tx.Rollback)
	return tx
}

// save saves changes in a transaction of their own.
func save(t *testing.T, s Store, c Changes) {
	t.Helper()
	if err := begin(t, s, nil).Save(t.Context(), c); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// idsOf returns the ids of alarms.
func idsOf(all []Alarm) []string {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].Event.AlarmID
	}
	return ids
}

// list reads a whole sequence.
func list[T any](t *testing.T, rows iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for row, err := range rows {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		all = append(all, row)
	}
	return all
}

// contents is all that a database holds.
type contents struct {
	Alarms      []Alarm
	Notices     []Notice
	DeadLetters []DeadLetter
	Periods     map[int64]quota.Period
	Progress    Progress
}

// read reads all of it, oldest first.
func read(t *testing.T, s Store) contents {
	t.Helper()
	c := contents{
		Alarms:      list(t, s.Alarms(t.Context(), AlarmFilter{})),
		Notices:     list(t, s.Notices(t.Context(), NoticeFilter{})),
		DeadLetters: list(t, s.DeadLetters(t.Context(), DeadLetterFilter{})),
	}
	slices.Reverse(c.Alarms)
	slices.Reverse(c.Notices)
	slices.Reverse(c.DeadLetters)
	tx := begin(t, s, nil, 1, 2, 3)
	defer tx.Rollback()
	c.Periods = tx.Periods()
	c.Progress, _ = tx.Progress()
	return c
}

// equal compares by JSON, which holds all that matters, and shows it.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Errorf("%s:\n%s\nwant\n%s", what, g, w)
	}
}

// batch returns changes that have every kind of row: two alarms of app 1.
func batch() Changes {
	period := quota.Period{
		Date: "2026-11-23", Number: 1, OpenedAt: start.UnixMilli(), LastAt: start.UnixMilli() + 1000, LastID: alarm(1, 1).Event.AlarmID,
		Used: 7321, Quota: 10000, Entered: []schema.Severity{schema.SeverityWatch}, Told: schema.SeverityWatch,
		Points: quota.Points{{At: start.UnixMilli(), Used: 7320}, {At: start.UnixMilli() + 1000, Used: 7321}},
		Steps:  []quota.ToldStep{{At: start.UnixMilli(), Step: schema.SeverityWatch}},
		Ended:  []quota.EndedPeriod{{Date: "2026-11-22", Known: schema.SeverityCritical}},
	}
	return Changes{
		Alarms:      alarms(1, 2),
		Periods:     map[int64]quota.Period{1: period},
		Notices:     []quota.Notice{notice(1, schema.SeverityWatch)},
		DeadLetters: []schema.DeadLetter{letter(2)},
		Progress:    progressAt(2),
	}
}

func testRoundTrip(t *testing.T, d database) {
	s := d.open(t, Options{Now: func() time.Time { return start }})
	want := batch()
	save(t, s, want)

	got := read(t, s)
	equal(t, "alarms", got.Alarms, want.Alarms)
	equal(t, "periods", got.Periods, want.Periods)
	equal(t, "notices", got.Notices, []Notice{{Notice: want.Notices[0], CreatedAt: start}})
	equal(t, "dead letters", got.DeadLetters, []DeadLetter{{DeadLetter: want.DeadLetters[0], ID: 1, AppID: 1400000001}})
	equal(t, "progress", got.Progress, want.Progress)

	known := begin(t, s, append(idsOf(want.Alarms), "never seen"), 1).Known()
	wantKnown := map[string]Saved{}
	for i, a := range want.Alarms {
		wantKnown[a.Event.AlarmID] = Saved{Topic: rawTopic, Partition: 3, Offset: int64(i), Event: a.EventBytes}
	}
	equal(t, "known", known, wantKnown)
}

func testEmpty(t *testing.T, d database) {
	s := d.open(t, Options{})
	got := read(t, s)
	equal(t, "contents", got, contents{Periods: map[int64]quota.Period{}})
	tx := begin(t, s, []string{"a"}, 1)
	if _, ok := tx.Progress(); ok || len(tx.Known()) > 0 || len(tx.Periods()) > 0 {
		t.Errorf("an empty database knows %v, %v", tx.Known(), tx.Periods())
	}
	if err := tx.Save(t.Context(), Changes{Progress: progressAt(0)}); err != nil {
		t.Errorf("Save of nothing but progress: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func testStrangeText(t *testing.T, d database) {
	s := d.open(t, Options{})
	strange := "a\x00b'\"; DROP TABLE alarm; --\U0001F30A\u202e\ufeff%_\\"
	a := alarm(1, 0)
	a.Event.AppName, a.Event.Owner, a.Event.Platform = &strange, &strange, &strange
	a = encoded(a)
	n := notice(1, schema.SeverityWatch)
	n.Period, n.Alarm.Owner = strange, &strange
	dead := letter(0)
	dead.Message, dead.Group = strange, strange
	p := quota.Period{Date: strange, Number: 1, LastID: strange}
	save(t, s, Changes{
		Alarms: []Alarm{a}, Notices: []quota.Notice{n}, DeadLetters: []schema.DeadLetter{dead},
		Periods: map[int64]quota.Period{1: p}, Progress: progressAt(0),
	})
	got := read(t, s)
	equal(t, "alarms", got.Alarms, []Alarm{a})
	equal(t, "notice", got.Notices[0].Notice, n)
	equal(t, "dead letter", got.DeadLetters[0].DeadLetter, dead)
	equal(t, "period", got.Periods[1], p)
	if known := begin(t, s, []string{a.Event.AlarmID, strange}).Known(); len(known) != 1 {
		t.Errorf("%d ids known, want 1", len(known))
	}
}

func testStrangeTimes(t *testing.T, d database) {
	s := d.open(t, Options{})
	old, ahead, sample := alarm(1, 0), alarm(1, 1), alarm(1, 2)
	old.VendorTime = start.AddDate(0, 0, -40)
	old.Event.EventTime = schema.FormatTime(old.VendorTime)
	ahead.VendorTime = start.AddDate(1, 0, 0)
	ahead.Event.EventTimeSource = schema.EventTimeReceipt
	sample.VendorTime = time.UnixMilli(1670574414123).UTC()
	sample.Event.EventTime = schema.FormatTime(sample.VendorTime)
	want := []Alarm{encoded(old), encoded(ahead), encoded(sample)}
	none := alarm(1, 3)
	none.VendorTime = time.Time{}
	want = append(want, none)
	save(t, s, Changes{Alarms: want, Progress: progressAt(3)})
	equal(t, "alarms", read(t, s).Alarms, want)
}

func testTwoOfOneApp(t *testing.T, d database) {
	s := d.open(t, Options{})
	first, second := alarm(1, 0), alarm(1, 1)
	second.Event.EventTime = first.Event.EventTime
	second = encoded(second)
	save(t, s, Changes{Alarms: []Alarm{first, second}, Progress: progressAt(1)})
	equal(t, "alarms", read(t, s).Alarms, []Alarm{first, second})
}

func testLargeBatch(t *testing.T, d database) {
	s := d.open(t, Options{})
	const n = 1001 // not a multiple of any chunk
	c := Changes{Alarms: alarms(1, n), Periods: map[int64]quota.Period{}, Progress: progressAt(n)}
	var apps []int64
	for i := range int64(n) {
		c.Periods[i+1] = quota.Period{Date: "2026-11-23", Number: int(i)}
		c.Notices = append(c.Notices, notice(i+1, schema.SeverityWatch))
		c.DeadLetters = append(c.DeadLetters, letter(i))
		apps = append(apps, i+1)
	}
	save(t, s, c)
	got := read(t, s)
	equal(t, "alarms", got.Alarms, c.Alarms)
	if len(got.Notices) != n || len(got.DeadLetters) != n {
		t.Errorf("%d notices, %d dead letters, want %d", len(got.Notices), len(got.DeadLetters), n)
	}
	tx := begin(t, s, idsOf(c.Alarms), apps...)
	if len(tx.Known()) != n {
		t.Errorf("%d alarms known, want %d", len(tx.Known()), n)
	}
	equal(t, "periods", tx.Periods(), c.Periods)
}

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

func testNoticeUnique(t *testing.T, d database) {
	now := start
	s := d.open(t, Options{Now: func() time.Time { return now }})
	first := notice(1, schema.SeverityWatch)
	save(t, s, Changes{Notices: []quota.Notice{first}, Progress: progressAt(0)})
	now = start.Add(time.Hour)
	again := first
	again.Alarm.QuotaUsed++
	others := []quota.Notice{first, first, first, first}
	others[0].Step = schema.SeverityWarning
	others[1].Kind = quota.KindDigest
	others[2].Period = "2026-11-24"
	others[3].AppID = 2
	save(t, s, Changes{Notices: append([]quota.Notice{again}, others...), Progress: progressAt(1)})
	want := []Notice{{first, start}}
	for _, n := range others {
		want = append(want, Notice{n, now})
	}
	equal(t, "notices", read(t, s).Notices, want)
}

func testDeadLetterUnique(t *testing.T, d database) {
	s := d.open(t, Options{})
	dead := letter(1)
	save(t, s, Changes{DeadLetters: []schema.DeadLetter{dead}, Progress: progressAt(1)})
	again, newTopic, next := letter(1), letter(1), letter(2)
	again.Message = "found again"
	newTopic.Record.Time = start.AddDate(0, 0, 1)
	save(t, s, Changes{DeadLetters: []schema.DeadLetter{again, newTopic, next}, Progress: progressAt(2)})
	var got []schema.DeadLetter
	for _, d := range read(t, s).DeadLetters {
		got = append(got, d.DeadLetter)
	}
	equal(t, "dead letters", got, []schema.DeadLetter{dead, newTopic, next})
}

func testDeadLetterNulls(t *testing.T, d database) {
	s := d.open(t, Options{})
	null, empty := letter(0), letter(1)
	null.Record.Key, null.Record.Value, null.Record.Headers = nil, nil, nil
	empty.Record.Key, empty.Record.Value = []byte{}, []byte{}
	save(t, s, Changes{DeadLetters: []schema.DeadLetter{null, empty}, Progress: progressAt(1)})
	got := read(t, s).DeadLetters
	if r := got[0].Record; r.Key != nil || r.Value != nil || len(r.Headers) != 0 {
		t.Errorf("null came back as %#v", r)
	}
	if r := got[1].Record; r.Key == nil || r.Value == nil || len(r.Key)+len(r.Value) != 0 {
		t.Errorf("empty came back as %#v", r)
	}
	if h := got[1].Record.Headers; h[1].Value != nil || h[2].Value == nil {
		t.Errorf("headers came back as %#v", h)
	}
	if got[0].AppID != 0 {
		t.Errorf("a record without a key belongs to app %d", got[0].AppID)
	}
}

func testDeadLetterBound(t *testing.T, d database) {
	const limit = 100 << 10
	s := d.open(t, Options{DeadLetterBytes: limit})
	var offset int64
	for range 30 {
		c := Changes{Progress: progressAt(offset)}
		for range 5 {
			dead := letter(offset)
			dead.Record.Value = bytes.Repeat([]byte("x"), 2000)
			c.DeadLetters = append(c.DeadLetters, dead)
			offset++
		}
		save(t, s, c)
	}
	got := read(t, s).DeadLetters
	held := 0
	for _, d := range got {
		held += len(d.Record.Value)
	}
	if held > limit || held < limit/2 {
		t.Errorf("%d bytes held, want at most %d and not much less", held, limit)
	}
	if last := got[len(got)-1].Record.Offset; last != offset-1 {
		t.Errorf("the newest dead letter is of offset %d, want %d", last, offset-1)
	}
	for i := 1; i < len(got); i++ {
		if got[i].Record.Offset != got[i-1].Record.Offset+1 {
			t.Errorf("offset %d follows %d: not the oldest went", got[i].Record.Offset, got[i-1].Record.Offset)
		}
	}
}

func testFilters(t *testing.T, d database) {
	s := d.open(t, Options{})
	save(t, s, Changes{
		Alarms:      append(alarms(1, 3), alarms(2, 2)...),
		Notices:     []quota.Notice{notice(1, schema.SeverityWatch), notice(2, schema.SeverityWatch)},
		DeadLetters: []schema.DeadLetter{letter(1), letter(2), letter(3)},
		Progress:    progressAt(3),
	})
	seconds := func(f AlarmFilter) (all []string) {
		for _, a := range list(t, s.Alarms(t.Context(), f)) {
			all = append(all, fmt.Sprintf("%d@%s", a.Event.SdkAppID, a.Event.ReceivedAt[17:19]))
		}
		return all
	}
	for _, test := range []struct {
		name   string
		filter AlarmFilter
		want   string
	}{
		{"all, newest receipt first, of one receipt the last saved", AlarmFilter{}, "1@05 2@04 1@04 2@03 1@03"},
		{"the newest two", AlarmFilter{Limit: 2}, "1@05 2@04"},
		{"one app", AlarmFilter{AppID: 2}, "2@04 2@03"},
		{"the newest of one app", AlarmFilter{AppID: 1, Limit: 1}, "1@05"},
		{"an app that was never heard of", AlarmFilter{AppID: 3}, ""},
	} {
		if got := strings.Join(seconds(test.filter), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for a, err := range s.Alarms(t.Context(), AlarmFilter{}) { // one row is enough
		if err != nil || a.Event.SdkAppID != 1 {
			t.Errorf("first row: %v, %v", a.Event.SdkAppID, err)
		}
		break
	}
	if n := len(list(t, s.Notices(t.Context(), NoticeFilter{AppID: 2, Limit: 5}))); n != 1 {
		t.Errorf("%d notices of app 2, want 1", n)
	}
	for _, test := range []struct {
		filter DeadLetterFilter
		want   int
	}{
		{DeadLetterFilter{}, 3},
		{DeadLetterFilter{Limit: 2}, 2},
		{DeadLetterFilter{Reason: schema.ReasonBadField}, 3},
		{DeadLetterFilter{Reason: schema.ReasonBadJSON}, 0},
		{DeadLetterFilter{AppID: 1400000001, Reason: schema.ReasonBadField, Limit: 1}, 1},
		{DeadLetterFilter{AppID: 1}, 0},
	} {
		if n := len(list(t, s.DeadLetters(t.Context(), test.filter))); n != test.want {
			t.Errorf("%d dead letters for %+v, want %d", n, test.filter, test.want)
		}
	}
}

func testRetain(t *testing.T, d database) {
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	now := day(0)
	s := d.open(t, Options{Now: func() time.Time { return now }})

	const many = 1200 // several chunks
	old, sample, kept := alarms(1, many), alarm(2, 0), alarm(2, 1)
	for i := range old {
		old[i].Event.ReceivedAt = schema.FormatTime(day(-40))
		old[i] = encoded(old[i])
	}
	sample.Event.EventTime = "2022-12-09T08:26:54.123Z" // received just now
	old[0].Event.EventTime = "2099-01-01T00:00:00.000Z" // received long ago
	sample, old[0] = encoded(sample), encoded(old[0])
	dead, fresh := letter(1), letter(2)
	dead.FailedAt, fresh.FailedAt = day(-40), day(-29)
	gone, heard := quota.Period{Date: "x", LastAt: day(-40).UnixMilli()}, quota.Period{Date: "y", LastAt: day(-1).UnixMilli()}
	save(t, s, Changes{
		Alarms: append(old, sample, kept), DeadLetters: []schema.DeadLetter{dead, fresh},
		Notices: []quota.Notice{notice(1, schema.SeverityWatch)},
		Periods: map[int64]quota.Period{1: gone, 2: heard}, Progress: progressAt(many),
	})

	if n, err := s.Retain(t.Context(), 0, now); n != 0 || err != nil {
		t.Errorf("Retain of 0 days: %d, %v: want everything kept", n, err)
	}
	if n, err := s.Retain(t.Context(), 30, now); n != many+2 || err != nil {
		t.Errorf("Retain: %d, %v, want %d", n, err, many+2)
	}
	got := read(t, s)
	equal(t, "alarms", got.Alarms, []Alarm{sample, kept})
	equal(t, "periods", got.Periods, map[int64]quota.Period{2: heard})
	if len(got.DeadLetters) != 1 || len(got.Notices) != 1 {
		t.Errorf("%d dead letters, %d notices, want 1 each", len(got.DeadLetters), len(got.Notices))
	}
	if n, err := s.Retain(t.Context(), 30, day(31)); n != 5 || err != nil {
		t.Errorf("Retain a month later: %d, %v, want 5", n, err)
	}
	equal(t, "progress", read(t, s).Progress, progressAt(many))
}

func testPeriodRelease(t *testing.T, d database) {
	s := d.open(t, Options{})
	save(t, s, Changes{Periods: map[int64]quota.Period{1: {}}, Progress: progressAt(0)})
	p, ok := begin(t, s, nil, 1).Periods()[1]
	if !ok {
		t.Fatal("a zero period is not found again")
	}
	equal(t, "period", p, quota.Period{})
}
