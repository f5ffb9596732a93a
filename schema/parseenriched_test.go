package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// eventOf returns the record of an event as the consumer publishes it.
func eventOf(t interface{ Fatal(...any) }, e schema.EnrichedAlarm) schema.Record {
	value, err := json.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	return e.Record("im.alarms", value)
}

func TestParseEnrichedReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := enrichedAlarms().Draw(t, "alarm")
		r := eventOf(t, want)
		got, err := schema.ParseEnriched(&r)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
	})
}

// A later release of v1 adds fields, headers and values.
func TestParseEnrichedReadsWhatWillBeWritten(t *testing.T) {
	e := documentedAlarm()
	e.Severity, e.ForecastBasis = "beyond", "season"
	r := eventOf(t, e)
	r.Value = append(bytes.TrimSuffix(r.Value, []byte("}")), `,"region":{"a":[1,null]},"used_percent_smoothed":1e3}`...)
	r.Headers = append(r.Headers, schema.Header{Key: "ce_new", Value: []byte{0xff}})
	if got, err := schema.ParseEnriched(&r); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseEnrichedRefuses(t *testing.T) {
	header := func(key, value string) func(*schema.Record) {
		return func(r *schema.Record) {
			for i := range r.Headers {
				if r.Headers[i].Key == key {
					r.Headers[i].Value = []byte(value)
				}
			}
		}
	}
	replace := func(old, with string) func(*schema.Record) {
		return func(r *schema.Record) {
			if !strings.Contains(string(r.Value), old) {
				panic(old)
			}
			r.Value = []byte(strings.Replace(string(r.Value), old, with, 1))
		}
	}
	for name, test := range map[string]struct {
		spoil func(*schema.Record)
		want  error
	}{
		"another type":          {header("ce_type", "com.tencent.im.group.quotaalarm.enriched.v2"), schema.ErrOtherType},
		"no headers":            {func(r *schema.Record) { r.Headers = nil }, schema.ErrOtherType},
		"no JSON":               {func(r *schema.Record) { r.Value = []byte("{") }, schema.ErrEnriched},
		"no value":              {func(r *schema.Record) { r.Value = nil }, schema.ErrEnriched},
		"a field retyped":       {replace(`"quota":10000`, `"quota":"10000"`), schema.ErrEnriched},
		"another id":            {header("ce_id", "0184f5fe992b363785adc4940915e541"), schema.ErrEnriched},
		"no id":                 {replace(`"alarm_id"`, `"alarm"`), schema.ErrEnriched},
		"another app's key":     {func(r *schema.Record) { r.Key = []byte("1400000002") }, schema.ErrEnriched},
		"no key":                {func(r *schema.Record) { r.Key = nil }, schema.ErrEnriched},
		"no app":                {replace(`"sdk_app_id"`, `"app"`), schema.ErrEnriched},
		"no quota":              {replace(`"quota":`, `"cap":`), schema.ErrEnriched},
		"negative use":          {replace(`"quota_used":7321`, `"quota_used":-1`), schema.ErrEnriched},
		"no severity":           {replace(`"severity":"watch"`, `"severity":""`), schema.ErrEnriched},
		"no time":               {replace(`"event_time":"2022-12-09T08:26:54.123Z"`, `"event_time":"soon"`), schema.ErrEnriched},
		"more than one in JSON": {func(r *schema.Record) { r.Value = append(r.Value, r.Value...) }, schema.ErrEnriched},
	} {
		r := eventOf(t, documentedAlarm())
		test.spoil(&r)
		if got, err := schema.ParseEnriched(&r); !errors.Is(err, test.want) || !reflect.DeepEqual(got, schema.EnrichedAlarm{}) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, test.want)
		}
	}
}

func FuzzParseEnriched(f *testing.F) {
	r := eventOf(f, documentedAlarm())
	f.Add(r.Key, []byte(documentedAlarm().AlarmID), r.Value)
	f.Fuzz(func(t *testing.T, key, id, value []byte) {
		r := schema.Record{Key: key, Value: value, Headers: []schema.Header{
			{Key: schema.HeaderType, Value: []byte(schema.EnrichedAlarmType)}, {Key: schema.HeaderID, Value: id},
		}}
		e, err := schema.ParseEnriched(&r)
		if err != nil {
			return
		}
		again := eventOf(t, e)
		if e2, err := schema.ParseEnriched(&again); err != nil || !reflect.DeepEqual(e, e2) {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", value, e, e2, err)
		}
	})
}

// jsonObject reads a JSON object's fields as they stand.
func jsonObject(t *testing.T, data []byte) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}
