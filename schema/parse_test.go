package schema_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// set, without and twice return a change to a record's headers.
func set(name, value string) func(*schema.Record) {
	return func(r *schema.Record) {
		for i := range r.Headers {
			if r.Headers[i].Key == name {
				r.Headers[i].Value = []byte(value)
				return
			}
		}
		r.Headers = append(r.Headers, schema.Header{Key: name, Value: []byte(value)})
	}
}

func without(name string) func(*schema.Record) {
	return func(r *schema.Record) {
		r.Headers = slices.DeleteFunc(r.Headers, func(h schema.Header) bool { return h.Key == name })
	}
}

func twice(name string) func(*schema.Record) {
	return func(r *schema.Record) {
		value, _ := r.Header(name)
		r.Headers = append(r.Headers, schema.Header{Key: name, Value: value})
	}
}

func key(text string) func(*schema.Record) {
	return func(r *schema.Record) { r.Key = []byte(text) }
}

func TestParseCallbackNamesWhatIsWrong(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*schema.Record)
		want   string
	}{
		{"not of JSON", set("content-type", "text/plain"), `content-type is "text/plain", want "application/json"`},
		{"of another CloudEvents", set("ce_specversion", "0.3"), `ce_specversion is "0.3", want "1.0"`},
		{"empty id", set("ce_id", ""), `ce_id is "": not a callback id: want 16 lower-case hex digits, a dash, and a decimal number from 1`},
		{"id in upper case", set("ce_id", "9F86D081884C7D65-4711"), `ce_id is "9F86D081884C7D65-4711": not a callback id: want 16 lower-case hex digits, a dash, and a decimal number from 1`},
		{"foreign source", set("ce_source", "/elsewhere/1400000001"), `ce_source is "/elsewhere/1400000001", want /tencent-im/apps/ and an SdkAppid`},
		{"source without an app", set("ce_source", "/tencent-im/apps/"), `ce_source is "/tencent-im/apps/", want /tencent-im/apps/ and an SdkAppid`},
		{"source is a bare app", set("ce_source", "1400000001"), `ce_source is "1400000001", want /tencent-im/apps/ and an SdkAppid`},
		{"source of another app", set("ce_source", "/tencent-im/apps/2"), `ce_source names app 2, the other headers 1400000001`},
		{"subject is no app", set("ce_subject", "0"), `ce_subject is "0", want an SdkAppid`},
		{"subject with a leading zero", set("ce_subject", "01400000001"), `ce_subject is "01400000001", want an SdkAppid`},
		{"subject of another app", set("ce_subject", "2"), `ce_source names app 1400000001, the other headers 2; key names app 1400000001, the other headers 2`},
		{"key of another app", key("2"), `key names app 2, the other headers 1400000001`},
		{"key as binary", key("\x00\x00\x00\x01"), `key is "\x00\x00\x00\x01", want an SdkAppid`},
		{"no key", key(""), `key is missing`},
		{"only the key says which app, and is none", func(r *schema.Record) {
			without("ce_source")(r)
			without("ce_subject")(r)
			r.Key = nil
		}, `ce_source is missing; ce_subject is missing; key is missing`},
		{"without subject the source counts", func(r *schema.Record) {
			without("ce_subject")(r)
			key("2")(r)
		}, `ce_subject is missing; key names app 2, the other headers 1400000001`},
		{"type of another source", set("ce_type", "com.example.Group"), `ce_type is "com.example.Group", want com.tencent.im. and a CallbackCommand`},
		{"type without a command", set("ce_type", "com.tencent.im."), `ce_type is "com.tencent.im.", want com.tencent.im. and a CallbackCommand`},
		{"command with NUL", set("ce_type", "com.tencent.im.A\x00"), `ce_type is "com.tencent.im.A\x00", want com.tencent.im. and a CallbackCommand`},
		{"command not UTF-8", set("ce_type", "com.tencent.im.\xff"), `ce_type is "com.tencent.im.\xff", want com.tencent.im. and a CallbackCommand`},
		{"time before any", set("ce_time", "1969-12-31T23:59:59.999Z"), `ce_time is "1969-12-31T23:59:59.999Z", want a time from 1970 to November 2286`},
		{"time after all", set("ce_time", "9999-12-31T20:00:00.000Z"), `ce_time is "9999-12-31T20:00:00.000Z", want a time from 1970 to November 2286`},
		{"time without milliseconds", set("ce_time", "2022-12-09T08:26:54Z"), `ce_time is "2022-12-09T08:26:54Z", want a time as 2006-01-02T15:04:05.000Z`},
		{"sequence not padded", set("ce_sequence", "4711"), `ce_sequence is "4711", but ce_id has sequence 00000000000000004711`},
		{"sequence of another", set("ce_sequence", "00000000000000004712"), `ce_sequence is "00000000000000004712", but ce_id has sequence 00000000000000004711`},
		{"empty gateway", set("ce_gateway", ""), `ce_gateway is "", want a gateway's name`},
		{"gateway not UTF-8", set("ce_gateway", "g\xff"), `ce_gateway is "g\xff", want a gateway's name`},
		{"authenticated by what we do not know", set("ce_authenticated", "Sign"), `ce_authenticated is "Sign", want none or sign`},
		{"a long value is cut", set("ce_authenticated", strings.Repeat("x", 1000)), `ce_authenticated is "` + strings.Repeat("x", 64) + `"... (1000 bytes), want none or sign`},
		{"several at once, in order", func(r *schema.Record) {
			set("ce_time", "now")(r)
			without("content-type")(r)
			twice("ce_gateway")(r)
			set("ce_id", "?")(r)
		}, `content-type is missing; ce_id is "?": not a callback id: want 16 lower-case hex digits, a dash, and a decimal number from 1; ce_time is "now", want a time as 2006-01-02T15:04:05.000Z; ce_gateway stands twice`},
		{"nothing at all", func(r *schema.Record) { *r = schema.Record{} },
			`content-type is missing; ce_specversion is missing; ce_id is missing; ce_source is missing; ce_subject is missing; key is missing; ce_type is missing; ce_time is missing; ce_sequence is missing; ce_gateway is missing; ce_authenticated is missing`},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := documentedCallback()
			r := c.Record("im.alarms.raw")
			row.change(&r)
			_, err := schema.ParseCallback(&r)
			var wrong *schema.HeaderError
			if !errors.As(err, &wrong) {
				t.Fatalf("error is %v, want a *HeaderError", err)
			}
			if err.Error() != row.want {
				t.Errorf("error is %s\nwant     %s", err, row.want)
			}
		})
	}
}

