package reference

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// story is one app's day as a person would tell it.
type story struct {
	t      *testing.T
	day    *Day
	zone   *time.Location
	offset int64
	known  map[Notice]bool
}

func newStory(t *testing.T) *story {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	app := App{ID: 7, Name: "Harbor", Zone: zone, Steps: Steps{70, 80, 90, 100}}
	return &story{t: t, day: New([]App{app}), zone: zone, known: map[Notice]bool{}}
}

// record reads "TIME USED/CAP [received TIME]", times of 2026-11-23 in the app's zone, or with
// another day before them ("24 00:10").
func (s *story) record(text string) Record {
	s.t.Helper()
	said, received, isLater := strings.Cut(text, " received ")
	at, use := said[:strings.LastIndexByte(said, ' ')], said[strings.LastIndexByte(said, ' ')+1:]
	used, limit, _ := strings.Cut(use, "/")
	event := s.time(at)
	receipt := event.Add(time.Second)
	if isLater {
		receipt = s.time(received)
	}
	s.offset++
	return Record{Topic: "raw", Offset: s.offset, Key: "7",
		Value: fmt.Appendf(nil, `{"CallbackCommand":%q,"QuotaUsed":%s,"Quota":%s,"EventTime":"%d"}`, alarmCommand, used, limit, event.UnixMilli()),
		Headers: map[string]string{"ce_id": "j-" + strconv.FormatInt(s.offset, 10), "ce_type": typePrefix + alarmCommand, "ce_subject": "7",
			"ce_time": receipt.UTC().Format(timeForm), "ce_authenticated": "sign"}}
}

