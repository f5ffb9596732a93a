package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
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
		{"a record of any time that Kafka takes", testAnyRecordTime},
		{"two alarms of one app in a batch", testTwoOfOneApp},
		{"a copy enriched in another time zone is the same alarm", testChangedTimeZone},
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
		{"a partition is held, also without apps and before anything was saved of it", testPartitionIsHeld},
		{"an app of which nothing was heard yet is held, too", testNewAppIsHeld},
		{"who waits for another gives up with his context", testCancelledWaiting},
		{"an owner that wakes up late moves nothing back", testStaleOwner},
		{"a reader sees whole batches beside the writer", testConcurrentReader},
		{"a notice told again is the same notice", testNoticeUnique},
		{"a dead letter saved again is the same dead letter", testDeadLetterUnique},
		{"dead letters keep null and empty apart", testDeadLetterNulls},
		{"dead letters together stay within the bound", testDeadLetterBound},
		{"a replayed dead letter is closed with what it brought, or not at all", testReplayed},
		{"of two replays of one dead letter one counts", testReplayedTwice},
		{"a replay moves no progress", testReplayProgress},
		{"what a replay published is marked, once", testMarkPublished},
		{"filters of dead letters", testDeadLetterFilters},
		{"filters and limits", testFilters},
		{"retention by receipt, in chunks", testRetain},
		{"a state that says nothing is a state", testZeroPeriod},
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
