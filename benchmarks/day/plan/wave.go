package plan

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// How old news is when it is sent, and how far ahead of the clock. What is late is half an hour
// old at least.
const (
	newsAge   = 7 * time.Minute
	newsAhead = 4 * time.Minute
	halfHour  = 30 * time.Minute
)

// wave returns n callbacks of an app in one wave, in order. The first is news.
func (g *generator) wave(app *App, at time.Time, n int) []Call {
	if at.Before(app.silent) {
		calls := make([]Call, n) // below 70 % there is nothing but repeats
		for i := range calls {
			calls[i] = g.repeat(app)
		}
		return calls
	}
	g.walk(app, at)
	kinds := g.kinds(n)
	news := g.news(app, at, count(kinds, KindNews))
	late := g.late(app, at, count(kinds, KindLate))
	var calls []Call
	for _, kind := range kinds {
		var c Call
		switch kind {
		case KindNews:
			c, news = news[0], news[1:]
		case KindLate:
			c, late = late[0], late[1:]
		case KindRepeated:
			c = g.repeat(app)
		case KindMalformed:
			c = g.malformed(app, at)
		}
		c.ClientIP = []string{"203.0.113.9", "2001:db8::7", ""}[g.random.IntN(3)]
		c.Platform = []string{"RESTAPI", "iOS", "Android", "Web", ""}[g.random.IntN(5)]
		calls = append(calls, c)
	}
	app.sentNews = true
	return calls
}