func (s *story) time(text string) time.Time {
	s.t.Helper()
	if !strings.Contains(text, " ") {
		text = "23 " + text
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", "2026-11-"+text, s.zone)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// told returns the notices since the last call, in alphabetical order.
func (s *story) told() string {
	var lines []string
	for n := range s.day.Notices {
		if !s.known[n] {
			s.known[n] = true
			lines = append(lines, n.Period[8:]+" "+n.Kind+" "+n.Step)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// Each row is one batch: alarms by semicolons, then what is told.
func TestStories(t *testing.T) {
	for name, rows := range map[string][][2]string{
		"every step is told once, of a batch only the highest": {
			{"10:00 7100/10000", "23 step watch"},
			{"10:01 7200/10000", ""},
			{"10:02 8000/10000;10:03 9000/10000", "23 step critical"},
			{"10:04 8500/10000", ""},
			{"10:05 10000/10000", "23 step exhausted"},
		},
		"99.999 % is not exhausted": {{"10:00 99999/100000", "23 step critical"}},
		"the app's midnight":        {{"23:59 8100/10000", "23 step warning"}, {"24 00:00 8200/10000", "23 resolve warning, 24 step warning"}},
		"the vendor's day begins at another time: a fall of ten points": {
			{"10:00 9500/10000", "23 step critical"},
			{"11:00 8501/10000", ""},
			{"11:01 7501/10000", "23 resolve critical, 23#2 step watch"},
		},
		"ten points exactly":     {{"10:00 9500/10000", "23 step critical"}, {"11:00 8500/10000", "23 resolve critical, 23#2 step warning"}},
		"a raised cap":           {{"10:00 9500/10000", "23 step critical"}, {"11:00 9600/12000", "23 resolve critical, 23#2 step warning"}},
		"a lowered cap":          {{"10:00 9000/12000", "23 step watch"}, {"11:00 9000/10000", "23 step critical"}},
		"Kafka was away":         {{"10:00 8500/10000 received 10:16", "23 digest warning"}, {"10:17 8600/10000", "23 step warning"}},
		"late, of a known step":  {{"10:00 9500/10000", "23 step critical"}, {"09:00 8500/10000 received 10:01", ""}},
		"late, of a higher step": {{"10:00 7500/10000", "23 step watch"}, {"09:00 8500/10000 received 10:01", "23 digest warning"}, {"09:01 8500/10000 received 10:02", ""}},
		"late, of yesterday": {
			{"23:00 7500/10000", "23 step watch"}, {"24 00:10 7600/10000", "23 resolve watch, 24 step watch"},
			{"23:10 7700/10000 received 24 00:11", ""}, {"23:11 8700/10000 received 24 00:12", "23 digest warning"},
		},
		"dated a month ahead: the next one is no less news": {{"30 10:00 7500/10000 received 10:00", "23 step watch"}, {"10:01 8500/10000", "23 step warning"}},
		"no more than eight a day, but one is kept for exhaustion": {
			{"01:00 7900/10000", "23 step watch"}, {"02:00 7900/11000", "23 resolve watch, 23#2 step watch"}, {"03:00 8500/12000", "23#2 resolve watch, 23#3 step watch"},
			{"04:00 9500/13000", "23#3 resolve watch, 23#4 step watch"}, {"05:00 9900/14000", "23#4 resolve watch, 23#5 step watch"}, {"06:00 10600/15000", "23#5 resolve watch"},
			{"07:00 12500/15000", "23#6 step warning"}, {"08:00 13600/15000", "23#6 step critical"}, {"09:00 15000/15000", "23#6 step exhausted"},
		},
		"full within the hour": {{"10:00 9000/10000", "23 step critical"}, {"10:03 9200/10000", ""}, {"10:06 9400/10000", "23 forecast critical"}, {"10:09 9500/10000", ""}},
		"too few minutes":      {{"10:00 9000/10000", "23 step critical"}, {"10:02 9200/10000", ""}, {"10:04 9400/10000", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			for _, row := range rows {
				var batch []Record
				for text := range strings.SplitSeq(row[0], ";") {
					batch = append(batch, s.record(text))
				}
				now, err := time.Parse(timeForm, batch[len(batch)-1].Headers["ce_time"])
				if err != nil {
					t.Fatal(err)
				}
				if err := s.day.Batch(batch, now); err != nil {
					t.Fatal(err)
				}
				if got := s.told(); got != row[1] {
					t.Errorf("after %s is told %q, want %q", row[0], got, row[1])
				}
			}
		})
	}
}

// A whole event with its forecast, worked out by hand; an alarm that comes again is counted.
func TestEvent(t *testing.T) {
	s := newStory(t)
	for _, text := range []string{"10:00 9000/10000", "10:03 9200/10000", "10:06 9400/10000", "10:06 9400/10000"} {
		if err := s.day.One(s.record(text)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.day.Alarms) != 3 {
		t.Fatalf("%d alarms, want 3", len(s.day.Alarms))
	}
	for id, a := range s.day.Alarms {
		var event map[string]any
		if err := json.Unmarshal(a.Event, &event); err != nil {
			t.Fatal(err)
		}
		if event["quota_used"] != 9400.0 {
			continue
		}
		// 400 groups in 6 minutes are 4000 an hour; 600 remain, which is 9 minutes.
		for name, want := range map[string]any{
			"alarm_id": id, "used_percent": 94.0, "remaining": 600.0, "severity": "critical", "step_entered": false, "event_time": "2026-11-23T02:06:00.000Z",
			"event_time_source": "vendor", "received_at": "2026-11-23T02:06:01.000Z", "period": "2026-11-23", "rate_per_hour": 4000.0,
			"exhaustion_at": "2026-11-23T02:15:00.000Z", "forecast_basis": "trend", "late": false, "owner": nil, "raw_offset": 3.0, "callback_id": "j-3",
		} {
			if event[name] != want {
				t.Errorf("%s is %v, want %v", name, event[name], want)
			}
		}
		if a.Deliveries != 2 {
			t.Errorf("%d deliveries, want 2", a.Deliveries)
		}
		if !strings.HasPrefix(id, fmt.Sprintf("%012x", s.time("10:06").UnixMilli())) || len(id) != 32 {
			t.Errorf("id %s does not begin with the time", id)
		}
	}
}

// The reference imports nothing but the standard library: it is no second opinion where it
// shares code with the product.
func TestImportsNothingOfOurs(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, ".") {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}
