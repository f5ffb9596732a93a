package quota

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/schema"
)

const (
	// maxTold bounds the step notices of one app in tellWindow, and its forecast
	// notices: an app whose use swings opens a period with every swing.
	maxTold    = 8
	tellWindow = 24 * time.Hour
)

// Kind is what a notice says.
type Kind string

// The kinds of notices.
const (
	KindStep     Kind = "step"     // the app reached Step, just now
	KindForecast Kind = "forecast" // the cap will be reached within the hour
	KindDigest   Kind = "digest"   // the app had reached Step: only heard of now, or the period is over
	KindResolve  Kind = "resolve"  // the period is over; Step was the highest announced in it
)

// Notice is one message to a person. It is unique by AppID, Period, Kind and Step, and
// so is its row: the same notice made again is the same one.
type Notice struct {
	AppID  int64           `json:"app_id"`
	Period string          `json:"period"` // Period.Key; of a digest about a period that is over the date only
	Kind   Kind            `json:"kind"`
	Step   schema.Severity `json:"step"`  // of a forecast: where the app stands now
	Count  int             `json:"count"` // alarms that it stands for: 1, but for a digest

	// Alarm is the alarm that made it, with all facts to show: the first that reached
	// the step, or the one that opened the next period.
	Alarm schema.EnrichedAlarm `json:"alarm"`
}

// offer returns a notice for event.
func offer(kind Kind, period string, step schema.Severity, event schema.EnrichedAlarm) Notice {
	return Notice{AppID: event.SdkAppID, Period: period, Kind: kind, Step: step, Count: 1, Alarm: event}
}

// Reduce decides which of the notices that a batch's alarms offered are told, in the
// order of the apps' first offers, and marks it in periods, which holds every app of
// the batch in its new state and is saved with the notices or not at all.
//
// Of each app it tells the highest new step that is news, and one digest for the steps
// that are not: reached more than 15 minutes before receipt or before now, or in a
// period that is over. A step that finds no room among the app's eight notices in 24
// hours is not lost: the next alarm in it offers it again.
func Reduce(periods map[int64]Period, offered []Notice, now time.Time) []Notice {
	var order []int64
	byApp := make(map[int64][]*Notice)
	for i := range offered {
		n := &offered[i]
		if _, seen := byApp[n.AppID]; !seen {
			order = append(order, n.AppID)
		}
		byApp[n.AppID] = append(byApp[n.AppID], n)
	}
	var told []Notice
	for _, app := range order {
		r := reduction{p: periods[app], now: now}
		told = append(told, r.run(byApp[app])...)
		periods[app] = r.p
	}
	return told
}

// reduction is Reduce for one app.
type reduction struct {
	p    Period
	now  time.Time
	told []Notice
}

// run tells what is to be told of the notices offered for the app: resolves first, so
// that what they end is not taken for what begins.
func (r *reduction) run(offered []*Notice) []Notice {
	var step, forecast *Notice
	var stale []*Notice
	for _, n := range offered {
		switch {
		case n.Kind == KindResolve:
			r.told = append(r.told, *n)
		case n.Kind == KindForecast:
			if r.isNews(n) {
				forecast = n // the last knows most
			}
		case !r.isNews(n):
			stale = append(stale, n)
		case step == nil || levelOf(n.Step) > levelOf(step.Step):
			step = n
		}
	}
	r.tellStep(step)
	r.tellForecast(forecast)
	r.tellDigest(stale)
	return r.told
}

// isNews says whether a notice is of the period that is current after the batch, and of
// an alarm that was young both at receipt and now.
func (r *reduction) isNews(n *Notice) bool {
	at, ok := schema.ParseTime([]byte(n.Alarm.EventTime))
	return ok && n.Period == r.p.Key() && !n.Alarm.Late && r.now.Sub(at) <= maxAge
}

// tellStep announces the highest new step, if the app has room for it.
func (r *reduction) tellStep(n *Notice) {
	if n == nil || levelOf(n.Step) <= levelOf(r.p.Told) || !r.hasRoom(levelOf(n.Step)) {
		return
	}
	r.p.Told = n.Step
	r.p.Steps = append(slices.Clip(r.p.Steps), ToldStep{At: r.now.UnixMilli(), Step: n.Step})
	r.told = append(r.told, *n)
}

// hasRoom drops what is older than a day from the app's step notices and says whether
// there is room for one of the step. Of the eight, one is kept for each higher step, told
// or not: swings between lower steps must not use up the notice that says that the quota
// is gone. So a step that is higher than all that were told within the day always has
// room.
func (r *reduction) hasRoom(step level) bool {
	r.p.Steps = slices.DeleteFunc(slices.Clone(r.p.Steps), func(t ToldStep) bool { return !r.isRecent(t.At) })
	for upTo := step; upTo < numLevels; upTo++ {
		told := 0
		for _, t := range r.p.Steps {
			if levelOf(t.Step) <= upTo {
				told++
			}
		}
		if kept := int(levelExhausted - upTo); told >= maxTold-kept {
			return false
		}
	}
	return true
}

// isRecent says whether ms is within a day of now, on either side: a time that a wrong
// clock put far ahead must not count for ever.
func (r *reduction) isRecent(ms int64) bool {
	return r.now.Sub(millis(ms)).Abs() < tellWindow
}

// tellForecast announces the period's one forecast.
func (r *reduction) tellForecast(n *Notice) {
	if n == nil || r.p.ForecastTold {
		return
	}
	r.p.Forecasts = slices.DeleteFunc(slices.Clone(r.p.Forecasts), func(ms int64) bool { return !r.isRecent(ms) })
	if len(r.p.Forecasts) >= maxTold {
		return
	}
	r.p.ForecastTold = true
	r.p.Forecasts = append(r.p.Forecasts, r.now.UnixMilli())
	r.told = append(r.told, *n)
}

// tellDigest tells, in one notice with the highest of them, of all steps among the stale
// notices that nobody was told of yet.
func (r *reduction) tellDigest(stale []*Notice) {
	var digest *Notice
	count := 0
	for _, n := range stale {
		if levelOf(n.Step) <= r.known(n) {
			continue
		}
		count++
		if digest == nil || levelOf(n.Step) > levelOf(digest.Step) {
			digest = n
		}
	}
	if digest == nil {
		return
	}
	for _, n := range stale {
		r.remember(n)
	}
	n := *digest
	n.Kind, n.Count = KindDigest, count
	r.told = append(r.told, n)
}

// known returns the highest step that people know of the notice's period.
func (r *reduction) known(n *Notice) level {
	if n.Period == r.p.Key() {
		return max(levelOf(r.p.Told), levelOf(r.p.Digested))
	}
	return levelOf(r.p.known(n.Alarm.Period))
}

// remember marks the notice's step as known of its period.
func (r *reduction) remember(n *Notice) {
	step := levelOf(n.Step)
	if n.Period != r.p.Key() {
		r.p = r.p.remember(n.Alarm.Period, step)
		return
	}
	r.p.Digested = max(step, levelOf(r.p.Digested)).severity()
}
