package quota

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tidegate/tidegate/schema"
)

const (
	// rateWindow is how far back the points reach that a rate is computed from.
	rateWindow = 30 * time.Minute

	// maxPoints bounds the points of a period's row.
	maxPoints = 60

	// pointSpacing is the part of the window that one point stands for: of a busy app,
	// which may call several times a second, only the latest point of each is kept, or
	// sixty points would span less than the time that a rate needs.
	pointSpacing = rateWindow / maxPoints

	// A rate needs this many points over this long.
	minPoints = 3
	minSpan   = 5 * time.Minute
)

// add returns the points with one more, in order of time, and without what is older
// than the window before the newest or of the same spacing as a later one. Which points
// are left does not depend on the order in which they came. The receiver is not
// changed: two periods may share it.
func (p Points) add(point Point) Points {
	i, _ := slices.BinarySearchFunc(p, point, comparePoints)
	if i < len(p) && slotOf(p[i]) == slotOf(point) {
		return p // a later one stands for this time, or this very point
	}
	keep := p[:i]
	if i > 0 && slotOf(p[i-1]) == slotOf(point) {
		keep = p[:i-1]
	}
	points := make(Points, 0, len(keep)+1+len(p)-i)
	points = append(append(append(points, keep...), point), p[i:]...)
	return points.window(points[len(points)-1].At)
}

// comparePoints orders by time; of one time, the higher use counts as the later.
func comparePoints(a, b Point) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Used, b.Used))
}

// slotOf returns which stretch of pointSpacing a point falls into.
func slotOf(p Point) int64 { return p.At / pointSpacing.Milliseconds() }

// window returns the points of the window that ends at ms, a part of the receiver.
func (p Points) window(ms int64) Points {
	from, _ := slices.BinarySearchFunc(p, ms-rateWindow.Milliseconds(), func(q Point, ms int64) int {
		return cmp.Compare(q.At, ms)
	})
	to, _ := slices.BinarySearchFunc(p, ms+1, func(q Point, ms int64) int { return cmp.Compare(q.At, ms) })
	return p[max(from, to-maxPoints):to]
}

// perHour returns the slope of the line of least squares through the points, in groups
// an hour, and whether there are enough of them.
func (p Points) perHour() (slope float64, ok bool) {
	if len(p) < minPoints || p[len(p)-1].At-p[0].At < minSpan.Milliseconds() {
		return 0, false
	}
	// Relative to the last point, so that float64 keeps what matters.
	last := p[len(p)-1]
	x := func(q Point) float64 { return float64(q.At-last.At) / float64(time.Hour.Milliseconds()) }
	y := func(q Point) float64 { return float64(q.Used - last.Used) }

	var meanX, meanY float64
	for _, q := range p {
		meanX += x(q) / float64(len(p))
		meanY += y(q) / float64(len(p))
	}
	var xy, xx float64
	for _, q := range p {
		xy += (x(q) - meanX) * (y(q) - meanY)
		xx += (x(q) - meanX) * (x(q) - meanX)
	}
	return xy / xx, true // xx > 0: the points span minSpan
}

// forecast is what follows from a rate.
type forecast struct {
	basis        schema.ForecastBasis
	perHour      *float64  // rounded to 2 decimals; nil: unknown
	exhaustionAt time.Time // zero: unknown, or not in this period
}

// forecastAt returns when remaining groups will be used up, as of at, if before end, at
// the rate of the points. With nothing remaining that is at itself.
func forecastAt(points Points, at time.Time, remaining int64, end time.Time) forecast {
	slope, ok := points.window(at.UnixMilli()).perHour()
	if !ok {
		return forecast{basis: schema.ForecastTooFew}
	}
	rounded := math.Round(slope*100)/100 + 0 // + 0: there is no -0 an hour
	f := forecast{basis: schema.ForecastNotRising, perHour: &rounded}
	if rounded <= 0 {
		return f
	}
	f.basis = schema.ForecastNotToday
	wait := math.Round(float64(remaining) / slope * float64(time.Hour.Milliseconds()))
	if wait < float64(end.Sub(at).Milliseconds()) {
		f.basis = schema.ForecastTrend
		f.exhaustionAt = at.Add(time.Duration(wait) * time.Millisecond)
	}
	return f
}

// writeTo fills in the event's fields.
func (f forecast) writeTo(event *schema.EnrichedAlarm) {
	event.ForecastBasis = f.basis
	event.RatePerHour = f.perHour
	if !f.exhaustionAt.IsZero() {
		at := schema.FormatTime(f.exhaustionAt)
		event.ExhaustionAt = &at
	}
}
