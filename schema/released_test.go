package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// testdata/released holds, for each release of the contract, the golden records as it wrote
// them. They are never written again: a release that changes what is written adds a folder.
// What is held here is both directions: today's code reads what every release wrote, and the
// oldest release's reader reads what today's code writes.

func TestEveryReleaseIsRead(t *testing.T) {
	releases, err := filepath.Glob(filepath.Join("testdata", "released", "v1.*"))
	if err != nil || len(releases) == 0 {
		t.Fatalf("releases %v, %v", releases, err)
	}
	for _, release := range releases {
		files, err := filepath.Glob(filepath.Join(release, "*.json"))
		if err != nil || len(files) < 6 {
			t.Fatalf("%s has %d records, %v", release, len(files), err)
		}
		for _, file := range files {
			t.Run(filepath.Join(filepath.Base(release), filepath.Base(file)), func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var g goldenRecord
				if err := json.Unmarshal(data, &g); err != nil {
					t.Fatal(err)
				}
				readReleased(t, strings.TrimSuffix(filepath.Base(file), ".json"), g.record(t))
			})
		}
	}
}

// readReleased reads a record with today's code and checks that nothing that it says is lost.
func readReleased(t *testing.T, name string, r schema.Record) {
	t.Helper()
	if !strings.HasPrefix(name, "enriched") {
		c, err := schema.ParseCallback(&r)
		if err != nil {
			t.Fatal(err)
		}
		if again := c.Record(r.Topic); !strings.HasPrefix(name, "dead-letter") && !reflect.DeepEqual(headersOf(again), headersOf(r)) {
			t.Errorf("written again its headers are %v, were %v", headersOf(again), headersOf(r))
		}
		return
	}
	e, err := schema.ParseEnriched(&r)
	if err != nil {
		t.Fatal(err)
	}
	again := eventOf(t, e)
	today := jsonObject(t, again.Value)
	for field, value := range jsonObject(t, r.Value) {
		if string(today[field]) != string(value) {
			t.Errorf("%s is %s, was written as %s", field, today[field], value)
		}
	}
	is, was := headersOf(again), headersOf(r)
	for header, value := range was {
		if is[header] != value {
			t.Errorf("header %s is %q, was written as %q", header, is[header], value)
		}
	}
}

func headersOf(r schema.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// alarmV1 is the enriched alarm as the oldest reader of v1 has it: a copy of the type as it was
// then, with the types that its enumerations have on the wire. It is never changed.
type alarmV1 struct {
	AlarmID         string   `json:"alarm_id"`
	SdkAppID        int64    `json:"sdk_app_id"`
	AppName         *string  `json:"app_name"`
	Owner           *string  `json:"owner"`
	Tier            *string  `json:"tier"`
	Site            *string  `json:"site"`
	Registered      bool     `json:"registered"`
	Command         string   `json:"command"`
	QuotaUsed       int64    `json:"quota_used"`
	Quota           int64    `json:"quota"`
	UsedPercent     float64  `json:"used_percent"`
	Remaining       int64    `json:"remaining"`
	Severity        string   `json:"severity"`
	StepEntered     bool     `json:"step_entered"`
	EventTime       string   `json:"event_time"`
	EventTimeSource string   `json:"event_time_source"`
	ReceivedAt      string   `json:"received_at"`
	Period          string   `json:"period"`
	RatePerHour     *float64 `json:"rate_per_hour"`
	ExhaustionAt    *string  `json:"exhaustion_at"`
	ForecastBasis   string   `json:"forecast_basis"`
	Late            bool     `json:"late"`
	ClientIP        *string  `json:"client_ip"`
	Platform        *string  `json:"platform"`
	Authenticated   string   `json:"authenticated"`
	CallbackID      string   `json:"callback_id"`
	RawTopic        string   `json:"raw_topic"`
	RawPartition    int32    `json:"raw_partition"`
	RawOffset       int64    `json:"raw_offset"`
}

// headersV1 are the headers that the oldest reader relies on; values of "" are the alarm's own.
var headersV1 = map[string]string{
	"content-type": "application/json", "ce_specversion": "1.0", "ce_id": "", "ce_source": "/tidegate/alarms",
	"ce_type": "com.tencent.im.group.quotaalarm.enriched.v1", "ce_subject": "", "ce_time": "",
	"ce_dataschema": "urn:tidegate:schema:enriched-alarm:v1",
}

// The oldest reader finds every field that it knows, of its type, in what is written today.
func TestTheOldestReaderReadsToday(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := enrichedAlarms().Draw(t, "alarm")
		r := eventOf(t, e)
		var old alarmV1
		if err := json.Unmarshal(r.Value, &old); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		again, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		var today, read map[string]json.RawMessage
		if err := json.Unmarshal(r.Value, &today); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &read); err != nil {
			t.Fatal(err)
		}
		for field, value := range read {
			if written, ok := today[field]; !ok || string(written) != string(value) {
				t.Fatalf("%s is read as %s, is written as %s", field, value, written)
			}
		}
		headers := headersOf(r)
		for name, want := range headersV1 {
			if got, ok := headers[name]; !ok || want != "" && got != want {
				t.Fatalf("header %s is %q, want %q", name, got, want)
			}
		}
		if headers["ce_id"] != old.AlarmID || headers["ce_time"] != old.EventTime || headers["ce_subject"] != string(r.Key) {
			t.Fatalf("headers %v are not those of %+v", headers, old)
		}
	})
}
