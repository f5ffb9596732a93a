package day

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/reference"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// counts are what was compared.
type counts struct {
	Raw, Rows, Repeats, Events, Copies, Dead int
	Notices                                  map[string]int // by kind
	Alerts, Posts                            int
}

// maxShown bounds how many differences of a kind are shown.
const maxShown = 10

// differences are those of one comparison.
type differences struct {
	d    *played
	what string
	n    int
}

func (x *differences) add(format string, args ...any) {
	x.d.t.Helper()
	if x.n++; x.n <= maxShown {
		x.d.t.Errorf("%s: %s", x.what, fmt.Sprintf(format, args...))
	}
}

func (x *differences) done() {
	x.d.t.Helper()
	if x.n > maxShown {
		x.d.t.Errorf("%s: %d differences", x.what, x.n)
	}
}

func (d *played) differences(what string) *differences { return &differences{d: d, what: what} }

// compare holds everything that came of the day to the reference.
func (d *played) compare() {
	d.t.Helper()
	raw := d.raw()
	want := reference.New(d.plan.Reference())
	for i := range raw {
		d.must(want.One(raw[i]))
	}
	d.compareRows(want)
	d.compareDead(want, raw)
	d.compareNotices(want)
	d.compareAlerts(want)
}

// read calls each with every record of a topic.
func (d *played) read(topic string, each func(*schema.Record)) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	ends, err := stack.Ends(ctx, d.kafka, topic)
	d.must(err)
	left := 0
	for partition, end := range ends[topic] {
		left += int(end - d.from[topic][partition])
	}
	if left == 0 {
		return
	}
	d.must(stack.Follow(ctx, d.kafka, stack.Position{topic: d.from[topic]}, func(r *schema.Record) bool {
		each(r)
		left--
		return left > 0
	}))
}

// raw returns the raw records, and holds them to what was sent: each app's bodies in order.
func (d *played) raw() []reference.Record {
	d.t.Helper()
	x := d.differences("raw records")
	defer x.done()
	sent := map[string][][]byte{}
	for i := range d.plan.Waves {
		for j := range d.plan.Waves[i].Calls {
			c := &d.plan.Waves[i].Calls[j]
			key := strconv.FormatInt(c.App.ID, 10)
			sent[key] = append(sent[key], c.Body)
		}
	}
	var all []reference.Record
	d.read(d.topics.AlarmsRaw, func(r *schema.Record) {
		key := string(r.Key)
		if len(sent[key]) == 0 || !bytes.Equal(sent[key][0], r.Value) {
			x.add("%s/%d of app %s is %.200q, which was not sent then", strconv.Itoa(int(r.Partition)), r.Offset, key, r.Value)
		} else {
			sent[key] = sent[key][1:]
		}
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		all = append(all, reference.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: key, Value: r.Value, Headers: headers})
	})
	for key, missing := range sent {
		if len(missing) > 0 {
			x.add("%d of app %s are missing", len(missing), key)
		}
	}
	d.counts.Raw = len(all)
	return all
}

// compareRows holds the rows to the reference, and the published events to the rows.
func (d *played) compareRows(want *reference.Day) {
	d.t.Helper()
	x := d.differences("rows")
	defer x.done()
	rows, err := d.db.Query(`SELECT alarm_id, app_id, owner, severity, quota_used, quota, used_percent, period, CASE WHEN late THEN 1 ELSE 0 END, deliveries, raw_topic, raw_partition, raw_offset, event FROM alarm`)
	d.must(err)
	defer rows.Close()
	events := map[string][]byte{}
	for rows.Next() {
		var id, severity, period, topic string
		var owner *string
		var app, used, quota, late, partition, offset int64
		var percent float64
		var deliveries int
		var event []byte
		d.must(rows.Scan(&id, &app, &owner, &severity, &used, &quota, &percent, &period, &late, &deliveries, &topic, &partition, &offset, &event))
		if events[id] != nil {
			x.add("alarm %s has two rows", id)
			continue
		}
		events[id] = event
		w := want.Alarms[id]
		if w == nil {
			x.add("alarm %s is of no raw record: %s", id, event)
			continue
		}
		var got, wanted map[string]any
		d.must(json.Unmarshal(event, &got))
		d.must(json.Unmarshal(w.Event, &wanted))
		columns := map[string]any{
			"alarm_id": id, "sdk_app_id": float64(app), "owner": nil, "severity": severity, "quota_used": float64(used), "quota": float64(quota),
			"used_percent": percent, "period": period, "late": late == 1, "raw_topic": topic, "raw_partition": float64(partition), "raw_offset": float64(offset),
		}
		if owner != nil {
			columns["owner"] = *owner
		}
		for name, value := range columns {
			if got[name] != value {
				x.add("alarm %s: column %s is %v, the event says %v", id, name, value, got[name])
			}
		}
		if field := unlike(got, wanted); field != "" {
			x.add("alarm %s: %s is %v, want %v\n have %s\n want %s", id, field, got[field], wanted[field], event, w.Event)
		}
		if deliveries != w.Deliveries {
			x.add("alarm %s has %d deliveries, want %d", id, deliveries, w.Deliveries)
		}
		d.counts.Repeats += deliveries - 1
	}
	d.must(rows.Err())
	for id, w := range want.Alarms {
		if events[id] == nil {
			x.add("alarm %s has no row: %s", id, w.Event)
		}
	}
	d.counts.Rows = len(events)
	d.compareEvents(events)
}

