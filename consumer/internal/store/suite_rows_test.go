package store

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

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
	dated := func(a *Alarm, at time.Time) { // as schema.AlarmID has it
		a.VendorTime = at
		a.Event.AlarmID = fmt.Sprintf("%012x", at.UnixMilli()) + a.Event.AlarmID[12:]
	}
	dated(&old, start.AddDate(0, 0, -40))
	old.Event.EventTime = schema.FormatTime(old.VendorTime)
	dated(&ahead, start.AddDate(1, 0, 0))
	ahead.Event.EventTimeSource = schema.EventTimeReceipt
	dated(&sample, time.UnixMilli(1670574414123).UTC())
	sample.Event.EventTime = schema.FormatTime(sample.VendorTime)
	want := []Alarm{encoded(old), encoded(ahead), encoded(sample)}
	none := alarm(1, 3)
	none.VendorTime = time.Time{}
	want = append(want, none)
	save(t, s, Changes{Alarms: want, Progress: progressAt(3)})
	equal(t, "alarms", read(t, s).Alarms, want)
	if known := begin(t, s, idsOf(want)).Known(); len(known) != len(want) {
		t.Errorf("%d of %d alarms known", len(known), len(want))
	}
}

// testAnyRecordTime: Kafka takes whatever whole number of milliseconds a producer names, and
// a partition must not stand still for it, nor forget what it has saved.
func testAnyRecordTime(t *testing.T, d database) {
	s := d.open(t, Options{})
	for i, ms := range []int64{time.Time{}.UnixMilli(), -1, 0, start.UnixMilli(), 1 << 53, 9_300_000_000_000_000, math.MaxInt64} {
		dead, p := letter(int64(i)), progressAt(int64(i))
		dead.Record.Time, p.Newest = time.UnixMilli(ms).UTC(), time.UnixMilli(ms).UTC()
		save(t, s, Changes{DeadLetters: []schema.DeadLetter{dead}, Progress: p})
		tx := begin(t, s, nil)
		got, ok := tx.Progress()
		tx.Rollback()
		if !ok || got.Offset != int64(i) || !got.Covers(&dead.Record) {
			t.Errorf("after a record of %d ms: progress %+v", ms, got)
		}
		if n := len(read(t, s).DeadLetters); n != i+1 {
			t.Errorf("after a record of %d ms: %d dead letters, want %d", ms, n, i+1)
		}
	}
}

func testTwoOfOneApp(t *testing.T, d database) {
	s := d.open(t, Options{})
	first, second := alarm(1, 0), alarm(1, 1)
	second.Event.EventTime = first.Event.EventTime
	second = encoded(second)
	save(t, s, Changes{Alarms: []Alarm{first, second}, Progress: progressAt(1)})
	equal(t, "alarms", read(t, s).Alarms, []Alarm{first, second})
}

// testChangedTimeZone has the apps file move an app to another zone between two copies of
// an alarm: the second one's period is another day.
func testChangedTimeZone(t *testing.T, d database) {
	s := d.open(t, Options{})
	first := alarm(1, 0)
	handle(t, s, rawAt(0, 0, first))
	second := alarm(1, 0)
	second.Event.Period, second.Event.RawOffset = "2026-11-22", 1
	second = encoded(second)
	handle(t, s, rawAt(1, 1, second))
	// Also where whoever saves it did not ask what is known.
	save(t, s, Changes{Alarms: []Alarm{second}, Periods: map[int64]quota.Period{1: {Date: "2026-11-22", Number: 1}}, Progress: progressAt(2)})
	want := first
	want.Deliveries = 3
	got := read(t, s)
	equal(t, "alarms", got.Alarms, []Alarm{want})
	if got.Periods[1].Date != "2026-11-22" {
		t.Errorf("period %v", got.Periods[1])
	}
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

func testZeroPeriod(t *testing.T, d database) {
	s := d.open(t, Options{})
	save(t, s, Changes{Periods: map[int64]quota.Period{1: {}}, Progress: progressAt(0)})
	p, ok := begin(t, s, nil, 1).Periods()[1]
	if !ok {
		t.Fatal("a zero period is not found again")
	}
	equal(t, "period", p, quota.Period{})
}
