//go:build linux

package main

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// holding answers with the envelope once hold has returned.
func holding(hold func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		hold()
		_, _ = w.Write([]byte(envelope))
	}
}

// All that is due in the counted stage is counted, whatever the warm-up left behind.
func TestOpenLoopCountsWhatWasDue(t *testing.T) {
	l := serveHere(t, holding(func() {}))
	l.conns, l.rate = 8, 1000
	l.stages = []stage{{length: 50 * time.Millisecond}, {length: 200 * time.Millisecond}}
	seen, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	// 200 are due, one more or less by rounding; drain checks the exact sum.
	if n := seen.latency.TotalCount(); n < 199 || n > 201 || seen.unanswered != 0 || seen.lateness.TotalCount() < 1 {
		t.Errorf("latencies of %d, %d not answered, lateness of %d", n, seen.unanswered, seen.lateness.TotalCount())
	}
}

// A server that stands for a time is not spared the requests that were due meanwhile: with
// two connections a closed loop would see two slow answers, the schedule sees them all.
func TestOpenLoopSeesAStall(t *testing.T) {
	const stall = 150 * time.Millisecond
	var begun atomic.Int64
	var until atomic.Pointer[time.Time]
	l := serveHere(t, holding(func() {
		if begun.Add(1) == 20 {
			end := time.Now().Add(stall)
			until.Store(&end)
		}
		if end := until.Load(); end != nil {
			<-time.After(time.Until(*end))
		}
	}))
	l.conns, l.rate = 2, 500
	l.stages = []stage{{length: 400 * time.Millisecond}}
	seen, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	// Of 200 due, those in the stall, 75, waited on average for half of it.
	if p75 := time.Duration(seen.latency.ValueAtQuantile(75)) * time.Microsecond; p75 < stall/10 {
		t.Errorf("a quarter of the requests was due in the stall; the 75th percentile is %v", p75)
	}
	if longest := time.Duration(seen.latency.Max()) * time.Microsecond; longest < stall*8/10 {
		t.Errorf("the longest waited %v of a stall of %v", longest, stall)
	}
	if late, whole := seen.lateness.ValueAtQuantile(50), seen.latency.ValueAtQuantile(90); late > whole/2 {
		t.Errorf("the stall was the server's, yet the driver was late by %d us of %d", late, whole)
	}
}

// What is not answered at the end is in the latencies with the time that it has waited.
func TestOpenLoopCountsTheUnanswered(t *testing.T) {
	release := make(chan struct{})
	l := serveHere(t, holding(func() { <-release }))
	defer close(release)
	l.conns, l.rate = 2, 100
	l.stages = []stage{{length: 100 * time.Millisecond}}
	seen, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	if seen.unanswered < 9 || seen.unanswered > 11 || seen.latency.TotalCount() != seen.unanswered {
		t.Fatalf("%d not answered of 10, latencies of %d", seen.unanswered, seen.latency.TotalCount())
	}
	if least := time.Duration(seen.latency.Min()) * time.Microsecond; least < drive.Patience {
		t.Errorf("one of them waited %v, less than patience", least)
	}
	got := turn{cell: cell{Rate: 100}}.measured(seen)
	if got.RequestsPerSec != 0 || got.speaks() {
		t.Errorf("a server that never answers has figures: %v", got)
	}
}