// unlike returns the first field in which two events differ; "": they are alike.
func unlike(got, want map[string]any) string {
	names := slices.Sorted(maps.Keys(want))
	for name := range got {
		if _, known := want[name]; !known {
			return name
		}
	}
	for _, name := range names {
		value, found := got[name]
		if !found || !alike(name, value, want[name]) {
			return name
		}
	}
	return ""
}

// alike compares two values of a field: exactly, but for what floating point may round
// otherwise.
func alike(name string, a, b any) bool {
	switch name {
	case "rate_per_hour":
		x, isNumber := a.(float64)
		y, isToo := b.(float64)
		if isNumber && isToo {
			return math.Abs(x-y) < 0.0101
		}
	case "exhaustion_at":
		x, isText := a.(string)
		y, isToo := b.(string)
		if isText && isToo {
			s, err := time.Parse(time.RFC3339Nano, x)
			t, err2 := time.Parse(time.RFC3339Nano, y)
			return err == nil && err2 == nil && s.Sub(t).Abs() <= time.Millisecond
		}
	}
	return reflect.DeepEqual(a, b)
}

// compareEvents holds what was published to the rows: every one of them, all copies alike.
func (d *played) compareEvents(rows map[string][]byte) {
	d.t.Helper()
	x := d.differences("events")
	defer x.done()
	var published map[string]int
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		published = map[string]int{}
		d.counts.Copies = 0
		d.read(d.topics.Alarms, func(r *schema.Record) {
			id, _ := r.Header(schema.HeaderID)
			published[string(id)]++
			d.counts.Copies++
			if !bytes.Equal(rows[string(id)], r.Value) {
				x.add("alarm %s was published as %s, its row says %s", id, r.Value, rows[string(id)])
			}
		})
		if len(published) >= len(rows) || x.n > 0 || time.Now().After(deadline) {
			break
		}
	}
	for id := range rows {
		if published[id] == 0 {
			x.add("alarm %s was not published", id)
		}
	}
	d.counts.Events = len(published)
}

// compareDead holds the dead letters, in the table and in their topic, to the reference.
func (d *played) compareDead(want *reference.Day, raw []reference.Record) {
	d.t.Helper()
	x := d.differences("dead letters")
	defer x.done()
	records := map[reference.Place]*reference.Record{}
	for i := range raw {
		records[reference.Place{Topic: raw[i].Topic, Partition: raw[i].Partition, Offset: raw[i].Offset}] = &raw[i]
	}
	rows, err := d.db.Query(`SELECT topic, partition, "offset", app_id, reason, key, value FROM dead_letter`)
	d.must(err)
	defer rows.Close()
	seen := map[reference.Place]bool{}
	for rows.Next() {
		var at reference.Place
		var app int64
		var reason string
		var key, value []byte
		d.must(rows.Scan(&at.Topic, &at.Partition, &at.Offset, &app, &reason, &key, &value))
		r := records[at]
		switch {
		case seen[at]:
			x.add("%+v stands twice", at)
		case r == nil || want.Dead[at] != reason:
			x.add("%+v is refused as %q, want %q", at, reason, want.Dead[at])
		case string(key) != r.Key || !bytes.Equal(value, r.Value) || strconv.FormatInt(app, 10) != r.Key:
			x.add("%+v of app %d is %q with key %q, the record %q with key %q", at, app, value, key, r.Value, r.Key)
		}
		seen[at] = true
	}
	d.must(rows.Err())
	published := map[reference.Place]bool{}
	d.read(d.topics.AlarmsDLQ, func(letter *schema.Record) {
		headers := map[string]string{}
		for _, h := range letter.Headers {
			headers[h.Key] = string(h.Value)
		}
		partition, _ := strconv.ParseInt(headers["__dlq.errors.partition"], 10, 32)
		offset, _ := strconv.ParseInt(headers["__dlq.errors.offset"], 10, 64)
		at := reference.Place{Topic: headers["__dlq.errors.topic"], Partition: int32(partition), Offset: offset}
		r := records[at]
		if r == nil || headers["dlq-reason"] != want.Dead[at] || string(letter.Key) != r.Key || !bytes.Equal(letter.Value, r.Value) {
			x.add("published letter of %+v: %q, %q", at, headers["dlq-reason"], letter.Value)
			return
		}
		for name, value := range r.Headers {
			if headers[name] != value {
				x.add("published letter of %+v: header %s is %q, the record's %q", at, name, headers[name], value)
			}
		}
		published[at] = true
	})
	for at, reason := range want.Dead {
		if !seen[at] || !published[at] {
			x.add("%+v, %s: in the table %v, published %v", at, reason, seen[at], published[at])
		}
	}
	d.counts.Dead = len(seen)
}
