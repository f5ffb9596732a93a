package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

func TestNewAlarmIsOneRowAndOneEvent(t *testing.T) {
	r := newRig(t, nil)
	raw := batch(40, alarmOf(1400000001, 7321))
	r.handle(t, raw...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 1})
	events := r.sink.to(topics.Alarms)
	if len(events) != 1 || len(r.store.alarms) != 1 {
		t.Fatalf("%d events, %d rows", len(events), len(r.store.alarms))
	}
	var e schema.EnrichedAlarm
	if err := json.Unmarshal(events[0].Value, &e); err != nil {
		t.Fatal(err)
	}
	row := r.store.alarms[e.AlarmID]
	if !bytes.Equal(row.EventBytes, events[0].Value) || row.Deliveries != 1 || row.VendorTime.UnixMilli() != at+7321 {
		t.Errorf("row %+v", row)
	}
	if *e.AppName != "Harbor Chat" || e.RawTopic != "im.alarms.raw" || e.RawPartition != 3 || e.RawOffset != 40 || e.QuotaUsed != 7321 || *e.ClientIP != "203.0.113.7" {
		t.Errorf("event %s", events[0].Value)
	}
	if string(events[0].Key) != "1400000001" {
		t.Errorf("key %q", events[0].Key)
	}
	if p := r.store.progress[3]; p.Offset != 40 || p.LogEnd != 41 || !p.Newest.Equal(raw[0].Time) {
		t.Errorf("progress %+v", p)
	}
	if len(r.store.periods) != 1 {
		t.Errorf("periods %v", r.store.periods)
	}
}

// Every byte of an event is its reader's: encoding/json must read what sonic wrote, and
// write the same fields.
func TestEventIsPlainJSON(t *testing.T) {
	r := newRig(t, nil)
	record := alarmOf(1400000009, 8000)
	for i := range record.Headers {
		if record.Headers[i].Key == "ce_optplatform" {
			record.Headers[i].Value = []byte("<Web> \"\\ \u2028 é 😀")
		}
	}
	r.handle(t, batch(0, record)...)
	value := r.sink.records[0].Value
	var e schema.EnrichedAlarm
	if err := json.Unmarshal(value, &e); err != nil {
		t.Fatal(err)
	}
	if *e.Platform != "<Web> \"\\ \u2028 é 😀" {
		t.Errorf("platform %q", *e.Platform)
	}
	again, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var one, two any
	if json.Unmarshal(value, &one) != nil || json.Unmarshal(again, &two) != nil || fmt.Sprint(one) != fmt.Sprint(two) {
		t.Errorf("sonic wrote\n%s\nencoding/json writes\n%s", value, again)
	}
	if e.Registered || e.AppName != nil {
		t.Errorf("an app that is not listed is registered: %s", value)
	}
}

// A callback's trace goes on in the event, and in every copy of it; a later copy of the alarm
// has a trace of its own, which is nobody's event.
func TestEventGoesOnWithTheTrace(t *testing.T) {
	const trace, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-ffffffffffffffffffffffffffffffff-b7ad6b7169203331-01"
	traced := func(value string) schema.Record {
		r := alarmOf(1400000001, 7321)
		r.Headers = append(slices.Clone(r.Headers), schema.Header{Key: "traceparent", Value: []byte(value)})
		return r
	}
	r := newRig(t, nil)
	records := batch(0, traced(trace), traced(other), alarmOf(1400000002, 7321))
	for range 2 { // once as they come, once as they come again
		r.sink.records = nil
		r.handle(t, records...)
		var got []string
		for _, event := range r.sink.to(topics.Alarms) {
			got = append(got, "none")
			for _, h := range event.Headers {
				if h.Key == "traceparent" {
					got[len(got)-1] = string(h.Value)
				}
			}
		}
		if !slices.Equal(got, []string{trace, "none"}) {
			t.Errorf("traces of the events: %v", got)
		}
	}
}

func TestCopiesOfAnAlarmAreCountedAndNotPublished(t *testing.T) {
	r := newRig(t, nil)
	again := alarmOf(1400000001, 7321)
	again.Headers = slices.Clone(again.Headers)
	again.Headers[2].Value = []byte("0123456789abcdef-9") // ce_id of another journal entry
	for i := range again.Headers {
		if again.Headers[i].Key == schema.HeaderSequence {
			again.Headers[i].Value = []byte("00000000000000000009")
		}
	}
	r.handle(t, batch(0, alarmOf(1400000001, 7321), again, alarmOf(1400000001, 7321))...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 1, OutcomeRepeated: 2})
	r.handle(t, batch(3, alarmOf(1400000001, 7321), again)...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 1, OutcomeRepeated: 4})
	if n := len(r.sink.records); n != 1 {
		t.Errorf("%d records published, want the first copy's event only", n)
	}
	for _, a := range r.store.alarms {
		if a.Deliveries != 5 {
			t.Errorf("%d deliveries, want 5", a.Deliveries)
		}
	}
}

