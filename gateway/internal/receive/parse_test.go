package receive

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

func TestSplitTarget(t *testing.T) {
	for _, tt := range []struct {
		target, path, query string
		ok                  bool
	}{
		{"/", "/", "", true},
		{"/a/b?c=d", "/a/b", "c=d", true},
		{"/a?b?c", "/a", "b?c", true},
		{"/?", "/", "", true},
		{"//a?b", "//a", "b", true},
		{"/a%2fb?c", "/a%2fb", "c", true},
		{"http://h/a?b", "/a", "b", true},
		{"http://h?b", "", "b", true},
		{"http://h", "", "", true},
		{"/a#b", "", "", false},
		{"/a?b#c", "", "", false},
		{"*", "", "", false},
		{"h:443", "", "", false},
		{"", "", "", false},
	} {
		path, query, ok := splitTarget([]byte(tt.target))
		if string(path) != tt.path || string(query) != tt.query || ok != tt.ok {
			t.Errorf("%q: path %q, query %q, %v", tt.target, path, query, ok)
		}
	}
}

const must = "SdkAppid=1&CallbackCommand=A"

func TestParseQuery(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      refusal
		check     func(q *query) bool
	}{
		{"the least", must, 0, func(q *query) bool { return q.appID == 1 && string(q.command) == "A" && q.sign == nil }},
		{"the largest SdkAppid", "SdkAppid=9007199254740991&CallbackCommand=A", 0, func(q *query) bool { return q.appID == schema.MaxAppID }},
		{"empty pairs", "&&" + must + "&&", 0, func(q *query) bool { return q.attributes[schema.AttributeQuery] == nil }},
		{"a name without a value", must + "&x", 0, func(q *query) bool { return string(q.attributes[schema.AttributeQuery]) == "x" }},
		{"a value without a name", must + "&=x", 0, func(q *query) bool { return string(q.attributes[schema.AttributeQuery]) == "=x" }},
		{"a value with an equals sign", must + "&ClientIP=a=b", 0, func(q *query) bool { return string(q.attributes[schema.AttributeClientIP]) == "a=b" }},
		{"plus is a space", must + "&OptPlatform=a+b", 0, func(q *query) bool { return string(q.attributes[schema.AttributeOptPlatform]) == "a b" }},
		{"encoded characters", must + "&OptPlatform=%e5%AE%89", 0, func(q *query) bool { return string(q.attributes[schema.AttributeOptPlatform]) == "安" }},
		{"characters as they are", must + "&OptPlatform=安", 0, func(q *query) bool { return string(q.attributes[schema.AttributeOptPlatform]) == "安" }},
		{"an empty optional value is none", must + "&ClientIP=", 0, func(q *query) bool { return q.attributes[schema.AttributeClientIP] == nil }},
		{"the second of an optional one is kept aside", must + "&ClientIP=a&ClientIP=b", 0, func(q *query) bool {
			return string(q.attributes[schema.AttributeClientIP]) == "a" && string(q.attributes[schema.AttributeQuery]) == "ClientIP=b"
		}},
		{"Sign is not kept", must + "&Sign=s&x=1", 0, func(q *query) bool {
			return string(q.sign) == "s" && string(q.attributes[schema.AttributeQuery]) == "x=1"
		}},
		{"nor under another spelling", must + "&sIGN=s&%73ign=t", 0, func(q *query) bool {
			return q.sign == nil && q.attributes[schema.AttributeQuery] == nil
		}},
		{"names are exact", must + "&clientip=a&Contenttype=b", 0, func(q *query) bool {
			return string(q.attributes[schema.AttributeQuery]) == "clientip=a&Contenttype=b"
		}},
		{"leading zero", "SdkAppid=01&CallbackCommand=A", refusedAppMalformed, nil},
		{"plus sign before digits", "SdkAppid=+1&CallbackCommand=A", refusedAppMalformed, nil},
		{"empty SdkAppid", "SdkAppid=&CallbackCommand=A", refusedAppMalformed, nil},
		{"SdkAppid without a value", "SdkAppid&CallbackCommand=A", refusedAppMalformed, nil},
		{"17 digits", "SdkAppid=10000000000000000&CallbackCommand=A", refusedAppMalformed, nil},
		{"digits of another script", "SdkAppid=１&CallbackCommand=A", refusedAppMalformed, nil},
		{"space in the command", "SdkAppid=1&CallbackCommand=A+B", refusedCommandMalformed, nil},
		{"slash in the command", "SdkAppid=1&CallbackCommand=A/B", refusedCommandMalformed, nil},
		{"doubled, first one empty", "SdkAppid=&" + must, refusedAppDoubled, nil},
		{"doubled without values", must + "&CallbackCommand", refusedCommandDoubled, nil},
		{"doubled RequestTime", must + "&RequestTime=1&RequestTime=1", refusedQuery, nil},
		{"doubled empty Sign", must + "&Sign&Sign", refusedQuery, nil},
		{"semicolon", must + "&a=1;b=2", refusedQuery, nil},
		{"encoded semicolon is text", must + "&a=1%3Bb=2", 0, func(q *query) bool { return string(q.attributes[schema.AttributeQuery]) == "a=1%3Bb=2" }},
		{"space", must + "&a=1 2", refusedQuery, nil},
		{"tab", must + "&a=1\t2", refusedQuery, nil},
		{"DEL", must + "&a=\x7f", refusedQuery, nil},
		{"line break in a value that becomes a header", must + "&ClientIP=a%0d%0ab", refusedQuery, nil},
		{"line break in one that stays encoded", must + "&x=a%0d%0ab", 0, func(q *query) bool { return string(q.attributes[schema.AttributeQuery]) == "x=a%0d%0ab" }},
		{"percent at the end", must + "&a=%", refusedQuery, nil},
		{"percent and no hex", must + "&a=%g0", refusedQuery, nil},
		{"overlong encoding", must + "&a=%c0%80", refusedQuery, nil},
		{"a character half raw, half encoded", must + "&a=\xe5%AE%89", refusedQuery, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var q query
			if got := q.parse([]byte(tt.raw)); got != tt.want {
				t.Fatalf("refusal %d, want %d", got, tt.want)
			}
			if tt.check != nil && !tt.check(&q) {
				t.Errorf("parsed %+v", q)
			}
		})
	}
}

