package entry

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// maxOverhead is what an entry adds at most to the bytes that it holds: the fixed part and
// every length and number at its longest.
const maxOverhead = fixedSize + 1 + binary.MaxVarintLen64*4 + int(schema.NumAttributes)*(1+binary.MaxVarintLen64)

// sample is a callback with every kind of attribute: present, empty, absent.
func sample() *schema.Callback {
	c := &schema.Callback{
		Gateway:       []byte("gw-1"),
		AppID:         1400000001,
		Command:       []byte(schema.CommandQuotaAlarm),
		ReceivedAt:    time.UnixMilli(1670574414123).UTC(),
		Authenticated: schema.AuthenticatedSign,
		Body:          []byte(`{"Quota":10000}`),
	}
	c.Attributes[schema.AttributeClientIP] = []byte("10.0.0.1")
	c.Attributes[schema.AttributeOptPlatform] = []byte{}
	c.Attributes[schema.AttributeRequestTime] = []byte("1669872112")
	return c
}

// equal compares what an entry keeps: everything but the id, with nil and empty told
// apart for attributes only.
func equal(a, b *schema.Callback) bool {
	for i := range a.Attributes {
		if (a.Attributes[i] == nil) != (b.Attributes[i] == nil) || !bytes.Equal(a.Attributes[i], b.Attributes[i]) {
			return false
		}
	}
	return bytes.Equal(a.Gateway, b.Gateway) && a.AppID == b.AppID && bytes.Equal(a.Command, b.Command) &&
		a.ReceivedAt.Equal(b.ReceivedAt) && a.Authenticated == b.Authenticated && bytes.Equal(a.Body, b.Body)
}

func TestRoundTrip(t *testing.T) {
	blob := rapid.SliceOfN(rapid.Byte(), 0, 300)
	rapid.Check(t, func(t *rapid.T) {
		topic := string(blob.Draw(t, "topic"))
		c := &schema.Callback{
			ID:            schema.CallbackID{Journal: 1, LSN: 2},
			Gateway:       blob.Draw(t, "gateway"),
			AppID:         rapid.Int64Range(1, schema.MaxAppID).Draw(t, "app"),
			Command:       blob.Draw(t, "command"),
			ReceivedAt:    time.UnixMilli(rapid.Int64().Draw(t, "received")).UTC(),
			Authenticated: schema.Authenticated(rapid.IntRange(0, 1).Draw(t, "authenticated")),
			Body:          blob.Draw(t, "body"),
		}
		held := len(topic) + len(c.Gateway) + len(c.Command) + len(c.Body)
		for i := range c.Attributes {
			if rapid.Bool().Draw(t, "present") {
				c.Attributes[i] = blob.Draw(t, "attribute")
				held += len(c.Attributes[i])
			}
		}
		prefix := blob.Draw(t, "before")
		payload := Append(slices.Clone(prefix), topic, c)
		if !bytes.HasPrefix(payload, prefix) {
			t.Fatal("Append changed what was in dst")
		}
		payload = payload[len(prefix):]
		if over := len(payload) - held; over > maxOverhead {
			t.Fatalf("%d bytes of overhead, at most %d are expected", over, maxOverhead)
		}
		got, err := Parse(payload)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Topic) != topic || !equal(&got.Callback, c) {
			t.Fatalf("got %+v, want %+v", got, c)
		}
		if got.Callback.ID != (schema.CallbackID{}) {
			t.Fatal("the payload carries an id")
		}
	})
}

