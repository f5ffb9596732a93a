package store

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tidegate/tidegate/schema"
)

func TestHeaders(t *testing.T) {
	for _, test := range []struct {
		name    string
		headers []schema.Header
		want    []byte
	}{
		{"none", nil, []byte{}},
		{"one", []schema.Header{{Key: "a", Value: []byte("bc")}}, []byte("\x01a\x03bc")},
		{"null", []schema.Header{{Key: "a", Value: nil}}, []byte("\x01a\x00")},
		{"empty", []schema.Header{{Key: "", Value: []byte{}}}, []byte("\x00\x01")},
		{"twice the same", []schema.Header{{Key: "a", Value: nil}, {Key: "a", Value: []byte{0}}}, []byte("\x01a\x00\x01a\x02\x00")},
	} {
		got := appendHeaders(nil, test.headers)
		if !bytes.Equal(got, test.want) || got == nil {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		again, err := parseHeaders(got)
		if err != nil || !reflect.DeepEqual(again, test.headers) {
			t.Errorf("%s: read back as %#v, %v", test.name, again, err)
		}
	}
}

func TestParseHeadersRefuses(t *testing.T) {
	for name, src := range map[string]string{
		"a length without a key":      "\x05",
		"a key without a value":       "\x01a",
		"a value cut short":           "\x01a\x03b",
		"a length beyond 64 bits":     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"a length cut short":          "\x80",
		"the second header cut short": "\x01a\x00\x01",
	} {
		if headers, err := parseHeaders([]byte(src)); !errors.Is(err, errHeaders) {
			t.Errorf("%s: %#v, %v", name, headers, err)
		}
	}
}

func FuzzParseHeaders(f *testing.F) {
	f.Fuzz(func(t *testing.T, src []byte) {
		headers, err := parseHeaders(src)
		if err != nil {
			return
		}
		again, err := parseHeaders(appendHeaders(nil, headers))
		if err != nil || !reflect.DeepEqual(again, headers) {
			t.Errorf("%q: %#v became %#v, %v", src, headers, again, err)
		}
	})
}