// kinds decides what n callbacks are.
func (g *generator) kinds(n int) []Kind {
	kinds := []Kind{KindNews}
	for len(kinds) < n {
		kind, draw := KindNews, g.random.Float64()
		switch {
		case draw < shareMalformed:
			kind = KindMalformed
		case draw < shareMalformed+shareRepeated:
			kind = KindRepeated
		case draw < shareMalformed+shareRepeated+shareLate:
			kind = KindLate
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

func count(kinds []Kind, kind Kind) int {
	n := 0
	for _, k := range kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// walk decides where the app stands in this wave.
func (g *generator) walk(app *App, at time.Time) {
	if app.profile == steady {
		app.rank = 1
		return
	}
	draw := g.random.Float64()
	switch {
	case !app.reset && !at.Before(vendorMidnight):
		app.reset = true
		app.rank = 0
	case app.profile == swinging && draw < 0.45:
		app.rank = max(0, app.rank-2)
	case app.profile == rising && draw < 0.05:
		app.rank = g.random.IntN(2)
	case draw < 0.06: // a higher cap
		app.quota += app.quota / 2
		app.rank = g.random.IntN(2)
	case draw < 0.75 && app.profile == swinging, draw < 0.30:
		app.rank = min(4, app.rank+1+g.random.IntN(2))
	case draw < 0.31:
		app.silent = at.Add(90 * time.Minute) // from the next wave on
	}
}

// news returns n alarms of now, in the order in which they are sent: the earliest first, then a
// few out of order.
func (g *generator) news(app *App, at time.Time, n int) []Call {
	from, to := at.Add(-newsAge), at.Add(newsAhead)
	first, beforeMidnight := from, false
	knownStep := app.profile == steady && app.sentNews
	if at.Equal(startOfDay(at, app.Zone)) && !knownStep {
		if app.ID%2 == 0 {
			to, beforeMidnight = at.Add(-time.Millisecond), true
		} else {
			from, first = at, at
		}
	}
	low, high := app.band(app.rank)
	if app.profile == steady {
		high = low + 0.5
	}
	start := low + g.random.Float64()*(high-low)*0.7
	end := start + g.random.Float64()*(high-start)
	if g.random.IntN(4) == 0 {
		start, end = end, start // groups are dissolved
	}
	calls := make([]Call, n)
	for i, t := range g.times(n, from, to) {
		if i == 0 {
			t = first // the earliest of all
		}
		percent := start + (end-start)*float64(i+1)/float64(n)
		used := app.groups(percent+(g.random.Float64()-0.5)*0.1, low, high)
		draw := g.random.Float64()
		repeats := true
		event := t
		switch {
		case i == 0 || beforeMidnight:
		case draw < shareUndated:
			event, repeats = time.Time{}, false // without a time, a second copy would be another alarm
		case draw < shareUndated+shareAhead:
			event = []time.Time{at.Add(7 * time.Minute).Add(t.Sub(from)), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).Add(t.Sub(begin))}[g.random.IntN(2)]
		}
		calls[i] = Call{App: app, Kind: KindNews, Body: g.body(used, app.quota, event)}
		if repeats {
			app.sent = append(app.sent, calls[i])
		}
	}
	for i := 1; i+1 < n; i++ {
		if g.random.Float64() < 0.1 {
			calls[i], calls[i+1] = calls[i+1], calls[i]
		}
	}
	app.sent = app.sent[max(0, len(app.sent)-200):]
	return calls
}

// groups returns the number of groups at a percentage of the cap, within low and high and above
// 70 %.
func (a *App) groups(percent, low, high float64) int64 {
	percent = min(max(percent, low), high)
	used := int64(percent * float64(a.quota) / 100)
	for float64(used)*100 < low*float64(a.quota) {
		used++
	}
	for float64(used)*100 >= high*float64(a.quota) {
		used--
	}
	return used
}

// startOfDay returns midnight before at, or at itself.
func startOfDay(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, zone)
}

// late returns n alarms that were long on their way: all of one date, one step and one period.
// Periods begin 7 minutes before a half hour or at a midnight, so none does within the three
// minutes before a half hour.
func (g *generator) late(app *App, at time.Time, n int) []Call {
	latest := at.Add(-time.Duration(1+g.random.IntN(6)) * halfHour)
	if g.random.IntN(3) == 0 {
		latest = at.Add(-time.Duration(1+g.random.IntN(50)) * halfHour) // mostly of yesterday
	}
	rank := min(4, g.random.IntN(app.rank+2)) // mostly no news
	if app.profile == steady {
		rank = 1
	}
	low, high := app.band(rank)
	calls := make([]Call, n)
	for i := range calls {
		used := app.groups(low+g.random.Float64()*(high-low), low, high)
		calls[i] = Call{App: app, Kind: KindLate, Body: g.body(used, app.quota, g.between(latest.Add(-3*time.Minute), latest.Add(-time.Millisecond)))}
	}
	return calls
}

// repeat returns a callback that came before, as the vendor sends one again.
func (g *generator) repeat(app *App) Call {
	c := app.sent[g.random.IntN(len(app.sent))]
	c.Kind = KindRepeated
	return c
}

// body writes an alarm as the vendor does: EventTime as a number or as a string, and sometimes
// with fields that nobody knows. The zero time: without.
func (g *generator) body(used, quota int64, event time.Time) []byte {
	text := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":%d,"Quota":%d`, used, quota)
	millis := strconv.FormatInt(event.UnixMilli(), 10)
	switch {
	case event.IsZero():
	case g.random.IntN(3) == 0:
		text += `,"EventTime":` + millis
	default:
		text += `,"EventTime":"` + millis + `"`
	}
	if g.random.IntN(10) == 0 {
		text += `,"GroupTypes":{"Public":[1,2,{"x":null}],"说明":"群组"}`
	}
	return []byte(text + "}")
}

// malformed returns a callback whose body is of no use, in one of the ways known.
func (g *generator) malformed(app *App, at time.Time) Call {
	good := string(g.body(app.quota*3/4, app.quota, at))
	open := good[:len(good)-1]
	ways := []struct{ reason, body string }{
		{"bad_json", open},
		{"bad_json", good + " {}"},
		{"bad_json", good + " // a comment"},
		{"bad_json", "[" + good + "]"},
		{"bad_json", "\xef\xbb\xbf" + good},
		{"duplicate_key", open + `,"Quota":7}`},
		{"duplicate_key", open + `,"Extra":[{"a":1,"\u0061":2}]}`},
		{"bad_utf8", open + ",\"Name\":\"\xff\xfe\"}"},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":-1,"Quota":10000}`},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7100.5,"Quota":10000}`},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7100,"Quota":"10000"}`},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7100,"Quota":0}`},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7100,"Quota":10000,"EventTime":1792857600}`},
		{"bad_field", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7100,"Quota":10000,"EventTime":null}`},
		{"bad_field", `{"QuotaUsed":7100,"Quota":10000}`},
		{"command_mismatch", `{"CallbackCommand":"State.StateChange","QuotaUsed":7100,"Quota":10000}`},
		{"too_large", open + `,"Deep":` + nested(80) + "}"},
	}
	way := ways[g.random.IntN(len(ways))]
	return Call{App: app, Kind: KindMalformed, Body: []byte(way.body), Reason: way.reason}
}

func nested(depth int) string {
	return string(slices.Repeat([]byte("["), depth)) + string(slices.Repeat([]byte("]"), depth))
}
