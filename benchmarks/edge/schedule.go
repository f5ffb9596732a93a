//go:build linux

package main

import "time"

// schedule says when arrivals are due: number i at begin + i/rate. Nothing is summed up,
// so it does not drift, and nothing that the server does moves it.
type schedule struct {
	begin time.Time
	rate  float64 // a second
}

// due is when arrival i is due.
func (s schedule) due(i int64) time.Time {
	return s.begin.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

// within says whether t is in [from, to).
func within(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }

// dripDue is how many bytes are due after elapsed, when each of conns connections gets one
// byte every pause and the connections take turns, so that they do not all send at once.
func dripDue(elapsed time.Duration, conns int, pause time.Duration) int64 {
	return int64(float64(elapsed) / float64(pause) * float64(conns))
}
