package forecast

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// Alarm is what one quota alarm said.
type Alarm struct {
	At    time.Time
	Used  int64
	Quota int64 // at least 1
}

// Run is one period as it was played.
type Run struct {
	Period    string    // quota's key of it
	Alarms    int       // before the cap was reached, or all
	Exhausted time.Time // when the first alarm said that the cap was reached; zero: never

	Forecasts []Forecast // one for each of the Alarms that had one, in order
	ToldAt    time.Time  // when a person was told that exhaustion is near; zero: not before it
}

// Forecast is what was predicted at one alarm.
type Forecast struct {
	At    time.Time
	Quota time.Time // by the rules of quota
	Naive time.Time // by the average since the period's start
}

// Play plays the alarms of one app, in order of time, and returns the periods that quota saw in
// them. Zone is the app's, whose midnight begins a period.
func Play(alarms []Alarm, zone *time.Location) []Run {
	alarms = slices.Clone(alarms)
	slices.SortStableFunc(alarms, func(a, b Alarm) int { return a.At.Compare(b.At) })
	p := player{app: &apps.App{ID: 1, Zone: zone, Registered: true, Steps: apps.Steps{Watch: 70, Warning: 80, Critical: 90, Exhausted: 100}}}
	for i := range alarms {
		p.play(&alarms[i], uint64(i+1))
	}
	return p.runs
}

// player is Play at work.
type player struct {
	app   *apps.App
	state quota.Period
	runs  []Run
}

// play takes one alarm, the nth, through the rules as the consumer does, at once.
func (p *player) play(a *Alarm, n uint64) {
	c := schema.Callback{
		ID: schema.CallbackID{Journal: 1, LSN: n}, AppID: p.app.ID, Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: a.At,
	}
	q := schema.QuotaAlarm{QuotaUsed: a.Used, Quota: a.Quota, EventTime: a.At}
	next, event, offered := p.state.Apply(quota.Alarm{ID: schema.AlarmID(&c, &q), Callback: c, Quota: q}, p.app)
	periods := map[int64]quota.Period{p.app.ID: next}
	told := quota.Reduce(periods, offered, a.At)
	p.state = periods[p.app.ID]

	if len(p.runs) == 0 || p.runs[len(p.runs)-1].Period != p.state.Key() {
		p.runs = append(p.runs, Run{Period: p.state.Key()})
	}
	run := &p.runs[len(p.runs)-1]
	if !run.Exhausted.IsZero() {
		return
	}
	if event.Remaining == 0 {
		run.Exhausted = a.At
		return
	}
	run.Alarms++
	if slices.ContainsFunc(told, func(n quota.Notice) bool { return n.Kind == quota.KindForecast }) {
		run.ToldAt = a.At
	}
	if event.ExhaustionAt == nil {
		return
	}
	at, _ := schema.ParseTime([]byte(*event.ExhaustionAt)) // quota wrote it
	run.Forecasts = append(run.Forecasts, Forecast{At: a.At, Quota: at, Naive: p.naive(a)})
}

// naive predicts that use goes on as it was on average since the period's start: midnight, or
// for a later period of a date the alarm that opened it.
func (p *player) naive(a *Alarm) time.Time {
	year, month, day := a.At.In(p.app.Zone).Date()
	start := time.Date(year, month, day, 0, 0, 0, 0, p.app.Zone)
	if p.state.Number > 1 {
		start = time.UnixMilli(p.state.OpenedAt)
	}
	perUnit := float64(a.At.Sub(start)) / float64(max(1, a.Used))
	return a.At.Add(time.Duration(float64(a.Quota-a.Used) * perUnit))
}
