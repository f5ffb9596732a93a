package quota

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// world is one app and the consumer that follows it.
type world struct {
	t      testing.TB
	app    *apps.App
	period Period
	offset int64
	cap    int64 // of alarms that do not say
}

// steps are the defaults of the apps file.
var steps = apps.Steps{Watch: 70, Warning: 80, Critical: 90, Exhausted: 100}

// newWorld returns an app that nothing was heard of.
func newWorld(t testing.TB, zone string) *world {
	return &world{
		t:   t,
		app: &apps.App{ID: 1400000001, Name: "Harbor Chat", Owner: "team-harbor", Zone: load(t, zone), Steps: steps, Registered: true},
		cap: 10000,
	}
}

// load returns a time zone.
func load(t testing.TB, zone string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// time reads a time of the app's zone in 2026, or in another year: "11-23 10:00",
// "11-23 10:00:05.250", "2022-12-09 10:00", or of any zone: "2026-11-01T05:30:00Z".
func (w *world) time(text string) time.Time {
	w.t.Helper()
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC()
	}
	if len(text) > 2 && text[2] == '-' {
		text = "2026-" + text
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, w.app.Zone); err == nil {
			return at.UTC()
		}
	}
	w.t.Fatalf("not a time: %q", text)
	return time.Time{}
}

// alarm reads an alarm: "TIME USED[/CAP] [received TIME]", or "none USED" where the vendor
// sent no time. It is received a second after its event.
func (w *world) alarm(text string) Alarm {
	w.t.Helper()
	text, received, late := strings.Cut(text, " received ")
	when, use := text[:strings.LastIndexByte(text, ' ')], text[strings.LastIndexByte(text, ' ')+1:]
	used, limit, _ := strings.Cut(use, "/")
	q := schema.QuotaAlarm{QuotaUsed: w.number(used), Quota: w.cap}
	if limit != "" {
		q.Quota = w.number(limit)
	}
	var receipt time.Time
	if when != "none" {
		q.EventTime = w.time(when)
		receipt = q.EventTime.Add(time.Second)
	}
	if late {
		receipt = w.time(received)
	}
	w.offset++
	return w.raw(q, receipt)
}

// raw returns an alarm that was received at receipt.
func (w *world) raw(q schema.QuotaAlarm, receipt time.Time) Alarm {
	c := schema.Callback{
		ID:    schema.CallbackID{Journal: 0xaa, LSN: uint64(w.offset + 1)},
		AppID: w.app.ID, Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: receipt,
		Authenticated: schema.AuthenticatedSign,
	}
	return Alarm{ID: schema.AlarmID(&c, &q), Callback: c, Quota: q, Topic: "im.alarms.raw", Partition: 3, Offset: w.offset}
}

func (w *world) number(text string) int64 {
	w.t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// handle takes a batch through the rules, as the consumer does, and returns what is told
// and the alarms' events. The state goes through its JSON on the way.
func (w *world) handle(now time.Time, batch ...Alarm) ([]Notice, []schema.EnrichedAlarm) {
	w.t.Helper()
	var offered []Notice
	var events []schema.EnrichedAlarm
	p := w.period
	for _, a := range batch {
		next, event, notices := p.Apply(a, w.app)
		p, offered, events = next, append(offered, notices...), append(events, event)
	}
	periods := map[int64]Period{w.app.ID: p}
	told := Reduce(periods, offered, now)
	w.period = again(w.t, periods[w.app.ID])
	return told, events
}

// again returns the period as the database gives it back.
func again(t testing.TB, p Period) (q Period) {
	t.Helper()
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &q)
	}
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return q
}

// line reads one line of a story, "ALARM; ALARM @ NOW", as a batch, handles it, and
// returns what is told. Handled is a second after the last receipt, unless the line says.
func (w *world) line(text string) string {
	w.t.Helper()
	if zone, ok := strings.CutPrefix(text, "zone "); ok {
		w.app.Zone = load(w.t, zone)
		return ""
	}
	if numbers, ok := strings.CutPrefix(text, "steps "); ok {
		s := &w.app.Steps
		if _, err := fmt.Sscan(numbers, &s.Watch, &s.Warning, &s.Critical, &s.Exhausted); err != nil {
			w.t.Fatal(err)
		}
		return ""
	}
	text, handled, said := strings.Cut(text, " @ ")
	var batch []Alarm
	for part := range strings.SplitSeq(text, ";") {
		batch = append(batch, w.alarm(strings.TrimSpace(part)))
	}
	now := batch[len(batch)-1].Callback.ReceivedAt.Add(time.Second)
	if said {
		now = w.time(handled)
	}
	told, _ := w.handle(now, batch...)
	return shown(told)
}

// shown writes notices as the stories have them: "step watch 2026-11-23".
func shown(told []Notice) string {
	var all []string
	for _, n := range told {
		text := fmt.Sprintf("%s %s %s", n.Kind, n.Step, n.Period)
		if n.Count != 1 {
			text += fmt.Sprintf(" of %d", n.Count)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
