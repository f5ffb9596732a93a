//go:build linux

package drive

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Patience is how long a loop on schedule waits at its end for what is still due: as long as the
// vendor waits for an answer.
const Patience = 2 * time.Second

// longest is the largest latency that is told apart, in microseconds.
const longest = 60_000_000

// Schedule says when arrivals are due: number i at Begin + i/Rate. Nothing is summed up, so it does
// not drift, and nothing that the server does moves it.
type Schedule struct {
	Begin time.Time
	Rate  float64 // a second
}

// Due is when arrival i is due.
func (s Schedule) Due(i int64) time.Time {
	return s.Begin.Add(time.Duration(float64(i) / s.Rate * float64(time.Second)))
}

// First is the number of the first arrival that is due at t or later.
func (s Schedule) First(t time.Time) int64 {
	i := max(0, int64(t.Sub(s.Begin).Seconds()*s.Rate)-1) // one early: rounding
	for s.Due(i).Before(t) {
		i++
	}
	return i
}

// Span is what of a run counts, from warm-up to the end: To is not in it.
type Span struct{ From, To time.Time }

// Has says whether t is in the span. The zero Span has none.
func (s Span) Has(t time.Time) bool { return !t.Before(s.From) && t.Before(s.To) }

// NewLatencies returns an empty histogram of microseconds, up to a minute.
func NewLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

// Record adds one latency to a histogram of NewLatencies. More than a minute counts as that.
func Record(h *hdrhistogram.Histogram, took time.Duration) {
	_ = h.RecordValue(min(took.Microseconds(), longest)) // in range by the min
}
