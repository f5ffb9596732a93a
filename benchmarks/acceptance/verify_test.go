package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/schema"
)

// expected is what the consumer must have made of the raw records.
type expected struct {
	copies map[string]int            // by alarm id: raw records of it, each a delivery
	dead   map[string]*schema.Record // by "topic/partition/offset": records that it must refuse
}

// expect works it out from the raw records and the ledger's word on which bodies are good.
func (s *scene) expect(entries []ledger.Entry) expected {
	s.t.Helper()
	kinds := map[string]ledger.Kind{}
	for i := range entries {
		e := &entries[i]
		kinds[strconv.FormatInt(e.App, 10)+" "+e.Digest] = e.Kind
	}
	want := expected{copies: map[string]int{}, dead: map[string]*schema.Record{}}
	raw := s.records(s.stack.Topics().AlarmsRaw)
	for i := range raw {
		r := &raw[i]
		switch kinds[string(r.Key)+" "+ledger.Digest(r.Value)] {
		case ledger.KindAlarm:
			want.copies[s.alarmID(r)]++
		case ledger.KindMalformed:
			want.dead[place(r.Topic, r.Partition, r.Offset)] = r
		default:
			s.t.Fatalf("a record of no request: %s", r.Value)
		}
	}
	return want
}

func place(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}

// alarmID computes the id of a good raw record by the contract's published function.
func (s *scene) alarmID(r *schema.Record) string {
	s.t.Helper()
	callback, err := schema.ParseCallback(r)
	if err != nil {
		s.t.Fatalf("raw record %s: %v", place(r.Topic, r.Partition, r.Offset), err)
	}
	alarm, err := readAlarm(r.Value)
	if err != nil {
		s.t.Fatalf("raw record %s: %v", place(r.Topic, r.Partition, r.Offset), err)
	}
	return schema.AlarmID(&callback, &alarm)
}

// consumed waits until the consumer has saved everything that the raw topic holds, and
// checks rows, events and dead letters against it: one row for each alarm, with every
// delivery counted; at least one event, all copies byte-identical; the dead letters as a
// set, with bytes, key and headers unchanged.
func (s *scene) consumed(entries []ledger.Entry) {
	s.t.Helper()
	want := s.expect(entries)
	s.eventually("every alarm is a row", func() error { return s.checkRows(want) })
	s.eventually("every alarm is an event", func() error { return s.checkEvents(want) })
	s.eventually("every bad record is a dead letter", func() error { return s.checkDead(want) })
	s.t.Logf("%d alarms saved and published, %d dead letters", len(want.copies), len(want.dead))
}

func (s *scene) checkRows(want expected) error {
	rows := slices.DeleteFunc(s.rows(0), func(r row) bool { return !slices.Contains(s.apps, r.SdkAppID) })
	seen := map[string]int{}
	for _, r := range rows {
		if _, again := seen[r.AlarmID]; again {
			return fmt.Errorf("alarm %s has two rows", r.AlarmID)
		}
		seen[r.AlarmID] = r.Deliveries
		if want.copies[r.AlarmID] == 0 {
			return fmt.Errorf("row of no raw record: %+v", r)
		}
	}
	if len(seen) < len(want.copies) {
		return fmt.Errorf("%d rows of %d alarms", len(seen), len(want.copies))
	}
	for id, copies := range want.copies {
		if seen[id] != copies {
			return fmt.Errorf("alarm %s has %d deliveries, and %d raw records", id, seen[id], copies)
		}
	}
	return nil
}

func (s *scene) checkEvents(want expected) error {
	values := map[string][]byte{}
	for _, r := range s.records(s.stack.Topics().Alarms) {
		id, _ := r.Header(schema.HeaderID)
		if first, again := values[string(id)]; again && !bytes.Equal(first, r.Value) {
			return fmt.Errorf("alarm %s has two different events:\n%s\n%s", id, first, r.Value)
		}
		values[string(id)] = r.Value
		var event schema.EnrichedAlarm
		if err := json.Unmarshal(r.Value, &event); err != nil {
			return fmt.Errorf("event %s: %w", r.Value, err)
		}
		if event.AlarmID != string(id) || strconv.FormatInt(event.SdkAppID, 10) != string(r.Key) || want.copies[event.AlarmID] == 0 {
			return fmt.Errorf("event of no raw record: %s with ce_id %s and key %s", r.Value, id, r.Key)
		}
	}
	if len(values) != len(want.copies) {
		return fmt.Errorf("%d alarms have events, want %d", len(values), len(want.copies))
	}
	return nil
}

func (s *scene) checkDead(want expected) error {
	seen := map[string]bool{}
	for _, r := range s.records(s.stack.Topics().AlarmsDLQ) {
		header := func(key string) string {
			value, _ := r.Header(key)
			return string(value)
		}
		at := header(schema.HeaderDeadTopic) + "/" + header(schema.HeaderDeadPartition) + "/" + header(schema.HeaderDeadOffset)
		original := want.dead[at]
		if original == nil {
			return fmt.Errorf("dead letter of a good record %s: %s", at, header(schema.HeaderDeadMessage))
		}
		if err := unchanged(original, &r); err != nil {
			return err
		}
		seen[at] = true
	}
	if len(seen) != len(want.dead) {
		return fmt.Errorf("%d dead letters, want %d", len(seen), len(want.dead))
	}
	return nil
}

// unchanged checks that a dead letter has the bytes, key and headers of its record.
func unchanged(original, letter *schema.Record) error {
	if !bytes.Equal(original.Value, letter.Value) || !bytes.Equal(original.Key, letter.Key) {
		return fmt.Errorf("dead letter %q with key %s, the record is %q with key %s", letter.Value, letter.Key, original.Value, original.Key)
	}
	for _, h := range original.Headers {
		if got, found := letter.Header(h.Key); !found || !bytes.Equal(got, h.Value) {
			return fmt.Errorf("dead letter's header %s is %q, the record's %q", h.Key, got, h.Value)
		}
	}
	return nil
}

// schemas are the two published JSON Schemas of an enriched record.
type schemas struct {
	value, headers *jsonschema.Schema
}

func publishedSchemas(t *testing.T) schemas {
	t.Helper()
	compile := func(name string) *jsonschema.Schema {
		compiled, err := jsonschema.NewCompiler().Compile("../../schema/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	return schemas{value: compile("enriched-alarm.v1.schema.json"), headers: compile("enriched-alarm.v1.headers.schema.json")}
}

// check holds an enriched record to the schemas, and its key and headers to its value,
// which it returns as far as it could be read.
func (p schemas) check(r *schema.Record) (event schema.EnrichedAlarm, err error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Value))
	if err != nil {
		return event, fmt.Errorf("value: %w", err)
	}
	if err := p.value.Validate(value); err != nil {
		return event, fmt.Errorf("value: %w", err)
	}
	headers := map[string]any{}
	for _, h := range r.Headers {
		if _, twice := headers[h.Key]; twice {
			return event, fmt.Errorf("header %s comes twice", h.Key)
		}
		headers[h.Key] = string(h.Value)
	}
	if err := p.headers.Validate(headers); err != nil {
		return event, fmt.Errorf("headers: %w", err)
	}
	if err := json.Unmarshal(r.Value, &event); err != nil {
		return event, err
	}
	app := strconv.FormatInt(event.SdkAppID, 10)
	if string(r.Key) != app || headers[schema.HeaderSubject] != app || headers[schema.HeaderID] != event.AlarmID || headers[schema.HeaderTime] != event.EventTime {
		return event, fmt.Errorf("key %q and headers %v do not go with the value", r.Key, headers)
	}
	return event, nil
}
