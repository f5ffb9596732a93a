package reference

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// alarm is one alarm on its way through an app's state.
type alarm struct {
	body
	id       string
	at       time.Time // as the state uses it
	source   string    // of at: vendor or receipt
	received time.Time
	event    map[string]any // filled in as more is known
}

// isAfter says whether a comes after another in the order by time and id.
func (a *alarm) isAfter(b *alarm) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) > 0
}

// state is what is known of an app.
type state struct {
	App
	period

	ended     map[string]int // by date: the highest step that people were told of a period that is over
	steps     []toldStep     // step notices
	forecasts []time.Time    // forecast notices
}

// period is what begins anew with a period.
type period struct {
	opened, last  *alarm // nil: nothing was heard of the app
	day           string // date of its name
	number        int    // how many periods that date has, this one included
	entered       [5]bool
	told          int // highest step announced
	digested      int // highest step told of in a digest
	forecastsTold int
	points        []point
}

type point struct {
	at   time.Time
	used int64
}

type toldStep struct {
	at   time.Time
	rank int
}

// offer is something that an alarm gives people to know; whether they are told is decided at
// the end of the batch.
type offer struct {
	kind   string
	period string
	rank   int
	alarm  *alarm
}

func (s *state) date(at time.Time) string { return at.In(s.Zone).Format(dateForm) }

// name is the period's, by which notices go.
func (s *state) name() string {
	if s.number <= 1 {
		return s.day
	}
	return s.day + "#" + strconv.Itoa(s.number)
}

// rank returns the highest step at or above which an alarm stands.
func (s *state) rank(a *alarm) int {
	rank := 0
	for i, percent := range []float64{s.Steps.Watch, s.Steps.Warning, s.Steps.Critical, s.Steps.Exhausted} {
		if a.used*10_000 >= a.quota*int64(math.Round(percent*100)) {
			rank = i + 1
		}
	}
	return rank
}

// take moves the state by one alarm, completes its event and returns what there is to tell.
func (s *state) take(a *alarm) []*offer {
	rank, date := s.rank(a), s.date(a.at)
	forward := s.last == nil || a.isAfter(s.last)
	if !forward {
		opened := s.date(s.opened.at)
		if date < opened || s.number > 1 && s.opened.isAfter(a) {
			a.event["late"] = true
			if rank > s.ended[date] {
				return []*offer{{"step", date, rank, a}}
			}
			return nil
		}
	}
	var offers []*offer
	if forward {
		if s.isOver(a, date) {
			if s.told > 0 || s.forecastsTold > 0 {
				offers = append(offers, &offer{"resolve", s.name(), s.told, a})
			}
			s.begin(a, date)
		}
		s.last = a
	}
	s.points = append(s.points, point{a.at, a.used})
	if rank > 0 && !s.entered[rank] {
		s.entered[rank] = true
		a.event["step_entered"] = true
	}
	full := s.forecast(a)
	if rank > s.told {
		offers = append(offers, &offer{"step", s.name(), rank, a})
	}
	if forward && s.forecastsTold == 0 && a.used < a.quota && !full.IsZero() && full.Sub(a.at) < time.Hour {
		offers = append(offers, &offer{"forecast", s.name(), rank, a})
	}
	return offers
}

// isOver says whether an alarm in order is of another period than the one before.
func (s *state) isOver(a *alarm, date string) bool {
	if s.last == nil {
		return true
	}
	fall := s.last.used - a.used
	return date > s.date(s.opened.at) || fall > 0 && 10*fall >= a.quota || a.quota > s.last.quota
}

// begin begins a period.
func (s *state) begin(a *alarm, date string) {
	next := period{opened: a, day: date, number: 1}
	if s.last != nil {
		if date <= s.day {
			next.day, next.number = s.day, s.number+1
		}
		s.remember(s.day, max(s.told, s.digested))
	}
	s.period = next
}

// remember notes what people know of a date that is over, of the last eight such dates.
func (s *state) remember(date string, rank int) {
	if rank <= s.ended[date] {
		return
	}
	s.ended[date] = rank
	if len(s.ended) > 8 {
		oldest := date
		for d := range s.ended {
			oldest = min(oldest, d)
		}
		delete(s.ended, oldest)
	}
}

// forecast writes rate and forecast into the event, and returns when the cap is reached.
func (s *state) forecast(a *alarm) time.Time {
	newest := s.points[0].at
	for _, p := range s.points {
		if p.at.After(newest) {
			newest = p.at
		}
	}
	s.points = slices.DeleteFunc(s.points, func(p point) bool { return p.at.Before(newest.Add(-30 * time.Minute)) })
	last := map[int64]point{} // of each half minute
	for _, p := range s.points {
		slot := p.at.UnixMilli() / 30_000
		if q, found := last[slot]; found && (q.at.After(p.at) || q.at.Equal(p.at) && q.used >= p.used) {
			continue
		}
		last[slot] = p
	}
	var points []point
	for _, p := range last {
		points = append(points, p)
	}
	slices.SortFunc(points, func(p, q point) int { return p.at.Compare(q.at) })
	points = points[max(0, len(points)-60):]
	points = slices.DeleteFunc(points, func(p point) bool { return p.at.After(a.at) || p.at.Before(a.at.Add(-30*time.Minute)) })
	if len(points) < 3 || points[len(points)-1].at.Sub(points[0].at) < 5*time.Minute {
		return time.Time{}
	}
	slope := leastSquares(points)
	rounded := math.Round(slope*100)/100 + 0 // no -0
	a.event["rate_per_hour"] = rounded
	if rounded <= 0 {
		a.event["forecast_basis"] = "not_rising"
		return time.Time{}
	}
	a.event["forecast_basis"] = "not_today"
	millis := math.Round(float64(max(0, a.quota-a.used)) / slope * 3_600_000)
	if millis >= float64(s.midnight(a.at).Sub(a.at).Milliseconds()) {
		return time.Time{}
	}
	full := a.at.Add(time.Duration(millis) * time.Millisecond)
	a.event["forecast_basis"] = "trend"
	a.event["exhaustion_at"] = full.Format(timeForm)
	return full
}

// leastSquares returns the slope, in groups an hour, of the line that fits the points best.
func leastSquares(points []point) float64 {
	var n, sumX, sumY, sumXY, sumXX float64
	for _, p := range points {
		x, y := p.at.Sub(points[0].at).Hours(), float64(p.used-points[0].used)
		n, sumX, sumY, sumXY, sumXX = n+1, sumX+x, sumY+y, sumXY+x*y, sumXX+x*x
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}

// midnight returns when the day of at is over in the app's zone: the first second of the next
// date, looked for from hour to hour, as a day has 23 to 25 of them.
func (s *state) midnight(at time.Time) time.Time {
	date := s.date(at)
	end := at.Truncate(time.Second)
	for _, step := range []time.Duration{time.Hour, time.Minute, time.Second} {
		for s.date(end.Add(step)) == date {
			end = end.Add(step)
		}
	}
	return end.Add(time.Second)
}

// Midnight returns when the day of at is over for an app.
func (d *Day) Midnight(app int64, at time.Time) time.Time { return d.apps[app].midnight(at) }