// TestParseAgain parses one query after another with the same buffers: nothing of the one
// before may be left.
func TestParseAgain(t *testing.T) {
	var q query
	if f := q.parse([]byte(must + "&ClientIP=%31&Sign=s&RequestTime=1&x=1")); f != notRefused {
		t.Fatal(f)
	}
	if f := q.parse([]byte("SdkAppid=2&CallbackCommand=B")); f != notRefused {
		t.Fatal(f)
	}
	if q.appID != 2 || string(q.command) != "B" || q.sign != nil {
		t.Errorf("left over: %+v", q)
	}
	for a, value := range q.attributes {
		if value != nil {
			t.Errorf("left over: attribute %d is %q", a, value)
		}
	}
	if f := q.parse([]byte("CallbackCommand=B")); f != refusedAppMissing || q.appID != 0 {
		t.Errorf("refusal %d, app %d", f, q.appID)
	}
}

func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		value string
		want  bool
	}{
		{good, true},
		{"", false},
		{good + "-more", false},
		{strings.ToUpper(good), false},
		{strings.Replace(good, "-", "_", 1), false},
		{strings.Replace(good, "0af", "0g0", 1), false},
		{"ff" + good[2:], false},
		{good[:3] + strings.Repeat("0", 32) + good[35:], false},
		{good[:36] + strings.Repeat("0", 16) + good[52:], false},
	} {
		if got := traceparent([]byte(tt.value)); (got != nil) != tt.want {
			t.Errorf("%q: %q", tt.value, got)
		}
	}
}

// stricter says why we refuse a query that net/url takes: the list of all differences
// between the two. "" means that there is no good reason.
func stricter(raw string, values url.Values) string {
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		return "a control byte, space or fragment as it stands"
	}
	if !utf8.ValidString(raw) {
		return "invalid UTF-8 as it stands"
	}
	for name, list := range values {
		for _, text := range append([]string{name}, list...) {
			if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
				return "encoded invalid UTF-8 or NUL"
			}
		}
		switch name {
		case parameterSign, parameterRequestTime, parameterApp, parameterCommand:
			if len(list) > 1 {
				return "doubled"
			}
		}
		switch name {
		case parameterClientIP, parameterOptPlatform, parameterContentType, parameterRequestTime:
			for _, value := range list {
				if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					return "control in a value that becomes a header"
				}
			}
		}
	}
	id := values.Get(parameterApp)
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 || n > schema.MaxAppID || strconv.FormatInt(n, 10) != id {
		return "SdkAppid"
	}
	if !validCommand([]byte(values.Get(parameterCommand))) {
		return "CallbackCommand"
	}
	return ""
}

