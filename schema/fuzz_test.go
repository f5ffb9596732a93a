package schema_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tidegate/tidegate/schema"
)

// flatten writes a record as one text, "name: value" lines, an empty line, the value, so
// that a fuzzer can change any part of it; unflatten reads any text as a record.
func flatten(r *schema.Record) []byte {
	var b bytes.Buffer
	b.Write(r.Key)
	b.WriteByte('\n')
	for _, h := range r.Headers {
		b.WriteString(h.Key + ": ")
		b.Write(h.Value)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.Write(r.Value)
	return b.Bytes()
}

func unflatten(text []byte) schema.Record {
	var r schema.Record
	head, value, _ := bytes.Cut(text, []byte("\n\n"))
	r.Value = value
	for i, line := range bytes.Split(head, []byte("\n")) {
		if i == 0 {
			r.Key = line
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		r.Headers = append(r.Headers, schema.Header{Key: string(name), Value: value})
	}
	return r
}

// FuzzParseCallback: any record is either a callback that writes the same record again,
// or names what is wrong, in a text that is short however long the values are.
func FuzzParseCallback(f *testing.F) {
	for _, c := range []schema.Callback{documentedCallback(), barestCallback()} {
		r := c.Record("im.alarms.raw")
		f.Add(flatten(&r))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		r := unflatten(text)
		c, err := schema.ParseCallback(&r)
		if err != nil {
			var wrong *schema.HeaderError
			if !errors.As(err, &wrong) || len(wrong.Problems) == 0 {
				t.Fatalf("error without a problem: %v", err)
			}
			for _, p := range wrong.Problems {
				if p.Header == "" || p.Text == "" || len(p.Text) > 600 {
					t.Fatalf("problem %q %q", p.Header, p.Text)
				}
			}
			return
		}
		again := c.Record("im.alarms.raw")
		if !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) {
			t.Fatalf("key and value became %q %q", again.Key, again.Value)
		}
		for _, h := range again.Headers {
			if was, ok := r.Header(h.Key); !ok || !bytes.Equal(was, h.Value) {
				t.Fatalf("%s was %q, became %q", h.Key, was, h.Value)
			}
		}
		if c2, err := schema.ParseCallback(&again); err != nil || !reflect.DeepEqual(c2, c) {
			t.Fatalf("came back as %+v, %v, was %+v", c2, err, c)
		}
	})
}

// FuzzParseCallbackID: one id has one text.
func FuzzParseCallbackID(f *testing.F) {
	f.Add([]byte("9f86d081884c7d65-4711"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, err := schema.ParseCallbackID(text); err == nil && id.String() != string(text) {
			t.Fatalf("%q is %v", text, id)
		}
	})
}

// FuzzParseTime: one time has one text, and that is time.Parse's meaning of it.
func FuzzParseTime(f *testing.F) {
	f.Add([]byte("2022-12-09T08:26:54.301Z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, ok := schema.ParseTime(text); ok && schema.FormatTime(got) != string(text) {
			t.Fatalf("%q is %s", text, got)
		}
	})
}

// FuzzParseAppID: one app has one text, because the text is the key.
func FuzzParseAppID(f *testing.F) {
	f.Add([]byte("1400000001"))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, ok := schema.ParseAppID(text)
		if !ok {
			return
		}
		c := schema.Callback{AppID: id}
		if key := c.AppendKey(nil); id < 1 || id > schema.MaxAppID || !bytes.Equal(key, text) {
			t.Fatalf("%q is %d, with key %q", text, id, key)
		}
	})
}
