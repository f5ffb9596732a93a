package quota

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// pretty writes a value as JSON to compare.
func pretty(t testing.TB, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ptr returns a pointer to a value.
func ptr[T any](v T) *T { return &v }

// TestEvent compares every field of the event.
func TestEvent(t *testing.T) {
	zone := load(t, "Asia/Shanghai")
	callback := schema.Callback{
		ID: schema.CallbackID{Journal: 0x1f, LSN: 42}, AppID: 1400000001, Command: []byte(schema.CommandQuotaAlarm),
		ReceivedAt: time.Date(2026, 11, 23, 16, 30, 0, 250e6, time.UTC), Authenticated: schema.AuthenticatedSign,
	}
	callback.Attributes[schema.AttributeClientIP] = []byte("192.0.2.7")
	callback.Attributes[schema.AttributeOptPlatform] = []byte("RESTAPI")
	a := Alarm{
		ID: "0184f5c5e0ab00112233445566778899", Callback: callback,
		Quota: schema.QuotaAlarm{QuotaUsed: 8321, Quota: 10000, EventTime: time.Date(2026, 11, 23, 16, 29, 59, 123e6, time.UTC)},
		Topic: "im.alarms.raw", Partition: 7, Offset: 12345,
	}
	listed := &apps.App{ID: 1400000001, Name: "Harbor Chat", Owner: "team-harbor", Tier: "pro", Site: "cn", Zone: zone, Steps: steps, Registered: true}
	want := schema.EnrichedAlarm{
		AlarmID: a.ID, SdkAppID: 1400000001, AppName: ptr("Harbor Chat"), Owner: ptr("team-harbor"), Tier: ptr("pro"), Site: ptr("cn"),
		Registered: true, Command: "Group.CallbackOnDailyGroupQuotaAlarm", QuotaUsed: 8321, Quota: 10000, UsedPercent: 83.21,
		Remaining: 1679, Severity: schema.SeverityWarning, StepEntered: true, EventTime: "2026-11-23T16:29:59.123Z",
		EventTimeSource: schema.EventTimeVendor, ReceivedAt: "2026-11-23T16:30:00.250Z", Period: "2026-11-24",
		ForecastBasis: schema.ForecastTooFew, ClientIP: ptr("192.0.2.7"), Platform: ptr("RESTAPI"), Authenticated: "sign",
		CallbackID: "000000000000001f-42", RawTopic: "im.alarms.raw", RawPartition: 7, RawOffset: 12345,
	}

	for _, test := range []struct {
		name   string
		change func(a *Alarm, app *apps.App, want *schema.EnrichedAlarm)
	}{
		{"an app of the apps file", func(*Alarm, *apps.App, *schema.EnrichedAlarm) {}},
		{"an app that is not in the apps file", func(_ *Alarm, app *apps.App, want *schema.EnrichedAlarm) {
			*app = apps.App{ID: app.ID, Zone: zone, Steps: steps}
			want.AppName, want.Owner, want.Tier, want.Site, want.Registered = nil, nil, nil, nil, false
		}},
		{"nothing but what is required", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Callback.Attributes, a.Callback.Authenticated = schema.Attributes{}, schema.AuthenticatedNone
			want.ClientIP, want.Platform, want.Authenticated = nil, nil, "none"
		}},
		{"no EventTime", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.EventTime = time.Time{}
			want.EventTime, want.EventTimeSource = want.ReceivedAt, schema.EventTimeReceipt
		}},
		{"five minutes ahead is believed", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.EventTime = a.Callback.ReceivedAt.Add(5 * time.Minute)
			want.EventTime = "2026-11-23T16:35:00.250Z"
		}},
		{"a millisecond more is not", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.EventTime = a.Callback.ReceivedAt.Add(5*time.Minute + time.Millisecond)
			want.EventTime, want.EventTimeSource = want.ReceivedAt, schema.EventTimeReceipt
		}},
		{"fifteen minutes old is not late", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.EventTime = a.Callback.ReceivedAt.Add(-15 * time.Minute)
			want.EventTime = "2026-11-23T16:15:00.250Z"
		}},
		{"a millisecond more is late", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.EventTime = a.Callback.ReceivedAt.Add(-15*time.Minute - time.Millisecond)
			want.EventTime, want.Late = "2026-11-23T16:15:00.249Z", true
		}},
		{"the period is of the app's zone", func(_ *Alarm, app *apps.App, want *schema.EnrichedAlarm) {
			app.Zone, want.Period = time.UTC, "2026-11-23"
		}},
		{"beyond the cap", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.QuotaUsed = 10003
			want.QuotaUsed, want.UsedPercent, want.Remaining, want.Severity = 10003, 100.03, 0, schema.SeverityExhausted
		}},
		{"below the app's first step", func(a *Alarm, _ *apps.App, want *schema.EnrichedAlarm) {
			a.Quota.QuotaUsed = 6999
			want.QuotaUsed, want.UsedPercent, want.Remaining, want.Severity, want.StepEntered = 6999, 69.99, 3001, schema.SeverityOK, false
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, app, want := a, *listed, want
			test.change(&a, &app, &want)
			_, got, _ := Period{}.Apply(a, &app)
			if pretty(t, got) != pretty(t, want) {
				t.Errorf("event %s\nwant %s", pretty(t, got), pretty(t, want))
			}
		})
	}
}

