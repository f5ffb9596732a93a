package schema_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// documentedAlarm returns the enriched alarm of the documented callback.
func documentedAlarm() schema.EnrichedAlarm {
	text := func(s string) *string { return &s }
	rate := 812.5
	return schema.EnrichedAlarm{
		AlarmID:         "0184f5fe992b363785adc4940915e540",
		SdkAppID:        1400000001,
		AppName:         text("Harbor Chat"),
		Owner:           text("team-harbor"),
		Tier:            text("pro"),
		Site:            text("cn"),
		Registered:      true,
		Command:         schema.CommandQuotaAlarm,
		QuotaUsed:       7321,
		Quota:           10000,
		UsedPercent:     73.21,
		Remaining:       2679,
		Severity:        schema.SeverityWatch,
		StepEntered:     true,
		EventTime:       "2022-12-09T08:26:54.123Z",
		EventTimeSource: schema.EventTimeVendor,
		ReceivedAt:      "2022-12-09T08:26:54.301Z",
		Period:          "2022-12-09",
		RatePerHour:     &rate,
		ExhaustionAt:    text("2022-12-09T11:44:44.000Z"),
		ForecastBasis:   schema.ForecastTrend,
		ClientIP:        text("203.0.113.7"),
		Platform:        text("RESTAPI"),
		Authenticated:   schema.AuthenticatedSign.String(),
		CallbackID:      "9f86d081884c7d65-4711",
		RawTopic:        "im.alarms.raw",
		RawPartition:    3,
		RawOffset:       52,
	}
}

// unlistedAlarm returns an alarm of which nothing optional is known.
func unlistedAlarm() schema.EnrichedAlarm {
	e := documentedAlarm()
	e.AppName, e.Owner, e.Tier, e.Site, e.Registered = nil, nil, nil, nil, false
	e.RatePerHour, e.ExhaustionAt, e.ForecastBasis = nil, nil, schema.ForecastTooFew
	e.ClientIP, e.Platform, e.Authenticated = nil, nil, schema.AuthenticatedNone.String()
	return e
}

func TestRecordOfAnEnrichedAlarm(t *testing.T) {
	e := documentedAlarm()
	value := []byte(`{"as":"saved"}`)
	r := e.Record("im.alarms", value)
	if r.Topic != "im.alarms" || string(r.Key) != "1400000001" || &r.Value[0] != &value[0] || len(r.Value) != len(value) {
		t.Errorf("record is %s %q %q, want the saved bytes themselves", r.Topic, r.Key, r.Value)
	}
	var headers [][2]string
	for _, h := range r.Headers {
		headers = append(headers, [2]string{h.Key, string(h.Value)})
	}
	if want := [][2]string{
		{"content-type", "application/json"},
		{"ce_specversion", "1.0"},
		{"ce_id", "0184f5fe992b363785adc4940915e540"},
		{"ce_source", "/tidegate/alarms"},
		{"ce_type", "com.tencent.im.group.quotaalarm.enriched.v1"},
		{"ce_subject", "1400000001"},
		{"ce_time", "2022-12-09T08:26:54.123Z"},
		{"ce_dataschema", "urn:tidegate:schema:enriched-alarm:v1"},
	}; !slices.Equal(headers, want) {
		t.Errorf("headers %v\nwant    %v", headers, want)
	}
}

// The raw record and the event of one callback share key, and so partition.
func TestAnAlarmKeepsItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := callbacks().Draw(t, "callback")
		e := schema.EnrichedAlarm{SdkAppID: c.AppID}
		raw, enriched := c.Record("im.alarms.raw"), e.Record("im.alarms", nil)
		if !bytes.Equal(raw.Key, enriched.Key) {
			t.Fatalf("keys %q and %q", raw.Key, enriched.Key)
		}
	})
}

// Every field is always present: null where unknown, never left out.
func TestUnknownFieldsAreNull(t *testing.T) {
	names, types := fields(schema.EnrichedAlarm{})
	data, err := json.Marshal(unlistedAlarm())
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	var null []string
	for _, name := range names {
		value, ok := object[name]
		if !ok {
			t.Errorf("%s is left out", name)
		}
		if value == nil {
			null = append(null, name)
		}
		if value == nil && types[name].Kind() != reflect.Pointer {
			t.Errorf("%s is null", name)
		}
	}
	if want := []string{"app_name", "owner", "tier", "site", "rate_per_hour", "exhaustion_at", "client_ip", "platform"}; !slices.Equal(null, want) {
		t.Errorf("null are %v, want %v", null, want)
	}
}

func TestEnrichedAlarmComesBackFromJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := enrichedAlarms().Draw(t, "alarm")
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got schema.EnrichedAlarm
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("came back as %+v", got)
		}
	})
}

func TestTopicsHaveTheirPrefix(t *testing.T) {
	for prefix, want := range map[string][]string{
		"":      {"im.alarms.raw", "im.callbacks.raw", "im.alarms", "im.alarms.dlq"},
		"prod.": {"prod.im.alarms.raw", "prod.im.callbacks.raw", "prod.im.alarms", "prod.im.alarms.dlq"},
	} {
		if got := schema.NewTopics(prefix).All(); !slices.Equal(got, want) {
			t.Errorf("topics of %q are %v, want %v", prefix, got, want)
		}
	}
}
