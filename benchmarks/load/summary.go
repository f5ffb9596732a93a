package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// distribution is a histogram of durations in microseconds, up to two minutes, with three
// digits. It is split so that connections seldom meet at a lock.
type distribution struct {
	shards []shard
}

type shard struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram // guarded by mu
}

const longest = 2 * time.Minute

func newDistribution(shards int) *distribution {
	d := &distribution{shards: make([]shard, shards)}
	for i := range d.shards {
		d.shards[i].histogram = newHistogram()
	}
	return d
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Microseconds(), 3)
}

// record adds one duration. What is longer than the longest counts as that.
func (d *distribution) record(shard int, value time.Duration) {
	s := &d.shards[shard%len(d.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.histogram.RecordValue(max(0, min(value, longest)).Microseconds()); err != nil {
		panic("BUG: a duration within the bounds was refused: " + err.Error())
	}
}

// merged returns all shards as one histogram.
func (d *distribution) merged() *hdrhistogram.Histogram {
	all := newHistogram()
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		all.Merge(s.histogram)
		s.mu.Unlock()
	}
	return all
}

// counts is the tally of outcomes.
type counts struct {
	mu       sync.Mutex
	outcomes map[outcome]int64 // guarded by mu
}

// outcome is what a request came to: a status and an ErrorCode, or a failure.
type outcome struct {
	status, code int
	failure      ledger.Failure
}

func (c *counts) add(e *ledger.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes == nil {
		c.outcomes = map[outcome]int64{}
	}
	c.outcomes[outcome{e.Status, e.Code, e.Failure}]++
}

// Summary is the result of a run, as --format json prints it. Latencies are in
// milliseconds from the scheduled time, of requests that got an answer.
type Summary struct {
	URL           string           `json:"url"`
	Rate          float64          `json:"rate"` // asked for; 0: as fast as answers come
	Connections   int              `json:"connections"`
	Seconds       float64          `json:"seconds"` // measured, without the warm-up
	Requests      int64            `json:"requests"`
	Answered      int64            `json:"answered"`
	OK            int64            `json:"ok"` // answered 200
	PerSecond     float64          `json:"per_second"`
	Outcomes      map[string]int64 `json:"outcomes"` // by "STATUS ERRORCODE" or by failure
	Latency       Percentiles      `json:"latency_ms"`
	Lag           Percentiles      `json:"generator_lag_ms"` // how late the generator itself was
	CPUPerRequest float64          `json:"generator_cpu_us_per_request"`
}

// Percentiles of a distribution, in milliseconds.
type Percentiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Percentiles{Mean: h.Mean() / 1000, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}

// summary sums up a run that has ended.
func (r *run) summary() *Summary {
	s := &Summary{
		URL: r.command.URL, Rate: r.command.Rate, Connections: r.command.Connections,
		Seconds: max(0, (r.ended - r.command.Warmup).Seconds()), Outcomes: map[string]int64{},
		Latency: percentiles(r.latency.merged()), Lag: percentiles(r.lag.merged()),
	}
	for o, n := range r.counts.outcomes {
		s.Requests += n
		name := string(o.failure)
		if o.failure == "" {
			s.Answered += n
			name = strconv.Itoa(o.status) + " " + strconv.Itoa(o.code)
		}
		if o.status == 200 {
			s.OK += n
		}
		s.Outcomes[name] += n
	}
	if s.Seconds > 0 {
		s.PerSecond = float64(s.Answered) / s.Seconds
	}
	if all := r.lag.merged().TotalCount(); all > 0 {
		s.CPUPerRequest = float64(r.cpu.Microseconds()) / float64(max(all, r.arrivals.Load()-int64(r.command.Connections)))
	}
	return s
}

// err is an error where nothing at all was answered: a measurement of nothing.
func (s *Summary) err() error {
	if s.Requests > 0 && s.Answered == 0 {
		return fmt.Errorf("no answer from %s to any of %d requests", s.URL, s.Requests)
	}
	if s.Requests == 0 {
		return errors.New("nothing was sent")
	}
	return nil
}

// write prints the summary.
func (s *Summary) write(out io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	_, err := io.WriteString(out, s.text())
	return err
}

func (s *Summary) text() string {
	var b strings.Builder
	loop := "closed loop (as fast as answers come)"
	if s.Rate > 0 {
		loop = fmt.Sprintf("open loop, %g/s", s.Rate)
	}
	fmt.Fprintf(&b, "%s: %s, %d connections, %.1f s\n", s.URL, loop, s.Connections, s.Seconds)
	fmt.Fprintf(&b, "  %d requests, %d answered, %.0f/s\n", s.Requests, s.Answered, s.PerSecond)
	for _, name := range slices.Sorted(maps.Keys(s.Outcomes)) {
		fmt.Fprintf(&b, "  %12d  %s\n", s.Outcomes[name], name)
	}
	line := func(what string, p Percentiles) {
		fmt.Fprintf(&b, "  %-22s p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f\n", what, p.P50, p.P90, p.P99, p.P999, p.Max)
	}
	line("latency", s.Latency)
	line("generator was late by", s.Lag)
	fmt.Fprintf(&b, "  generator CPU %.1f us a request\n", s.CPUPerRequest)
	return b.String()
}
