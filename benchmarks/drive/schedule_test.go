//go:build linux

package drive

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Arrivals are evenly spaced from the beginning on and do not drift; First finds the first of
// them at or after any time.
func TestSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Schedule{Begin: time.Unix(1_700_000_000, 0), Rate: rapid.Float64Range(1, 200_000).Draw(t, "rate")}
		i := rapid.Int64Range(0, 10_000_000).Draw(t, "i")
		ideal := float64(i) / s.Rate * 1e9
		if got := float64(s.Due(i).Sub(s.Begin).Nanoseconds()); got < ideal-2 || got > ideal+2 {
			t.Fatalf("arrival %d is due after %v ns, want %v", i, got, ideal)
		}
		at := s.Begin.Add(time.Duration(rapid.Int64Range(-1e9, 60e9).Draw(t, "at")))
		first := s.First(at)
		if s.Due(first).Before(at) || first > 0 && !s.Due(first-1).Before(at) {
			t.Fatalf("first at %v is %d, due %v, the one before %v", at, first, s.Due(first), s.Due(first-1))
		}
	})
}

func TestASpanHasItsBeginningAndNotItsEnd(t *testing.T) {
	from := time.Unix(1000, 0)
	s := Span{from, from.Add(time.Second)}
	for at, want := range map[time.Time]bool{from.Add(-1): false, from: true, s.To.Add(-1): true, s.To: false} {
		if s.Has(at) != want {
			t.Errorf("%s is counted: %v", at, !want)
		}
	}
	if (Span{}).Has(from) {
		t.Error("the zero span has a time")
	}
}

func TestALatencyBeyondTheLongestCountsAsThat(t *testing.T) {
	h := NewLatencies()
	Record(h, time.Hour)
	if h.TotalCount() != 1 || h.Max() < longest {
		t.Errorf("%d values, the largest %d us", h.TotalCount(), h.Max())
	}
}
