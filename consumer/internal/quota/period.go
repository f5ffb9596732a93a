package quota

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// forecastWithin is how near exhaustion must be for a person to be told of it.
const forecastWithin = time.Hour

// Period is the state of one app: its current period and what is still needed of those
// before. The zero value is an app that nothing was heard of yet. It is a value: no
// method changes what another copy sees.
//
// Its JSON is what the database holds. Fields may be added; one that is missing reads as
// its zero value, which has to mean "not yet". Times are milliseconds since 1970.
type Period struct {
	Date     string `json:"date"`      // local date on which the period was opened; "": nothing heard yet
	Number   int    `json:"number"`    // 1 for the first period of that date, which midnight opened
	OpenedAt int64  `json:"opened_at"` // time of the alarm that opened it
	OpenedID string `json:"opened_id"` // and its id

	// The last alarm in order: what the state was moved to.
	LastAt int64  `json:"last_at"`
	LastID string `json:"last_id"`
	Used   int64  `json:"used"`
	Quota  int64  `json:"quota"`

	Entered      []schema.Severity `json:"entered,omitempty"`       // steps that alarms of the period reached
	Told         schema.Severity   `json:"told,omitempty"`          // highest step announced in the period
	Digested     schema.Severity   `json:"digested,omitempty"`      // highest step told in a digest of the period
	ForecastTold bool              `json:"forecast_told,omitempty"` // its one forecast notice was told
	Points       Points            `json:"points"`

	// What outlives the period.
	Steps     []ToldStep    `json:"steps,omitempty"`     // step notices of the last 24 h, oldest first
	Forecasts []int64       `json:"forecasts,omitempty"` // times of the forecast notices of the last 24 h
	Ended     []EndedPeriod `json:"ended,omitempty"`     // last ended periods that were told of, oldest first
}

// ToldStep is one step notice that was told.
type ToldStep struct {
	At   int64           `json:"at"`
	Step schema.Severity `json:"step"`
}

// EndedPeriod is what people know of a date whose periods are over, so that an alarm
// that arrives late is told only where it is news.
type EndedPeriod struct {
	Date  string          `json:"date"`
	Known schema.Severity `json:"known"`
}

// Key returns the period's name, by which notices are unique: its date, and from the
// second period of a date on a number: "2026-11-23", "2026-11-23#2".
func (p Period) Key() string {
	if p.Number <= 1 {
		return p.Date
	}
	return p.Date + "#" + strconv.Itoa(p.Number)
}

// Apply takes one alarm into the state of its app and returns the new state, the
// alarm's event, and the notices that follow from it. These are offers: Reduce decides,
// once for the whole batch, which of them are told, and marks it in the periods.
//
// Alarms are applied in the order of their offsets. One that is not after the last by
// (event time, alarm id) completes the state without moving it back; one of an ended
// period leaves it as it is. To apply an alarm again changes nothing.
//
// App is the alarm's app as the apps file has it now, or the file's answer for an
// unlisted one; its strings are shared with the event. Apply does not fail: quota is at
// least 1 and used at least 0, which decoding made sure of.
func (p Period) Apply(a Alarm, app *apps.App) (Period, schema.EnrichedAlarm, []Notice) {
	at, source := a.eventTime()
	event := a.enrich(app, at, source)
	step := reached(a.Quota.QuotaUsed, a.Quota.Quota, app.Steps)
	event.Severity = step.severity()

	here := position{at: at.UnixMilli(), id: a.ID}
	forward := p.Date == "" || here.compare(position{at: p.LastAt, id: p.LastID}) > 0
	if !forward && p.isBefore(here, app.Zone) {
		event.Late = true
		if step > levelOf(p.known(event.Period)) {
			return p, event, []Notice{offer(KindStep, event.Period, step.severity(), event)}
		}
		return p, event, nil
	}

	var ended Period // by this alarm; zero: none
	if forward {
		if p.endsWith(&a, at, app.Zone) {
			ended = p
			p = p.open(here, event.Period)
		}
		p.LastAt, p.LastID = here.at, here.id
		p.Used, p.Quota = a.Quota.QuotaUsed, a.Quota.Quota
	}

	p.Points = p.Points.add(Point{At: here.at, Used: a.Quota.QuotaUsed})
	if step > levelOK && !slices.Contains(p.Entered, event.Severity) {
		p.Entered = append(slices.Clip(p.Entered), event.Severity)
		event.StepEntered = true
	}
	f := forecastAt(p.Points, at, event.Remaining, dayEnd(at, app.Zone))
	f.writeTo(&event)

	var offered []Notice // from here on the event is complete
	if ended.fired() {
		offered = append(offered, offer(KindResolve, ended.Key(), levelOf(ended.Told).severity(), event))
	}
	if step > levelOf(p.Told) {
		offered = append(offered, offer(KindStep, p.Key(), event.Severity, event))
	}
	if forward && !p.ForecastTold && event.Remaining > 0 && f.isNear(at) {
		offered = append(offered, offer(KindForecast, p.Key(), event.Severity, event))
	}
	return p, event, offered
}

