package schema_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// documentedCallback returns the vendor's documented sample, signed, as the gateway took
// it, with every attribute that the vendor's URL can give.
func documentedCallback() schema.Callback {
	c := schema.Callback{
		ID:            schema.CallbackID{Journal: 0x9f86d081884c7d65, LSN: 4711},
		Gateway:       []byte("gateway-1"),
		AppID:         1400000001,
		Command:       []byte(schema.CommandQuotaAlarm),
		ReceivedAt:    time.Date(2022, 12, 9, 8, 26, 54, 301e6, time.UTC),
		Authenticated: schema.AuthenticatedSign,
		Body:          []byte(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"1670574414123"}`),
	}
	c.Attributes[schema.AttributeClientIP] = []byte("203.0.113.7")
	c.Attributes[schema.AttributeOptPlatform] = []byte("RESTAPI")
	c.Attributes[schema.AttributeContentType] = []byte("json")
	c.Attributes[schema.AttributeRequestTime] = []byte("1670574414")
	return c
}

// barestCallback returns a callback of an app without a token, with no attribute at all.
func barestCallback() schema.Callback {
	return schema.Callback{
		ID:         schema.CallbackID{LSN: 1},
		Gateway:    []byte("g"),
		AppID:      1,
		Command:    []byte("State.StateChange"),
		ReceivedAt: time.UnixMilli(0).UTC(),
		Body:       []byte("\x00 not JSON \xff"),
	}
}

func TestRecordOfACallback(t *testing.T) {
	for _, row := range []struct {
		name     string
		callback schema.Callback
		key      string
		headers  [][2]string
	}{
		{"the documented alarm", documentedCallback(), "1400000001", [][2]string{
			{"content-type", "application/json"},
			{"ce_specversion", "1.0"},
			{"ce_id", "9f86d081884c7d65-4711"},
			{"ce_source", "/tencent-im/apps/1400000001"},
			{"ce_type", "com.tencent.im.Group.CallbackOnDailyGroupQuotaAlarm"},
			{"ce_subject", "1400000001"},
			{"ce_time", "2022-12-09T08:26:54.301Z"},
			{"ce_sequence", "00000000000000004711"},
			{"ce_gateway", "gateway-1"},
			{"ce_authenticated", "sign"},
			{"ce_clientip", "203.0.113.7"},
			{"ce_optplatform", "RESTAPI"},
			{"ce_contenttype", "json"},
			{"ce_requesttime", "1670574414"},
		}},
		{"no token, no attribute, any bytes", barestCallback(), "1", [][2]string{
			{"content-type", "application/json"},
			{"ce_specversion", "1.0"},
			{"ce_id", "0000000000000000-1"},
			{"ce_source", "/tencent-im/apps/1"},
			{"ce_type", "com.tencent.im.State.StateChange"},
			{"ce_subject", "1"},
			{"ce_time", "1970-01-01T00:00:00.000Z"},
			{"ce_sequence", "00000000000000000001"},
			{"ce_gateway", "g"},
			{"ce_authenticated", "none"},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := row.callback.Record("im.alarms.raw")
			var headers [][2]string
			for _, h := range r.Headers {
				headers = append(headers, [2]string{h.Key, string(h.Value)})
			}
			if !slices.Equal(headers, row.headers) {
				t.Errorf("headers %v\nwant    %v", headers, row.headers)
			}
			if r.Topic != "im.alarms.raw" || string(r.Key) != row.key || !bytes.Equal(r.Value, row.callback.Body) {
				t.Errorf("record is %s %q %q", r.Topic, r.Key, r.Value)
			}
		})
	}
}

func TestAppendHeadersAppends(t *testing.T) {
	c := documentedCallback()
	before := []schema.Header{{Key: "x-before", Value: []byte("kept")}}
	headers, buf := c.AppendHeaders(slices.Clone(before), []byte("kept"))
	if !reflect.DeepEqual(headers[:1], before) || !bytes.HasPrefix(buf, []byte("kept")) {
		t.Fatalf("what stood before became %q %q", headers[0].Value, buf)
	}
	if want := c.Record("").Headers; !reflect.DeepEqual(headers[1:], want) {
		t.Errorf("headers %q, want %q", headers[1:], want)
	}
}

// A value that a caller appends to must not run into the next one.
func TestHeaderValuesHaveNoRoomToGrow(t *testing.T) {
	c := documentedCallback()
	headers, _ := c.AppendHeaders(nil, make([]byte, 0, 1024))
	want := c.Record("").Headers
	for _, h := range headers {
		_ = append(h.Value, "overwritten"...)
	}
	if !reflect.DeepEqual(headers, want) {
		t.Errorf("headers became %q", headers)
	}
}

func TestEmptyAttributesAreNotWritten(t *testing.T) {
	c := barestCallback()
	want := len(c.Record("").Headers)
	for a := range c.Attributes {
		c.Attributes[a] = []byte{}
	}
	if got := c.Record("").Headers; len(got) != want {
		t.Errorf("%d headers with empty attributes, %d without: %q", len(got), want, got)
	}
}

// The forwarder and the consumer do this for every callback.
func TestTheHotPathAllocatesNothing(t *testing.T) {
	c := documentedCallback()
	c.Attributes[schema.AttributeQuery] = []byte("a=b")
	c.Attributes[schema.AttributeTraceparent] = []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	c.Attributes[schema.AttributeAdmitted] = []byte("2022-12-09T09:00:00.000Z")
	headers, buf, key := make([]schema.Header, 0, 32), make([]byte, 0, 512), make([]byte, 0, 16)
	record := c.Record("im.alarms.raw")
	parameter, id := []byte("OptPlatform"), []byte(c.ID.String())

	for name, call := range map[string]func(){
		"AppendHeaders":        func() { headers, buf = c.AppendHeaders(headers[:0], buf[:0]) },
		"AppendKey":            func() { key = c.AppendKey(key[:0]) },
		"ParseCallback":        func() { _, _ = schema.ParseCallback(&record) },
		"ParseCallbackID":      func() { _, _ = schema.ParseCallbackID(id) },
		"AttributeOfParameter": func() { _, _ = schema.AttributeOfParameter(parameter) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	if len(headers) != 17 {
		t.Errorf("%d headers, want all 17", len(headers))
	}
}

func TestCallbackComesBackFromItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := callbacks().Draw(t, "callback")
		r := c.Record("im.callbacks.raw")
		// What others add on the way is passed over, wherever it stands.
		at := rapid.IntRange(0, len(r.Headers)).Draw(t, "at")
		r.Headers = slices.Insert(r.Headers, at, schema.Header{Key: "x-added", Value: []byte("1")})

		got, err := schema.ParseCallback(&r)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Fatalf("came back as %+v", got)
		}
	})
}

func TestAttributesAreOneTable(t *testing.T) {
	parameters := map[string]schema.Attribute{
		"ClientIP":    schema.AttributeClientIP,
		"OptPlatform": schema.AttributeOptPlatform,
		"contenttype": schema.AttributeContentType,
		"RequestTime": schema.AttributeRequestTime,
	}
	headers := make(map[string]bool)
	for a := range schema.NumAttributes {
		if a.Header() == "" || headers[a.Header()] {
			t.Errorf("attribute %d has header %q: none, or another's", a, a.Header())
		}
		headers[a.Header()] = true
		if a.String() != a.Header() {
			t.Errorf("attribute %d reads as %q", a, a)
		}
		if p := a.Parameter(); p != "" && parameters[p] != a || p == "" && slices.Contains([]schema.Attribute{0, 1, 2, 3}, a) {
			t.Errorf("attribute %v comes from parameter %q", a, p)
		}
	}
	for name, want := range parameters {
		if a, ok := schema.AttributeOfParameter([]byte(name)); !ok || a != want {
			t.Errorf("parameter %s gives %v, %v", name, a, ok)
		}
	}
	for _, name := range []string{"", "clientip", "Sign", "SdkAppid", "CallbackCommand", "tg-query", "ClientIP "} {
		if a, ok := schema.AttributeOfParameter([]byte(name)); ok {
			t.Errorf("parameter %q gives %v", name, a)
		}
	}
	if got := schema.NumAttributes.String(); got != "unknown attribute" {
		t.Errorf("an attribute outside the table reads as %q", got)
	}
}

func TestAuthenticatedText(t *testing.T) {
	if got := schema.Authentications(); !slices.Equal(got, []string{"none", "sign"}) {
		t.Errorf("texts are %v", got)
	}
	for a, want := range map[schema.Authenticated]string{
		schema.AuthenticatedNone: "none",
		schema.AuthenticatedSign: "sign",
		200:                      "none", // an unknown way proves nothing
	} {
		if a.String() != want {
			t.Errorf("%d reads as %q, want %q", a, a, want)
		}
	}
	for _, text := range []string{"", "Sign", "none ", "signed", "1"} {
		if a, ok := schema.ParseAuthenticated([]byte(text)); ok || a != schema.AuthenticatedNone {
			t.Errorf("%q is taken for %v", text, a)
		}
	}
}

func BenchmarkAppendHeaders(b *testing.B) {
	c := documentedCallback()
	headers, buf := make([]schema.Header, 0, 32), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		headers, buf = c.AppendHeaders(headers[:0], buf[:0])
	}
}

func BenchmarkParseCallback(b *testing.B) {
	c := documentedCallback()
	r := c.Record("im.alarms.raw")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schema.ParseCallback(&r); err != nil {
			b.Fatal(err)
		}
	}
}
