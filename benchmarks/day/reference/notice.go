package reference

import (
	"slices"
	"time"
)

// tell decides what people are told of an app after a batch: that periods are over, the
// highest new step that is news, a forecast, and in one digest what is no news any more.
func (d *Day) tell(s *state, offers []*offer, now time.Time) {
	var step, forecast *offer
	var stale []*offer
	for _, o := range offers {
		news := o.period == s.name() && o.alarm.event["late"] == false && now.Sub(o.alarm.at) <= 15*time.Minute
		switch {
		case o.kind == "resolve":
			d.made(s, "resolve", o, now)
		case o.kind == "forecast":
			if news {
				forecast = o
			}
		case !news:
			stale = append(stale, o)
		case step == nil || o.rank > step.rank:
			step = o
		}
	}
	if step != nil && step.rank > s.told && s.hasRoom(step.rank, now) {
		s.told = step.rank
		s.steps = append(s.steps, toldStep{now, step.rank})
		d.made(s, "step", step, now)
	}
	if forecast != nil && s.forecastsTold == 0 {
		s.forecasts = slices.DeleteFunc(s.forecasts, func(at time.Time) bool { return now.Sub(at) >= 24*time.Hour })
		if len(s.forecasts) < 8 {
			s.forecastsTold++
			s.forecasts = append(s.forecasts, now)
			d.made(s, "forecast", forecast, now)
		}
	}
	d.digest(s, stale, now)
}

// hasRoom says whether there is room for a notice of the step: eight a day, of which one is
// kept for each higher step.
func (s *state) hasRoom(rank int, now time.Time) bool {
	for upTo := rank; upTo <= 4; upTo++ {
		told := 0
		for _, t := range s.steps {
			if t.rank <= upTo && now.Sub(t.at) < 24*time.Hour {
				told++
			}
		}
		if told >= 8-(4-upTo) {
			return false
		}
	}
	return true
}

// digest tells of the highest step among those that are no news, if people do not know of it.
func (d *Day) digest(s *state, stale []*offer, now time.Time) {
	var highest *offer
	for _, o := range stale {
		if o.rank > s.known(o) && (highest == nil || o.rank > highest.rank) {
			highest = o
		}
	}
	if highest == nil {
		return
	}
	for _, o := range stale {
		if o.period == s.name() {
			s.digested = max(s.digested, o.rank)
		} else {
			s.remember(s.date(o.alarm.at), o.rank)
		}
	}
	d.made(s, "digest", highest, now)
}

// known returns the highest step that people know of an offer's period.
func (s *state) known(o *offer) int {
	if o.period == s.name() {
		return max(s.told, s.digested)
	}
	return s.ended[s.date(o.alarm.at)]
}

// made notes a notice; the same one made again is the same one.
func (d *Day) made(s *state, kind string, o *offer, now time.Time) {
	n := Notice{s.ID, o.period, kind, names[o.rank]}
	if d.Notices[n] == nil {
		d.Notices[n] = &Made{AlarmID: o.alarm.id, At: o.alarm.at, Now: now}
	}
}