// isNear says whether the cap will be reached so soon that a person has to know.
func (f forecast) isNear(at time.Time) bool {
	return !f.exhaustionAt.IsZero() && f.exhaustionAt.Sub(at) < forecastWithin
}

// isBefore says whether an alarm that is not after the last belongs to a period that
// ended before this one. A period that midnight opened has the whole day, also what was
// before its first alarm; a later one of a date begins with its first alarm.
func (p Period) isBefore(here position, zone *time.Location) bool {
	if localDate(millis(here.at), zone) < localDate(millis(p.OpenedAt), zone) {
		return true
	}
	return p.Number > 1 && here.compare(position{at: p.OpenedAt, id: p.OpenedID}) < 0
}

// endsWith says whether a, which is after the last alarm, opens a new period: the first
// alarm of all, one on a later date than the period was opened on, one whose use fell by
// ten points of the cap, or one whose cap was raised. The dates are both taken in the
// zone that the app has now, so that a change of zone neither skips a midnight nor
// makes one.
func (p Period) endsWith(a *Alarm, at time.Time, zone *time.Location) bool {
	return p.Date == "" ||
		localDate(at, zone) > localDate(millis(p.OpenedAt), zone) ||
		fell(p.Used, a.Quota.QuotaUsed, a.Quota.Quota) ||
		a.Quota.Quota > p.Quota
}

// open returns the state of a new period that the alarm here opens on the local date. Its key is
// after every earlier one's: a change of zone may bring a date a second time.
func (p Period) open(here position, date string) Period {
	next := Period{
		Date:      date,
		Number:    1,
		OpenedAt:  here.at,
		OpenedID:  here.id,
		Steps:     p.Steps,
		Forecasts: p.Forecasts,
		Ended:     p.Ended,
	}
	if p.Date == "" {
		return next
	}
	if date <= p.Date {
		next.Date, next.Number = p.Date, p.Number+1
	}
	return next.remember(p.Date, max(levelOf(p.Told), levelOf(p.Digested)))
}

// fired says whether a notice was told that the period's end has to take back.
func (p Period) fired() bool { return levelOf(p.Told) > levelOK || p.ForecastTold }

// maxEnded bounds how many ended periods are remembered: a week, and the day on which
// somebody looks into it.
const maxEnded = 8

// known returns the highest step that people were told of an ended period's date.
func (p Period) known(date string) schema.Severity {
	for _, ended := range p.Ended {
		if ended.Date == date {
			return ended.Known
		}
	}
	return schema.SeverityOK
}

// remember returns the state in which people know that the step was reached on date.
func (p Period) remember(date string, step level) Period {
	if step <= levelOf(p.known(date)) {
		return p
	}
	ended := make([]EndedPeriod, 0, maxEnded+1)
	for _, e := range p.Ended {
		if e.Date != date {
			ended = append(ended, e)
		}
	}
	ended = append(ended, EndedPeriod{Date: date, Known: step.severity()})
	slices.SortFunc(ended, func(a, b EndedPeriod) int { return strings.Compare(a.Date, b.Date) })
	p.Ended = ended[max(0, len(ended)-maxEnded):]
	return p
}