// Each header that every record has is required, once.
func TestParseCallbackNeedsEachHeaderOnce(t *testing.T) {
	c := barestCallback()
	for _, h := range c.Record("").Headers {
		for _, change := range []struct {
			text  string
			apply func(*schema.Record)
		}{
			{"is missing", without(h.Key)},
			{"stands twice", twice(h.Key)},
		} {
			t.Run(h.Key+" "+change.text, func(t *testing.T) {
				r := c.Record("im.callbacks.raw")
				change.apply(&r)
				_, err := schema.ParseCallback(&r)
				if want := h.Key + " " + change.text; err == nil || err.Error() != want {
					t.Errorf("error is %v, want %s", err, want)
				}
			})
		}
	}
}

// An attribute is optional, so whatever stands in it the alarm goes on.
func TestAnAttributeNeverCostsAnAlarm(t *testing.T) {
	for a := range schema.NumAttributes {
		for _, row := range []struct {
			name, value, want string
		}{
			{"any text", "anything, 漢", "anything, 漢"},
			{"empty", "", ""},
			{"not UTF-8", "203.0.113.\xff", ""},
			{"with NUL", "203\x00", ""},
		} {
			t.Run(fmt.Sprint(a, " ", row.name), func(t *testing.T) {
				c := barestCallback()
				r := c.Record("im.alarms.raw")
				set(a.Header(), row.value)(&r)
				r.Headers = append(r.Headers, schema.Header{Key: a.Header(), Value: []byte("the second")})
				got, err := schema.ParseCallback(&r)
				if err != nil {
					t.Fatal(err)
				}
				if string(got.Attributes[a]) != row.want || (got.Attributes[a] == nil) != (row.want == "") {
					t.Errorf("is %q, want %q", got.Attributes[a], row.want)
				}
			})
		}
	}
}

// A dead letter of a broken record still names what can be read.
func TestParseCallbackKeepsWhatCouldBeRead(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*schema.Record)
		want   func(*schema.Callback)
	}{
		{"no time", without("ce_time"), func(c *schema.Callback) { c.ReceivedAt = time.Time{} }},
		{"no id", without("ce_id"), func(c *schema.Callback) { c.ID = schema.CallbackID{} }},
		{"no command", without("ce_type"), func(c *schema.Callback) { c.Command = nil }},
		{"the app only in the source", func(r *schema.Record) {
			without("ce_subject")(r)
			key("?")(r)
		}, func(*schema.Callback) {}},
		{"the app only in the key", func(r *schema.Record) {
			without("ce_subject")(r)
			set("ce_source", "?")(r)
		}, func(*schema.Callback) {}},
		{"the app nowhere", func(r *schema.Record) {
			without("ce_subject")(r)
			without("ce_source")(r)
			key("?")(r)
		}, func(c *schema.Callback) { c.AppID = 0 }},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := documentedCallback()
			r := c.Record("im.alarms.raw")
			row.change(&r)
			row.want(&c)
			got, err := schema.ParseCallback(&r)
			if err == nil || !reflect.DeepEqual(got, c) {
				t.Errorf("reads as %+v, %v\nwant     %+v", got, err, c)
			}
		})
	}
}
