package schema_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// documentedLetter returns the letter of the documented alarm with a comment in its body.
func documentedLetter() schema.DeadLetter {
	c := documentedCallback()
	c.Body = []byte("{ // quota alarm\n  \"QuotaUsed\": 7321\n}")
	r := c.Record("im.alarms.raw")
	r.Partition, r.Offset = 3, 52
	return schema.NewDeadLetter(r, "tidegate", schema.ReasonBadJSON, "comments are not JSON",
		time.Date(2022, 12, 9, 8, 26, 55, 7e6, time.UTC))
}

func TestDeadRecordAddsItsHeaders(t *testing.T) {
	d := documentedLetter()
	was := slices.Clone(d.Record.Headers)
	r := d.DeadRecord("im.alarms.dlq", 1<<20)

	if r.Topic != "im.alarms.dlq" || !bytes.Equal(r.Key, d.Record.Key) || !bytes.Equal(r.Value, d.Record.Value) {
		t.Errorf("record is %s %q %q", r.Topic, r.Key, r.Value)
	}
	if len(r.Headers) < len(was) || !reflect.DeepEqual(r.Headers[:len(was)], was) || !reflect.DeepEqual(d.Record.Headers, was) {
		t.Errorf("the record's own headers became %q", r.Headers)
	}
	var added [][2]string
	for _, h := range r.Headers[len(was):] {
		added = append(added, [2]string{h.Key, string(h.Value)})
	}
	if want := [][2]string{
		{"__dlq.errors.topic", "im.alarms.raw"},
		{"__dlq.errors.partition", "3"},
		{"__dlq.errors.offset", "52"},
		{"__dlq.errors.group", "tidegate"},
		{"__dlq.errors.message", "comments are not JSON"},
		{"dlq-reason", "bad_json"},
		{"dlq-failed-at", "2022-12-09T08:26:55.007Z"},
	}; !slices.Equal(added, want) {
		t.Errorf("added %q\nwant  %q", added, want)
	}
}

// A record that came with a dead letter's headers cannot say why it was refused.
func TestDeadRecordSpeaksLast(t *testing.T) {
	d := documentedLetter()
	d.Record.Headers = append(d.Record.Headers,
		schema.Header{Key: schema.HeaderDeadReason, Value: []byte("panic")},
		schema.Header{Key: schema.HeaderDeadTopic, Value: []byte("elsewhere")})
	r := d.DeadRecord("im.alarms.dlq", 1<<20)
	for name, want := range map[string]string{schema.HeaderDeadReason: "bad_json", schema.HeaderDeadTopic: "im.alarms.raw"} {
		if got, ok := r.LastHeader(name); !ok || string(got) != want {
			t.Errorf("last %s is %q, want %q", name, got, want)
		}
	}
	if first, _ := r.Header(schema.HeaderDeadReason); string(first) != "panic" {
		t.Errorf("the record's own header became %q", first)
	}
	if _, ok := r.LastHeader("absent"); ok {
		t.Error("a header that is not there was found")
	}
}

func TestDeadRecordThatIsTooLarge(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 2000)
	sum := sha256.Sum256(large)
	for _, row := range []struct {
		name              string
		change            func(*schema.Record)
		key, value, heads bool // what of the record is kept
	}{
		{"all fits", func(r *schema.Record) {}, true, true, true},
		{"the value is too large", func(r *schema.Record) { r.Value = large }, true, false, true},
		{"the headers alone are too large", func(r *schema.Record) {
			r.Value = large
			r.Headers = append(r.Headers, schema.Header{Key: "x", Value: large})
		}, true, false, false},
		{"the key alone is too large", func(r *schema.Record) {
			r.Value = large
			r.Key = large
		}, false, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			const limit = 1500
			d := documentedLetter()
			row.change(&d.Record)
			r := d.DeadRecord("im.alarms.dlq", limit)
			if got := r.Value != nil; got != row.value {
				t.Errorf("value is kept: %v", got)
			}
			if got := r.Key != nil; got != row.key {
				t.Errorf("key is kept: %v", got)
			}
			if _, got := r.Header(schema.HeaderID); got != row.heads {
				t.Errorf("headers are kept: %v", got)
			}
			if got, ok := r.LastHeader(schema.HeaderDeadSHA256); ok == row.value || ok && string(got) != hex.EncodeToString(sum[:]) {
				t.Errorf("SHA-256 is %q, %v", got, ok)
			}
			if reason, _ := r.LastHeader(schema.HeaderDeadReason); string(reason) != "bad_json" {
				t.Errorf("reason is %q", reason)
			}
			if size := recordBytes(&r); size > limit {
				t.Errorf("record has %d bytes, more than %d", size, limit)
			}
		})
	}
}