// TestEventKeepsNoViews changes the callback's bytes after Apply, as the reader of the
// topic does.
func TestEventKeepsNoViews(t *testing.T) {
	w := newWorld(t, "UTC")
	a := w.alarm("11-23 10:00 7100")
	a.Callback.Attributes[schema.AttributeClientIP] = []byte("192.0.2.7")
	a.Callback.Attributes[schema.AttributeOptPlatform] = []byte("iOS")
	p, event, notices := Period{}.Apply(a, w.app)
	before := pretty(t, []any{p, event, notices})
	for _, view := range [][]byte{a.Callback.Command, a.Callback.Attributes[schema.AttributeClientIP], a.Callback.Attributes[schema.AttributeOptPlatform]} {
		clear(view)
	}
	if after := pretty(t, []any{p, event, notices}); after != before {
		t.Errorf("was %s\nis %s", before, after)
	}
}

// TestEventsOfADay follows the fields that depend on what came before: one line for each
// alarm, "TIME USED", and after the arrow what its event says.
func TestEventsOfADay(t *testing.T) {
	w := newWorld(t, "Asia/Shanghai")
	for line := range strings.Lines(strings.TrimSpace(`
		11-23 10:00 7100 => watch entered, too_few
		11-23 10:03 7200 => watch, too_few
		11-23 10:06 7300 => watch, trend 2000 full 03:27:00
		11-23 10:09 9100 => critical entered, trend 12200 full 02:13:25
		11-23 10:12 8900 => warning entered, trend 11000 full 02:18:00
		11-23 10:10 8950 => warning, trend 12797.69 full 02:14:55
		11-23 12:00 9000 => critical, too_few
		11-23 12:10 8950 => warning, too_few
		11-23 12:20 8900 => warning, not_rising -300
		11-22 23:00 9900 received 11-23 12:21 => critical late, too_few
		11-24 00:00 8100 => warning entered, too_few
		11-24 00:10 8100 => warning, too_few
		11-24 00:20 8101 => warning, not_today 3
		11-24 00:21 7101 => watch entered, too_few
		11-24 00:20:30 8102 => warning late, too_few
		11-24 00:22 10000 => exhausted entered, too_few`)) {
		heard, want, _ := strings.Cut(strings.TrimSpace(line), " => ")
		a := w.alarm(heard)
		_, events := w.handle(a.Callback.ReceivedAt, a)
		if got := told(events[0]); got != want {
			t.Errorf("%s\nsays %q\nwant %q", heard, got, want)
		}
	}
}

// told writes what TestEventsOfADay compares.
func told(e schema.EnrichedAlarm) string {
	text := string(e.Severity)
	if e.StepEntered {
		text += " entered"
	}
	if e.Late {
		text += " late"
	}
	text += ", " + string(e.ForecastBasis)
	if e.RatePerHour != nil {
		number, _ := json.Marshal(*e.RatePerHour)
		text += " " + string(number)
	}
	if e.ExhaustionAt != nil {
		text += " full " + (*e.ExhaustionAt)[11:19]
	}
	return text
}