// TestLayout holds the bytes of version 1, which lie on disks: a change of this text is
// a new version. It also pins the numbers of the attributes.
func TestLayout(t *testing.T) {
	const want = "01" + "01" + "2b99fef584010000" + "014e725300000000" +
		"03" + "746f70" + // top
		"04" + "67772d31" + // gw-1
		"0f" + "47726f75702e43616c6c6261636b58" + // Group.CallbackX
		"07" +
		"00" + "0131" + "01" + "0132" + "02" + "0133" + "03" + "0134" + "04" + "0135" + "05" + "0136" + "06" + "00" +
		"02" + "7b7d"
	c := sample()
	c.Command = []byte("Group.CallbackX")
	c.Body = []byte("{}")
	c.Attributes = schema.Attributes{
		schema.AttributeClientIP:    []byte("1"),
		schema.AttributeOptPlatform: []byte("2"),
		schema.AttributeContentType: []byte("3"),
		schema.AttributeRequestTime: []byte("4"),
		schema.AttributeQuery:       []byte("5"),
		schema.AttributeTraceparent: []byte("6"),
		schema.AttributeAdmitted:    {},
	}
	if got := hex.EncodeToString(Append(nil, "top", c)); got != want {
		t.Errorf("layout changed:\n got %s\nwant %s", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	good := Append(nil, "im.alarms.raw", sample())
	with := func(change func(p []byte) []byte) []byte { return change(slices.Clone(good)) }
	attributes := bytes.Index(good, []byte("\x03\x00\x0810.0.0.1"))
	if attributes < 0 {
		t.Fatal("the sample's attributes are not where they are expected")
	}
	tests := []struct {
		name    string
		payload []byte
		want    error
	}{
		{"nothing", nil, ErrCorrupt},
		{"version 0", with(func(p []byte) []byte { p[0] = 0; return p }), ErrVersion},
		{"version 2", with(func(p []byte) []byte { p[0] = 2; return p }), ErrVersion},
		{"newer version, too short for ours", []byte{2}, ErrVersion},
		{"fixed part cut", good[:fixedSize-1], ErrCorrupt},
		{"only the fixed part", good[:fixedSize], ErrCorrupt},
		{"unknown way of authentication", with(func(p []byte) []byte { p[1] = 2; return p }), ErrVersion},
		{"app id 0", with(func(p []byte) []byte {
			binary.LittleEndian.PutUint64(p[offsetAppID:], 0)
			return p
		}), ErrCorrupt},
		{"app id too large", with(func(p []byte) []byte {
			binary.LittleEndian.PutUint64(p[offsetAppID:], schema.MaxAppID+1)
			return p
		}), ErrCorrupt},
		{"app id negative", with(func(p []byte) []byte {
			binary.LittleEndian.PutUint64(p[offsetAppID:], 1<<63)
			return p
		}), ErrCorrupt},
		{"topic longer than the payload", with(func(p []byte) []byte { p[fixedSize] = 0x7f; return p[:fixedSize+20] }), ErrCorrupt},
		{"length of 2^64-1", append(slices.Clone(good[:fixedSize]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), ErrCorrupt},
		{"length of more than 64 bits", append(slices.Clone(good[:fixedSize]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02), ErrCorrupt},
		{"length not in its shortest form", append(slices.Clone(good[:fixedSize]), 0x80, 0x00), ErrCorrupt},
		{"attribute of a newer release", with(func(p []byte) []byte { p[attributes+1] = byte(schema.NumAttributes); return p }), ErrVersion},
		{"attributes out of order", with(func(p []byte) []byte { p[attributes+1] = byte(schema.AttributeContentType); return p }), ErrCorrupt},
		{"fewer attributes than there are", with(func(p []byte) []byte { p[attributes] = 2; return p }), ErrCorrupt},
		{"a byte too many", append(slices.Clone(good), 0), ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.payload)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if got.Topic != nil || got.Callback.Body != nil {
				t.Error("a refused payload gave an entry")
			}
		})
	}
}

// TestParseCut cuts a payload at every byte: no prefix of an entry is an entry.
func TestParseCut(t *testing.T) {
	good := Append(nil, "im.alarms.raw", sample())
	for n := range good {
		if _, err := Parse(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(good))
		}
	}
}

func TestParseReturnsCappedViews(t *testing.T) {
	payload := Append(nil, "im.alarms.raw", sample())
	before := slices.Clone(payload)
	e, err := Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(e.Topic, "overwrites"...)
	_ = append(e.Callback.Command, "overwrites"...)
	_ = append(e.Callback.Attributes[schema.AttributeClientIP], "overwrites"...)
	if !bytes.Equal(payload, before) {
		t.Error("appending to a view changed the payload")
	}
	e.Callback.Body[0] = 'X'
	if bytes.Equal(payload, before) {
		t.Error("the body is a copy, not a view")
	}
}

func TestNoAllocation(t *testing.T) {
	c := sample()
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], "im.alarms.raw", c) }); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Parse(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

// FuzzParse holds that whatever Parse takes is exactly what Append writes for it.
func FuzzParse(f *testing.F) {
	f.Add(Append(nil, "im.alarms.raw", sample()))
	f.Add(Append(nil, "", &schema.Callback{AppID: 1}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := Parse(payload)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		if again := Append(nil, string(e.Topic), &e.Callback); !bytes.Equal(again, payload) {
			t.Fatalf("taken %x, written again %x", payload, again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	c, buf := sample(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], "im.alarms.raw", c)
	}
}

func BenchmarkParse(b *testing.B) {
	payload := Append(nil, "im.alarms.raw", sample())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(payload); err != nil {
			b.Fatal(err)
		}
	}
}
