package schema_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

// goldenRecord is a record as testdata/golden holds it, for readers in any language.
type goldenRecord struct {
	Topic       string   `json:"topic"`
	Key         *string  `json:"key"`
	Headers     []string `json:"headers"`                // "name: value", in order
	Value       *string  `json:"value"`                  // null where the record has none
	ValueBase64 string   `json:"value_base64,omitempty"` // instead, where the value is not UTF-8
}

func golden(r schema.Record) goldenRecord {
	g := goldenRecord{Topic: r.Topic}
	if r.Key != nil {
		key := string(r.Key)
		g.Key = &key
	}
	for _, h := range r.Headers {
		g.Headers = append(g.Headers, h.Key+": "+string(h.Value))
	}
	switch value := string(r.Value); {
	case r.Value == nil:
	case utf8.Valid(r.Value):
		g.Value = &value
	default:
		g.ValueBase64 = base64.StdEncoding.EncodeToString(r.Value)
	}
	return g
}

// record is the inverse of golden.
func (g goldenRecord) record(t *testing.T) schema.Record {
	r := schema.Record{Topic: g.Topic}
	if g.Key != nil {
		r.Key = []byte(*g.Key)
	}
	for _, h := range g.Headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Headers = append(r.Headers, schema.Header{Key: name, Value: []byte(value)})
	}
	if g.Value != nil {
		r.Value = []byte(*g.Value)
	} else if g.ValueBase64 != "" {
		var err error
		if r.Value, err = base64.StdEncoding.DecodeString(g.ValueBase64); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func encode(t *testing.T, v any, indent string) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// goldenCallbacks are the raw records among the golden ones.
func goldenCallbacks() map[string]schema.Callback {
	other := barestCallback()
	other.ID = schema.CallbackID{Journal: 0xffffffffffffffff, LSN: 18446744073709551615}
	other.AppID = schema.MaxAppID
	other.Attributes[schema.AttributeQuery] = []byte("Reason=%E6%9B%B4&x=")
	other.Attributes[schema.AttributeTraceparent] = []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	other.Attributes[schema.AttributeAdmitted] = []byte("2022-12-09T09:00:00.000Z")
	return map[string]schema.Callback{"raw-alarm": documentedCallback(), "raw-callback": other}
}

func goldenRecords(t *testing.T) map[string]schema.Record {
	records := make(map[string]schema.Record)
	topics := map[string]string{"raw-alarm": "im.alarms.raw", "raw-callback": "im.callbacks.raw"}
	for name, c := range goldenCallbacks() {
		records[name] = c.Record(topics[name])
	}
	for name, e := range map[string]schema.EnrichedAlarm{"enriched": documentedAlarm(), "enriched-unlisted": unlistedAlarm()} {
		records[name] = e.Record("im.alarms", bytes.TrimSpace(encode(t, e, "")))
	}
	letter, large := documentedLetter(), documentedLetter()
	large.Record.Value = bytes.Repeat([]byte("x"), 1<<20)
	large.Reason, large.Message = schema.ReasonTooLarge, "body has 1048576 bytes, the limit is 262144"
	records["dead-letter"] = letter.DeadRecord("im.alarms.dlq", 1<<20)
	records["dead-letter-too-large"] = large.DeadRecord("im.alarms.dlq", 1<<20)
	return records
}

// What is written today is, byte for byte, what was promised.
func TestGoldenRecords(t *testing.T) {
	for name, r := range goldenRecords(t) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "golden", name+".json")
			got := encode(t, golden(r), "  ")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("record is\n%swant\n%s", got, want)
			}
		})
	}
}

// What was written by any release of v1 is still read.
func TestGoldenRecordsAreRead(t *testing.T) {
	read := func(t *testing.T, name string) schema.Record {
		data, err := os.ReadFile(filepath.Join("testdata", "golden", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var g goldenRecord
		if err := json.Unmarshal(data, &g); err != nil {
			t.Fatal(err)
		}
		return g.record(t)
	}
	for name, want := range goldenCallbacks() {
		r := read(t, name)
		if got, err := schema.ParseCallback(&r); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, %v", name, got, err)
		}
	}
	for name, want := range map[string]schema.EnrichedAlarm{"enriched": documentedAlarm(), "enriched-unlisted": unlistedAlarm()} {
		var got schema.EnrichedAlarm
		if err := json.Unmarshal(read(t, name).Value, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, %v", name, got, err)
		}
	}
	r := read(t, "dead-letter")
	if c, err := schema.ParseCallback(&r); err != nil || c.AppID != 1400000001 {
		t.Errorf("a dead letter's record reads as %+v, %v", c, err)
	}
}