func TestRedeliveredBatchPublishesTheSameBytesAndCountsNothing(t *testing.T) {
	r := newRig(t, nil)
	records := batch(10, alarmOf(1400000001, 7100), alarmOf(1400000001, 7200), alarmOf(1400000001, 7100),
		rawRecord(1400000001, 4, "not JSON"), alarmOf(1400000002, 9000))
	r.handle(t, records...)
	rows := fmt.Sprintf("%+v", r.store.alarms)
	first := slices.Clone(r.sink.records)
	r.sink.records = nil
	r.handle(t, records...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 3, OutcomeRepeated: 1, OutcomeRedelivered: 4, OutcomeDeadLetter: 2})
	if got := fmt.Sprintf("%+v", r.store.alarms); got != rows {
		t.Errorf("rows changed from\n%s\nto\n%s", rows, got)
	}
	if fmt.Sprintf("%+v", r.sink.records) != fmt.Sprintf("%+v", first) {
		t.Errorf("published first\n%+v\nthen\n%+v", first, r.sink.records)
	}
	if p := r.store.progress[3]; p.Offset != 14 {
		t.Errorf("progress %+v", p)
	}
}

// What another release stored is published as it stands: encoding it anew would drop what
// this one does not know, and readers would see two texts under one id.
func TestStoredBytesArePublishedAsTheyAre(t *testing.T) {
	r := newRig(t, nil)
	records := batch(10, alarmOf(1400000001, 7100))
	r.handle(t, records...)
	r.sink.records = nil
	var want []byte
	for id, a := range r.store.alarms {
		want = append(bytes.TrimSuffix(bytes.Clone(a.EventBytes), []byte("}")), `, "of_a_later_release": 1}`...)
		a.EventBytes = want
		r.store.alarms[id] = a
	}
	r.handle(t, records...)
	if got := r.sink.to(topics.Alarms); len(got) != 1 || !bytes.Equal(got[0].Value, want) {
		t.Errorf("published %+v, stored %q", got, want)
	}
}

// A topic that was made anew begins at offset 0: its copies are news, although their
// offsets were handled before.
func TestCopiesOnATopicMadeAnewAreCounted(t *testing.T) {
	r := newRig(t, nil)
	r.handle(t, batch(100, alarmOf(1400000001, 7100), alarmOf(1400000001, 7200))...)
	later := batch(0, alarmOf(1400000001, 7200))
	later[0].Time = received.Add(time.Hour)
	r.handle(t, later...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 2, OutcomeRepeated: 1})
}

func TestRefusedRecordsAreDeadLettersInTableAndTopic(t *testing.T) {
	r := newRig(t, nil)
	bad := "{\"Quota\": // the cap\n1}"
	records := batch(7, alarmOf(1400000001, 7100), rawRecord(1400000002, 5, bad), alarmOf(1400000001, 7200))
	r.handle(t, records...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 2, OutcomeDeadLetter: 1})
	dead := r.sink.to(topics.AlarmsDLQ)
	if len(dead) != 1 || len(r.store.letters) != 1 {
		t.Fatalf("%d records, %d rows", len(dead), len(r.store.letters))
	}
	letter := r.store.letters["im.alarms.raw/3/8"]
	if letter.Reason != schema.ReasonBadJSON || letter.Message != "comments are not JSON" || string(letter.Record.Value) != bad || letter.Group != testGroup {
		t.Errorf("row %+v", letter)
	}
	if string(dead[0].Value) != bad || string(dead[0].Key) != "1400000002" || dead[0].Topic != topics.AlarmsDLQ {
		t.Errorf("record %+v", dead[0])
	}
	for header, want := range map[string]string{
		schema.HeaderDeadTopic: "im.alarms.raw", schema.HeaderDeadPartition: "3", schema.HeaderDeadOffset: "8",
		schema.HeaderDeadGroup: testGroup, schema.HeaderDeadReason: "bad_json", schema.HeaderDeadMessage: "comments are not JSON",
		schema.HeaderID: "0123456789abcdef-5",
	} {
		if got, _ := dead[0].Header(header); string(got) != want {
			t.Errorf("header %s is %q, want %q", header, got, want)
		}
	}
	if got := testutil.ToFloat64(r.metrics.deadLetters[schema.ReasonBadJSON]); got != 1 {
		t.Errorf("dead letters counted: %v", got)
	}
}

