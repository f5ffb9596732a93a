//go:build linux

package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// latencies is how long things took.
type latencies struct{ h *hdrhistogram.Histogram }

func newLatencies() *latencies { return &latencies{drive.NewLatencies()} }

// note notes one. What happened before it was waited for took no time.
func (l *latencies) note(took time.Duration) { drive.Record(l.h, max(0, took)) }

// sample is what there was, as a sample of the part live.
func (l *latencies) sample(variant string, round int) sample {
	at := func(q float64) float64 { return float64(l.h.ValueAtQuantile(q)) / 1000 }
	return sample{Part: partLive, Variant: variant, Round: round, Figures: map[string]float64{
		p50Millis: at(50), p99Millis: at(99), maxMillis: float64(l.h.Max()) / 1000, samples: float64(l.h.TotalCount()),
	}}
}
