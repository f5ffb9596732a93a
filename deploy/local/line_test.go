package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

func newPrinter(colour bool) (*printer, *bytes.Buffer) {
	out := &bytes.Buffer{}
	zone := time.FixedZone("CST", 8*3600)
	return &printer{out: out, colour: colour, now: func() time.Time { return time.Date(2026, 3, 1, 17, 2, 11, 0, zone) }}, out
}

func pointer[T any](v T) *T { return &v }

func TestAlarmLine(t *testing.T) {
	for _, test := range []struct {
		name  string
		event schema.EnrichedAlarm
		want  string
	}{
		{
			name: "an app on its way up, entering a step",
			event: schema.EnrichedAlarm{
				SdkAppID: 1, AppName: pointer("Harbor Chat"), Owner: pointer("team-harbor"), QuotaUsed: 7321, Quota: 10000,
				UsedPercent: 73.21, Severity: schema.SeverityWatch, StepEntered: true, RatePerHour: pointer(1230.5),
				ExhaustionAt: pointer("2026-03-01T11:10:00.000Z"), ForecastBasis: schema.ForecastTrend,
			},
			want: "17:02:11  Harbor Chat      team-harbor    ██████████████░░░░░░    7,321/10,000   73.2 %  ▲ watch      +1,230/h, full at 19:10",
		},
		{
			name: "unlisted, over its cap, nothing known, late",
			event: schema.EnrichedAlarm{
				SdkAppID: 1400000009, QuotaUsed: 1234567, Quota: 1000000, UsedPercent: 123.46,
				Severity: schema.SeverityExhausted, ForecastBasis: schema.ForecastTooFew, Late: true,
			},
			want: "17:02:11  app 1400000009   not in the ap… ████████████████████ 1,234,567/1,000,000  123.5 %    exhausted  rate not known yet, late",
		},
		{
			name: "falling",
			event: schema.EnrichedAlarm{
				AppName: pointer("Fünf Türme im Sturm"), Owner: pointer("o"), Quota: 10, RatePerHour: pointer(-2000.0),
				Severity: schema.SeverityOK, ForecastBasis: schema.ForecastNotRising,
			},
			want: "17:02:11  Fünf Türme im S… o              ░░░░░░░░░░░░░░░░░░░░            0/10    0.0 %    ok         -2,000/h",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			value, err := json.Marshal(test.event)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := newPrinter(false)
			if got := p.alarm(value); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestColourChangesNothingButColour(t *testing.T) {
	value, err := json.Marshal(schema.EnrichedAlarm{QuotaUsed: 95, Quota: 100, UsedPercent: 95, Severity: schema.SeverityCritical})
	if err != nil {
		t.Fatal(err)
	}
	plainPrinter, _ := newPrinter(false)
	colourPrinter, _ := newPrinter(true)
	text := colourPrinter.alarm(value)
	if !strings.Contains(text, red) {
		t.Errorf("no red in %q", text)
	}
	for _, escape := range []string{plain, dim, cyan, yellow, red, alarmed} {
		text = strings.ReplaceAll(text, escape, "")
	}
	if want := plainPrinter.alarm(value); text != want {
		t.Errorf("without escapes %q, want %q", text, want)
	}
}

func TestRecordsAreToldApartByTopic(t *testing.T) {
	topics := schema.NewTopics("p.")
	p, out := newPrinter(false)
	p.record(&schema.Record{Topic: topics.AlarmsDLQ, Key: []byte("1400000003"), Value: []byte("{"), Headers: []schema.Header{
		{Key: schema.HeaderDeadReason, Value: []byte("bad_json")}, {Key: schema.HeaderDeadMessage, Value: []byte("comments are not JSON")},
		{Key: schema.HeaderDeadTopic, Value: []byte("p.im.alarms.raw")}, {Key: schema.HeaderDeadPartition, Value: []byte("3")}, {Key: schema.HeaderDeadOffset, Value: []byte("12")},
	}}, topics)
	p.record(&schema.Record{Topic: topics.Alarms, Value: []byte("not an event")}, topics)
	got := strings.Split(out.String(), "\n")
	if want := "17:02:11  dead letter of app 1400000003: bad_json: comments are not JSON (p.im.alarms.raw partition 3 offset 12)"; got[0] != want {
		t.Errorf("got  %q\nwant %q", got[0], want)
	}
	if !strings.HasPrefix(got[1], "an event that this program cannot read") {
		t.Errorf("got %q", got[1])
	}
}

func TestThousandsAndColumns(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100000: "100,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for _, text := range []string{"", "short", "just16characters", "潮汐网关运行在一台机器上面的演示程序"} {
		if n := utf8.RuneCountInString(column(text, 16)); n != 16 {
			t.Errorf("%q takes %d characters, want 16", text, n)
		}
	}
}

func TestSampleAppsAreGood(t *testing.T) {
	snapshot, problems := apps.Parser(apps.Options{ResolveTokens: true})([]byte(sampleApps))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if snapshot.Len() < 5 || snapshot.Unsigned() != 1 || len(snapshot.Get(tryApp).Tokens) != 0 {
		t.Errorf("%d apps, %d without a token", snapshot.Len(), snapshot.Unsigned())
	}
}

func TestSampleCurlIsAnAlarmOfTheUnsignedApp(t *testing.T) {
	text := sampleCurl("http://127.0.0.1:8080/")
	start, end := strings.Index(text, "http://"), strings.LastIndex(text, "'")
	u, err := url.Parse(text[start:end])
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("SdkAppid") != "1400000007" || q.Get("CallbackCommand") != schema.CommandQuotaAlarm {
		t.Errorf("query %v", q)
	}
	if !strings.Contains(text, `"EventTime":"'$(date +%s)000'"`) {
		t.Errorf("no time of now in %s", text)
	}
}