func TestDeadLetterThatIsTooLargeForItsTopicKeepsItsHash(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxRecordBytes = 2000 })
	body := strings.Repeat("x", 5000)
	r.handle(t, batch(0, rawRecord(1, 1, body))...)
	dead := r.sink.to(topics.AlarmsDLQ)
	sum, ok := dead[0].Header(schema.HeaderDeadSHA256)
	if len(dead[0].Value) != 0 || !ok || len(sum) != 64 {
		t.Errorf("value of %d bytes, hash %q", len(dead[0].Value), sum)
	}
	if got := r.store.letters["im.alarms.raw/3/0"].Record.Value; string(got) != body {
		t.Errorf("row has %d bytes, want them all", len(got))
	}
}

func TestEventsComeBeforeDeadLettersAndInOffsetOrder(t *testing.T) {
	r := newRig(t, nil)
	r.handle(t, batch(0, rawRecord(1, 1, "x"), alarmOf(1400000001, 7100), rawRecord(1, 3, "y"), alarmOf(1400000001, 7200), alarmOf(1400000001, 7050))...)
	var got []string
	for _, p := range r.sink.records {
		var e schema.EnrichedAlarm
		if json.Unmarshal(p.Value, &e) == nil {
			got = append(got, fmt.Sprint(e.QuotaUsed))
		} else {
			got = append(got, string(p.Value))
		}
	}
	if want := []string{"7100", "7200", "7050", "x", "y"}; !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

func TestStoreThatIsAwayIsWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func(m *memory, err error)
	}{
		{"cannot begin", func(m *memory, err error) { m.begin = func() error { return err } }},
		{"cannot commit", func(m *memory, err error) { m.save = func(store.Changes) error { return err } }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				test.fail(r.store, errors.New("connection refused"))
				done := make(chan error, 1)
				go func() { done <- r.Handle(t.Context(), batch(0, alarmOf(1400000001, 7100)), 1) }()
				time.Sleep(10 * time.Minute) // the bubble's clock
				synctest.Wait()
				if len(done) != 0 || r.StoreUp() || testutil.ToFloat64(r.metrics.storeUp) != 0 {
					t.Fatalf("ended %d, up %v", len(done), r.StoreUp())
				}
				r.store.mu.Lock()
				if r.store.begun < 100 || r.store.begun > 200 {
					t.Errorf("%d attempts in ten minutes, want one about every five seconds", r.store.begun)
				}
				r.store.begin, r.store.save = nil, nil
				r.store.mu.Unlock()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if !r.StoreUp() || testutil.ToFloat64(r.metrics.storeUp) != 1 || len(r.sink.records) != 1 {
					t.Errorf("up %v, %d published", r.StoreUp(), len(r.sink.records))
				}
				if r.logs.FilterMessage("database answers again").Len() != 1 {
					t.Error("no line says that it is back")
				}
			})
		})
	}
}

func TestEndOfTheGenerationEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.store.begin = func() error { return errors.New("connection refused") }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Handle(ctx, batch(0, alarmOf(1400000001, 7100)), 1) }()
		time.Sleep(time.Hour) // the bubble's clock
		if r.StoreUp() {
			t.Error("nothing says that the database is away")
		}
		begun := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Handle: %v", err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("took %v", took)
		}
		r.outcomes(t, nil)
		if !r.StoreUp() || testutil.ToFloat64(r.metrics.storeUp) != 1 {
			t.Error("the database is called down, and nothing waits for it")
		}
		if r.logs.FilterMessage("database answers again").Len() != 0 {
			t.Error("a line says that the database is back, which nobody knows")
		}
	})
}

func TestNoRecordsAreNothing(t *testing.T) {
	r := newRig(t, nil)
	if err := r.Handle(t.Context(), nil, 0); err != nil || r.store.begun != 0 {
		t.Errorf("%v, %d transactions", err, r.store.begun)
	}
}

func TestNamesOfOutcomesAndStages(t *testing.T) {
	for o, want := range map[Outcome]string{OutcomeSaved: "saved", OutcomeRepeated: "repeated", OutcomeRedelivered: "redelivered", OutcomeDeadLetter: "dead_letter", numOutcomes: "unknown"} {
		if o.String() != want {
			t.Errorf("outcome %d is %q, want %q", o, o, want)
		}
	}
	for s, want := range map[Stage]string{StageDecode: "decode", StagePublish: "publish", numStages: "unknown"} {
		if s.String() != want {
			t.Errorf("stage %d is %q, want %q", s, s, want)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	r := newRig(b, nil)
	n := 0
	for b.Loop() {
		records := make([]schema.Record, 500)
		for i := range records {
			records[i] = alarmOf(1400000001, n)
			n++
		}
		r.handle(b, batch(int64(n), records...)...)
		r.sink.records = nil
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