// recordBytes returns what r takes as a record batch of its own (KIP-98), stamped a
// second after the batch's first timestamp.
func recordBytes(r *schema.Record) int {
	varint := func(n int) int { return len(binary.AppendVarint(nil, int64(n))) }
	bytesOf := func(n int) int { return varint(n) + n }
	body := 1 + varint(1000) + varint(0) + bytesOf(len(r.Key)) + bytesOf(len(r.Value)) + varint(len(r.Headers))
	for _, h := range r.Headers {
		body += bytesOf(len(h.Key)) + bytesOf(len(h.Value))
	}
	return 61 + bytesOf(body)
}

// At no limit a letter passes it, but below what its own headers need.
func TestDeadRecordAtEveryLimit(t *testing.T) {
	d := documentedLetter()
	d.Record.Value = bytes.Repeat([]byte("v"), 500)
	for range 60 {
		d.Record.Headers = append(d.Record.Headers, schema.Header{Key: "h", Value: bytes.Repeat([]byte("v"), 70)})
	}
	smallest := d.DeadRecord("im.alarms.dlq", 0)
	kept := make(map[bool]int)
	for limit := range 8000 {
		r := d.DeadRecord("im.alarms.dlq", limit)
		if size := recordBytes(&r); size > limit && size != recordBytes(&smallest) {
			t.Fatalf("record takes %d bytes, the limit is %d", size, limit)
		}
		kept[r.Value != nil]++
	}
	if len(kept) != 2 {
		t.Errorf("no limit divides the records that keep their value from the others: %v", kept)
	}
}

// Law: a letter passes its limit only where its own headers alone do, and loses nothing
// that would have fit.
func TestDeadRecordKeepsToItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := deadLetters().Draw(t, "letter")
		d.Record.Value = bytes.Repeat([]byte("v"), rapid.IntRange(0, 4000).Draw(t, "size"))
		limit := rapid.IntRange(0, 6000).Draw(t, "limit")
		r := d.DeadRecord("im.alarms.dlq", limit)

		const overhead = 400 // more than is set aside for the batch and 25 headers
		whole := d.DeadRecord("im.alarms.dlq", 1<<30)
		if !bytes.Equal(whole.Value, d.Record.Value) || !bytes.Equal(whole.Key, d.Record.Key) {
			t.Fatal("without a limit bytes or key differ")
		}
		if fits := recordBytes(&whole)+overhead <= limit; fits && !reflect.DeepEqual(r, whole) {
			t.Fatalf("something was left out of %d bytes at a limit of %d", recordBytes(&whole), limit)
		}
		bare := schema.DeadLetter{Record: schema.Record{Topic: d.Record.Topic, Partition: d.Record.Partition, Offset: d.Record.Offset},
			Group: d.Group, Reason: d.Reason, Message: d.Message, FailedAt: d.FailedAt}
		smallest := bare.DeadRecord("im.alarms.dlq", 0)
		if size := recordBytes(&r); size > limit && size != recordBytes(&smallest) {
			t.Fatalf("%d bytes at a limit of %d", size, limit)
		}
	})
}

func TestDeadLetterMessageIsBoundedText(t *testing.T) {
	long := strings.Repeat("é", 600) // 1,200 bytes
	for _, row := range []struct {
		name, message, want string
	}{
		{"short", "body: want an object", "body: want an object"},
		{"not UTF-8", "found \xff\xfe here", "found \uFFFD here"},
		{"NUL", "found \x00 here", "found \uFFFD here"},
		{"as long as may be", strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		{"a byte longer", strings.Repeat("x", 1025), strings.Repeat("x", 1021) + "..."},
		{"never cut within a letter", long, strings.Repeat("é", 510) + "..."},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := schema.NewDeadLetter(schema.Record{}, "g", schema.ReasonPanic, row.message, time.Time{})
			if d.Message != row.want {
				t.Errorf("message is %q, want %q", d.Message, row.want)
			}
			literal := schema.DeadLetter{Message: row.message}
			r := literal.DeadRecord("", 1<<20)
			if got, _ := r.LastHeader(schema.HeaderDeadMessage); string(got) != row.want {
				t.Errorf("header is %q, want %q", got, row.want)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		d := deadLetters().Draw(t, "letter")
		if len(d.Message) > schema.MaxDeadLetterMessage || !utf8.ValidString(d.Message) || strings.Contains(d.Message, "\x00") {
			t.Fatalf("message is %q", d.Message)
		}
	})
}

func TestReasonsAreTheContracts(t *testing.T) {
	want := []schema.Reason{
		"bad_headers", "bad_json", "duplicate_key", "bad_utf8", "bad_field",
		"command_mismatch", "unknown_command", "too_large", "store_refused", "panic",
	}
	if got := schema.Reasons(); !slices.Equal(got, want) {
		t.Errorf("reasons are %v", got)
	}
}
