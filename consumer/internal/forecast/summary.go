package forecast

import (
	"math"
	"slices"
	"time"
)

// Summary says how early and how exactly exhaustion was predicted over some periods. Medians of
// nothing are NaN.
type Summary struct {
	Periods   int
	Exhausted int // of the periods

	Alarms    int // before exhaustion, of the periods that were exhausted
	Forecasts int // of these alarms, that said when
	Wrong     int // alarms that said when in periods that were not exhausted

	First time.Duration // median time from a period's first forecast to its exhaustion; 0 for one without a forecast
	Told  time.Duration // the same from when a person was told that it is near; 0 where nobody was

	// Median of how far off the predicted time was, over all forecasts, in minutes.
	Error, NaiveError float64
}

// Ratio is the error over that of the naive rule.
func (s *Summary) Ratio() float64 { return s.Error / s.NaiveError }

// MaxRatio is what Ratio must not exceed.
const MaxRatio = 0.5

// Holds says whether the forecasts are as much better than the naive rule as they have to be.
func (s *Summary) Holds() bool { return s.Ratio() <= MaxRatio }

// Summarize sums up periods.
func Summarize(runs []Run) Summary {
	s := Summary{Periods: len(runs)}
	var first, told, off, naive []float64
	for i := range runs {
		r := &runs[i]
		if r.Exhausted.IsZero() {
			s.Wrong += len(r.Forecasts)
			continue
		}
		s.Exhausted++
		s.Alarms += r.Alarms
		s.Forecasts += len(r.Forecasts)
		first, told = append(first, 0), append(told, 0)
		if len(r.Forecasts) > 0 {
			first[len(first)-1] = float64(r.Exhausted.Sub(r.Forecasts[0].At))
		}
		if !r.ToldAt.IsZero() {
			told[len(told)-1] = float64(r.Exhausted.Sub(r.ToldAt))
		}
		for _, f := range r.Forecasts {
			off = append(off, f.Quota.Sub(r.Exhausted).Abs().Minutes())
			naive = append(naive, f.Naive.Sub(r.Exhausted).Abs().Minutes())
		}
	}
	s.Error, s.NaiveError = median(off), median(naive)
	if s.Exhausted > 0 {
		s.First, s.Told = time.Duration(median(first)), time.Duration(median(told))
	}
	return s
}

// median returns the middle of the values, which it sorts: of an even number the lower one of
// the two; of none NaN.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
