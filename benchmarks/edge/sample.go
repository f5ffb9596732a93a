//go:build linux

package main

import "slices"

// sample is what one turn measured: a line of edge.jsonl.
type sample struct {
	Part    string  `json:"part"`
	Variant string  `json:"variant"`
	Round   int     `json:"round"`
	Seconds float64 `json:"counted_seconds"`

	// Of the honest, and of the kind that is measured.
	Accepted   int64 `json:"accepted"`
	Refused    int64 `json:"refused"`
	Cut        int64 `json:"cut"`        // connections that ended without an answer
	Unanswered int64 `json:"unanswered"` // due, and no answer within two seconds of the end
	P50Micros  int64 `json:"p50_us"`
	P99Micros  int64 `json:"p99_us"`
	MaxMicros  int64 `json:"max_us"`
	LateMicros int64 `json:"client_late_p99_us,omitempty"` // how late the client itself sent

	FloodAccepted int64 `json:"flood_accepted,omitempty"`
	FloodRefused  int64 `json:"flood_refused,omitempty"`

	CPUMicros   float64 `json:"gateway_cpu_us_per_answer,omitempty"` // a flood's too
	WantedShare float64 `json:"wanted_share,omitempty"`              // of the answers, that were of the kind that is measured
	Resident    int64   `json:"gateway_resident_bytes"`
	Held        int     `json:"held_connections,omitempty"` // the least that were held at a time
	Reloads     float64 `json:"reloads,omitempty"`
	Failed      float64 `json:"reloads_failed,omitempty"`
}

// saw fills in what a flow saw.
func (s *sample) saw(f *seen) {
	s.Seconds = f.elapsed.Seconds()
	s.Accepted, s.Refused, s.Cut, s.Unanswered = f.accepted(), f.refused(), f.cut, f.unanswered
	s.P50Micros, s.P99Micros, s.MaxMicros = f.latency.ValueAtQuantile(50), f.latency.ValueAtQuantile(99), f.latency.Max()
	s.LateMicros = f.lateness.ValueAtQuantile(99)
}

// value is one figure of a sample.
type value func(sample) float64

func p99(s sample) float64  { return float64(s.P99Micros) }
func cpu(s sample) float64  { return s.CPUMicros }
func held(s sample) float64 { return float64(s.Held) }
func mib(s sample) float64  { return float64(s.Resident) / (1 << 20) }

// unserved is how many callbacks did not get their 200.
func unserved(s sample) float64 { return float64(s.Refused + s.Cut + s.Unanswered) }

// of returns the samples of a variant, by round.
func of(all []sample, part, variant string) []sample {
	var list []sample
	for _, s := range all {
		if s.Part == part && s.Variant == variant {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b sample) int { return a.Round - b.Round })
	return list
}

// each returns v of every round of a variant.
func each(all []sample, part, variant string, v value) []float64 {
	var list []float64
	for _, s := range of(all, part, variant) {
		list = append(list, v(s))
	}
	return list
}

// over returns v of a variant over that of its baseline, within each round that has both.
func over(all []sample, part, variant, base string, v value) []float64 {
	var list []float64
	for _, s := range of(all, part, variant) {
		for _, b := range of(all, part, base) {
			if b.Round == s.Round && v(b) > 0 {
				list = append(list, v(s)/v(b))
			}
		}
	}
	return list
}

// total returns the sum of v over the rounds as the one value that there is.
func total(all []sample, part, variant string, v value) []float64 {
	list := each(all, part, variant, v)
	if len(list) == 0 {
		return nil
	}
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return []float64{sum}
}