// TestReduceOfSeveralApps has two apps in one batch: each is told of for itself, in the
// order in which they were first heard of.
func TestReduceOfSeveralApps(t *testing.T) {
	harbor, pier := newWorld(t, "Asia/Shanghai"), newWorld(t, "Asia/Shanghai")
	pier.app.ID = 1400000002
	now := harbor.time("11-23 10:01")

	periods := map[int64]Period{}
	var offered []Notice
	for _, heard := range []struct {
		w    *world
		text string
	}{{pier, "11-23 10:00:00 7100"}, {harbor, "11-23 10:00:01 8100"}, {pier, "11-23 10:00:02 9100"}, {pier, "11-23 09:00:00 7050"}} {
		p, _, notices := periods[heard.w.app.ID].Apply(heard.w.alarm(heard.text), heard.w.app)
		periods[heard.w.app.ID], offered = p, append(offered, notices...)
	}
	got := Reduce(periods, offered, now)
	if len(got) != 2 || got[0].AppID != pier.app.ID || got[1].AppID != harbor.app.ID {
		t.Fatalf("told %s", pretty(t, got))
	}
	if shown(got) != "step critical 2026-11-23; step warning 2026-11-23" {
		t.Errorf("told %q", shown(got))
	}
	if got[0].Alarm.QuotaUsed != 9100 || got[1].Alarm.QuotaUsed != 8100 {
		t.Errorf("the notices are of the alarms %d and %d", got[0].Alarm.QuotaUsed, got[1].Alarm.QuotaUsed)
	}
	if again := Reduce(periods, offered, now); len(again) != 0 {
		t.Errorf("told again %q", shown(again))
	}
	if none := Reduce(periods, nil, now); none != nil {
		t.Errorf("of nothing told %q", shown(none))
	}
}

// TestPeriodJSON keeps the form in which periods stand in databases that exist.
func TestPeriodJSON(t *testing.T) {
	w := newWorld(t, "Asia/Shanghai")
	for _, line := range []string{
		"11-22 22:00 9100", "11-23 11:00 7100", "11-23 11:03 7400", "11-23 11:06 7800", "11-22 23:00 10000 received 11-23 11:06",
	} {
		w.line(line)
	}
	const want = `{
  "date": "2026-11-23",
  "number": 1,
  "opened_at": 1795402800000,
  "opened_id": "OPENED",
  "last_at": 1795403160000,
  "last_id": "01a2065e19c0LAST",
  "used": 7800,
  "quota": 10000,
  "entered": [
    "watch"
  ],
  "told": "watch",
  "forecast_told": true,
  "points": "1795402800000 7100,180000 7400,180000 7800",
  "steps": [
    {
      "at": 1795356002000,
      "step": "critical"
    },
    {
      "at": 1795402802000,
      "step": "watch"
    }
  ],
  "forecasts": [
    1795403162000
  ],
  "ended": [
    {
      "date": "2026-11-22",
      "known": "exhausted"
    }
  ]
}`
	got := pretty(t, w.period)
	got = strings.Replace(got, w.period.OpenedID, "OPENED", 1)
	if got = strings.Replace(got, w.period.LastID[12:], "LAST", 1); got != want {
		t.Errorf("period %s\nwant %s", got, want)
	}
}

// TestZeroPeriodJSON reads what an earlier release may have written: nothing.
func TestZeroPeriodJSON(t *testing.T) {
	for _, text := range []string{`{}`, `{"points":""}`, `{"unknown":1,"told":""}`} {
		var p Period
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if pretty(t, p) != pretty(t, Period{}) {
			t.Errorf("%s is %s", text, pretty(t, p))
		}
	}
}

// Promise: what a notice says of its alarm is the alarm's whole event, as it is saved: also
// where it tells the end of the period before, which is known before the event is complete.
func TestNoticesHaveTheSavedEvent(t *testing.T) {
	w := newWorld(t, "Asia/Shanghai")
	var kinds []Kind
	for _, text := range []string{"11-23 10:00 9000", "11-23 10:03 9200", "11-23 10:06 9400", "11-23 11:00 7500", "11-24 00:10 7100"} {
		a := w.alarm(text)
		notices, events := w.handle(a.Callback.ReceivedAt, a)
		for _, n := range notices {
			kinds = append(kinds, n.Kind)
			if got, want := pretty(t, n.Alarm), pretty(t, events[0]); got != want {
				t.Errorf("%s: the %s of %s is of\n%s\nthe event is\n%s", text, n.Kind, n.Period, got, want)
			}
		}
	}
	if want := []Kind{KindStep, KindForecast, KindResolve, KindStep, KindResolve, KindStep}; !slices.Equal(kinds, want) {
		t.Errorf("notices %v, want %v", kinds, want)
	}
}
