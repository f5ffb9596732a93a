package forward

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tidegate/tidegate/schema"
)

func FuzzEnvelope(f *testing.F) {
	f.Add(envelope{kind: kindTopic, code: 3, id: schema.CallbackID{Journal: 1, LSN: 2}}.append(nil, []byte("payload")))
	f.Add(envelope{kind: kindRecord, code: -1, id: schema.CallbackID{Journal: 1 << 63, LSN: 1 << 62}}.append(nil, nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1}, EnvelopeBytes-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, payload, err := parseEnvelope(b)
		if err != nil {
			if !errors.Is(err, ErrEnvelope) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again := e.append(nil, payload); !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x", b, again)
		}
	})
}

func TestCursorNames(t *testing.T) {
	for _, tt := range []struct {
		name             string
		topic            string
		count, partition int32
		ok               bool
	}{
		{"im.alarms.raw/12/11", "im.alarms.raw", 12, 11, true},
		{"t/0/0", "t", 0, 0, true},
		{"t/0/1", "", 0, 0, false},
		{"t/3/3", "", 0, 0, false},
		{"t/3/-1", "", 0, 0, false},
		{"t/-3/0", "", 0, 0, false},
		{"t/99999999/0", "", 0, 0, false},
		{"t/99999999999/0", "", 0, 0, false},
		{"t/1", "", 0, 0, false},
		{"a/b/1/0", "", 0, 0, false},
		{"t/x/0", "", 0, 0, false},
		{"", "", 0, 0, false},
	} {
		topic, count, partition, ok := parseCursor(tt.name)
		if topic != tt.topic || count != tt.count || partition != tt.partition || ok != tt.ok {
			t.Errorf("%q is read as %q, %d, %d, %v", tt.name, topic, count, partition, ok)
		}
		if ok && cursorName(topic, count, partition) != tt.name {
			t.Errorf("%q is written as %q", tt.name, cursorName(topic, count, partition))
		}
	}
}
