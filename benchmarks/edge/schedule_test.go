//go:build linux

package main

import (
	"testing"
	"time"
)

func TestArrivalsDoNotDrift(t *testing.T) {
	begin := time.Unix(1000, 0)
	s := schedule{begin: begin, rate: 3000}
	for _, c := range []struct {
		i    int64
		want time.Duration
	}{{0, 0}, {3, time.Millisecond}, {3000, time.Second}, {3000 * 3600, time.Hour}} {
		if got := s.due(c.i).Sub(begin); (got - c.want).Abs() > time.Microsecond {
			t.Errorf("arrival %d is due after %s, not %s", c.i, got, c.want)
		}
	}
}

func TestASpanHasItsBeginningAndNotItsEnd(t *testing.T) {
	from := time.Unix(1000, 0)
	to := from.Add(time.Second)
	for at, want := range map[time.Time]bool{from.Add(-1): false, from: true, to.Add(-1): true, to: false} {
		if within(at, from, to) != want {
			t.Errorf("%s is counted: %v", at, !want)
		}
	}
}

func TestSlowBytesAreSpreadOverThePause(t *testing.T) {
	for elapsed, want := range map[time.Duration]int64{0: 0, time.Second: 1000, 3 * time.Second: 3000, 30 * time.Second: 30000} {
		if got := dripDue(elapsed, 3000, 3*time.Second); got != want {
			t.Errorf("after %s %d bytes are due, not %d", elapsed, got, want)
		}
	}
}