// FuzzParseQuery compares the parser with net/url. What we take, it takes, with the same
// values; what it takes and we do not is on the list of stricter.
func FuzzParseQuery(f *testing.F) {
	for _, raw := range []string{
		must, signed(alarm)[2:], must + "&x=%41&y=a+b", must + "&%53ign=1&sign=2", must + "&ClientIP=1&ClientIP=2",
		"SdkAppid=1&SdkAppid=2&CallbackCommand=A", must + "&a=%zz", must + "&a=1;b", must + "&a=\x00", must + "&=&&x&%=",
		must + "&OptPlatform=%E5%AE%89", must + "&a=%ff", "%53dkAppid=1&CallbackC%6Fmmand=A",
	} {
		f.Add(raw)
	}
	var q query
	f.Fuzz(func(t *testing.T, raw string) {
		before := strings.Clone(raw)
		got := q.parse([]byte(raw))
		if raw != before {
			t.Fatal("the query was written to")
		}
		values, err := url.ParseQuery(raw)
		switch {
		case got != notRefused && err != nil:
			return
		case got != notRefused:
			if stricter(raw, values) == "" {
				t.Fatalf("%q is refused (%s) for no listed reason", raw, refusals[got].reason)
			}
			return
		case err != nil:
			t.Fatalf("%q is taken, net/url says %v", raw, err)
		}
		if reason := stricter(raw, values); reason != "" {
			t.Fatalf("%q is taken in spite of: %s", raw, reason)
		}
		equalToURL(t, &q, values)
	})
}

// equalToURL compares every value of a query that both parsers took.
func equalToURL(t *testing.T, q *query, values url.Values) {
	t.Helper()
	if want := values.Get(parameterApp); strconv.FormatInt(q.appID, 10) != want {
		t.Fatalf("SdkAppid %d, net/url has %q", q.appID, want)
	}
	if want := values.Get(parameterCommand); string(q.command) != want {
		t.Fatalf("CallbackCommand %q, net/url has %q", q.command, want)
	}
	if want := values.Get(parameterSign); string(q.sign) != want {
		t.Fatalf("Sign %q, net/url has %q", q.sign, want)
	}
	others, err := url.ParseQuery(string(q.attributes[schema.AttributeQuery]))
	if err != nil {
		t.Fatalf("tg-query %q: %v", q.attributes[schema.AttributeQuery], err)
	}
	for name, a := range map[string]schema.Attribute{
		parameterClientIP: schema.AttributeClientIP, parameterOptPlatform: schema.AttributeOptPlatform,
		parameterContentType: schema.AttributeContentType, parameterRequestTime: schema.AttributeRequestTime,
	} {
		// The first that is not empty is the attribute, the others are in tg-query.
		var kept []string
		for _, v := range values[name] {
			if v != "" {
				kept = append(kept, v)
			}
		}
		got := append([]string(nil), others[name]...)
		if q.attributes[a] != nil {
			got = append([]string{string(q.attributes[a])}, got...)
		}
		if strings.Join(got, "&") != strings.Join(kept, "&") {
			t.Fatalf("%s %q, net/url has %q", name, got, kept)
		}
		delete(values, name)
		delete(others, name)
	}
	for name, list := range values {
		switch {
		case name == parameterApp, name == parameterCommand:
		case bytes.EqualFold([]byte(name), []byte(parameterSign)):
			if others.Has(name) {
				t.Fatalf("%s is in tg-query", name)
			}
		case strings.Join(others[name], "&") != strings.Join(list, "&"):
			t.Fatalf("%q in tg-query is %q, net/url has %q", name, others[name], list)
		}
	}
}

func BenchmarkParseQuery(b *testing.B) {
	var q query
	raw := []byte(signed(alarm)[2:])
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if f := q.parse(raw); f != notRefused {
			b.Fatal(f)
		}
	}
}
