package day

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/reference"
)

// compareNotices holds the saved notices to the reference, and sees to it that each was sent.
func (d *played) compareNotices(want *reference.Day) {
	d.t.Helper()
	x := d.differences("notices")
	defer x.done()
	rows, err := d.db.Query(`SELECT n.app_id, n.period, n.kind, n.step, n.count, n.alarm, (SELECT count(*) FROM dispatch d WHERE d.notice_seq = n.seq AND d.state = 'sent') FROM notice n`)
	d.must(err)
	defer rows.Close()
	seen := map[reference.Notice]bool{}
	d.counts.Notices = map[string]int{}
	for rows.Next() {
		var n reference.Notice
		var count, sent int
		var text string
		d.must(rows.Scan(&n.App, &n.Period, &n.Kind, &n.Step, &count, &text, &sent))
		seen[n] = true
		d.counts.Notices[n.Kind]++
		made := want.Notices[n]
		if made == nil {
			x.add("%+v is not to be told; made by %s", n, text)
			continue
		}
		var event map[string]any
		d.must(json.Unmarshal([]byte(text), &event))
		id, _ := event["alarm_id"].(string)
		var saved map[string]any
		if alarm := want.Alarms[id]; alarm != nil {
			d.must(json.Unmarshal(alarm.Event, &saved))
		}
		if field := unlike(event, saved); saved == nil || field != "" {
			x.add("%+v is of an alarm that is another in field %q: %s", n, field, text)
		}
		switch {
		case n.Kind == "forecast":
			if why := wrongForecast(n, event); why != "" {
				x.add("%+v: %s: %s", n, why, text)
			}
		case id != made.AlarmID:
			x.add("%+v is of alarm %s, want %s", n, id, made.AlarmID)
		}
		if sent != 1 || count < 1 || count > 1 && n.Kind != "digest" {
			x.add("%+v stands for %d alarms and was sent %d times", n, count, sent)
		}
	}
	d.must(rows.Err())
	for n, made := range want.Notices {
		if !seen[n] {
			x.add("nobody was told of %+v, alarm %s", n, made.AlarmID)
		}
	}
}

// wrongForecast says what is wrong with the alarm of a forecast notice.
func wrongForecast(n reference.Notice, event map[string]any) string {
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(event["event_time"]))
	full, err2 := time.Parse(time.RFC3339Nano, fmt.Sprint(event["exhaustion_at"]))
	date, _, _ := strings.Cut(n.Period, "#")
	switch {
	case err != nil || err2 != nil || full.Sub(at) >= time.Hour:
		return "the cap is not reached within the hour"
	case event["sdk_app_id"] != float64(n.App) || event["period"] != date || event["severity"] != n.Step:
		return "the alarm is of another app, period or step"
	}
	return ""
}

// told is an alert that is to stand in Alertmanager from a wave on.
type told struct {
	labels string
	date   string
	wave   int
	late   bool      // it stands for an hour of Alertmanager's clock, whatever comes
	ends   int       // wave in which it is taken back; past the last: never
	over   time.Time // when its period is over in any case
}

// keptFor is how long an alert stands that is not kept alive any more, and some time to see it.
const keptFor = 5*time.Minute + 30*time.Second

// compareAlerts holds what stood in Alertmanager after each wave to what was told by then. What
// a midnight ended, while the clock was moved on, is not kept alive any more and stands by
// Alertmanager's own clock until it ends by itself.
func (d *played) compareAlerts(want *reference.Day) {
	d.t.Helper()
	x := d.differences("alerts")
	defer x.done()
	all := d.alerts(want)
	for k, stand := range d.standing {
		may, must := map[string][]string{}, map[string]*told{} // dates by labels
		for i := range all {
			a := &all[i]
			lasts := a.late || d.plan.Waves[k].At.Before(a.over)
			if a.wave > k || lasts && a.ends <= k || !lasts && d.played[k].Sub(d.played[d.lastBefore(a.over)]) > keptFor {
				continue
			}
			may[a.labels] = append(may[a.labels], a.date)
			if lasts {
				must[a.labels] = a
			}
		}
		for labels, date := range stand {
			if !slices.Contains(may[labels], date) {
				x.add("after wave %d stands what nobody is to be told (any more): %s, %s; of this may stand %v", k, labels, date, may[labels])
			}
			d.counts.Alerts++
		}
		for labels, a := range must {
			if _, found := stand[labels]; !found {
				x.add("after wave %d this does not stand: %s, %s, told in wave %d", k, labels, a.date, a.wave)
			}
		}
	}
	d.counts.Posts = d.relay.posts
}

// lastBefore returns the last wave before a time.
func (d *played) lastBefore(at time.Time) int {
	k := 0
	for k+1 < len(d.plan.Waves) && d.plan.Waves[k+1].At.Before(at) {
		k++
	}
	return k
}

// alerts returns the alerts of the reference's notices.
func (d *played) alerts(want *reference.Day) []told {
	var all []told
	for n, made := range want.Notices {
		if n.Kind == "resolve" {
			continue
		}
		date, _, _ := strings.Cut(n.Period, "#")
		a := told{date: date, wave: d.waveOf(made.Now), ends: len(d.plan.Waves), over: want.Midnight(n.App, made.At)}
		name := map[string]string{"step": "TidegateGroupQuota", "forecast": "TidegateGroupQuotaForecast", "digest": "TidegateGroupQuotaLate"}[n.Kind]
		severity := map[string]string{"ok": "info", "watch": "info", "warning": "warning", "critical": "critical", "exhausted": "critical"}[n.Step]
		if a.late = n.Kind == "digest" || !made.Now.Before(a.over); a.late {
			name, severity = "TidegateGroupQuotaLate", "info"
		}
		if !a.late {
			for _, step := range []string{"ok", "watch", "warning", "critical", "exhausted"} {
				if over := want.Notices[reference.Notice{App: n.App, Period: n.Period, Kind: "resolve", Step: step}]; over != nil {
					a.ends = d.waveOf(over.Now)
				}
			}
		}
		a.labels = d.labels(n, name, severity)
		all = append(all, a)
	}
	return all
}

// labels are those of an alert, by the README.
func (d *played) labels(n reference.Notice, name, severity string) string {
	for _, app := range d.plan.Apps {
		if app.ID == n.App {
			a := alert{Labels: map[string]string{
				"alertname": name, "app": app.Name, "sdk_app_id": strconv.FormatInt(app.ID, 10), "step": n.Step, "severity": severity,
			}}
			if app.Owner != "" {
				a.Labels["owner"] = app.Owner
			}
			return a.name()
		}
	}
	return ""
}

// waveOf returns the wave that was played at a time.
func (d *played) waveOf(at time.Time) int {
	k := 0
	for k+1 < len(d.plan.Waves) && !at.Before(d.plan.Waves[k+1].At) {
		k++
	}
	return k
}
