//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// driverBound is the share of its core above which the driver, not the server, may have
// been the limit of a turn.
const driverBound = 0.95

// refusedBound is the share of refused answers above which a turn says nothing about
// speed: the server was kept from its work, by a disk or a broker that stood still.
const refusedBound = 0.001

// turn is one server's figures in one round, as written to the raw file.
type turn struct {
	Server          string  `json:"server"`
	Connections     int     `json:"connections"`
	Round           int     `json:"round"`
	RequestsPerSec  float64 `json:"requests_per_second"` // answered 200
	RefusedShare    float64 `json:"refused_share"`       // of all answers
	Refusal         string  `json:"refusal,omitempty"`   // the first one's envelope
	P50Micros       int64   `json:"p50_us"`
	P99Micros       int64   `json:"p99_us"`
	P999Micros      int64   `json:"p99_9_us"`
	ServerCPUMicros float64 `json:"server_cpu_us_per_request"`
	DriverCore      float64 `json:"driver_core_share"`
}

func newTurn(name string, conns, round int, o outcome) turn {
	if o.accepted == 0 {
		return turn{Server: name, Connections: conns, Round: round, RefusedShare: 1, Refusal: o.refusal}
	}
	return turn{
		Server: name, Connections: conns, Round: round,
		RequestsPerSec: float64(o.accepted) / o.elapsed.Seconds(),
		RefusedShare:   float64(o.refused) / float64(o.accepted+o.refused),
		Refusal:        o.refusal,
		P50Micros:      o.latency.ValueAtQuantile(50), P99Micros: o.latency.ValueAtQuantile(99), P999Micros: o.latency.ValueAtQuantile(99.9),
		ServerCPUMicros: float64(o.serverCPU.Microseconds()) / float64(o.accepted),
		DriverCore:      o.driverCPU.Seconds() / o.elapsed.Seconds(),
	}
}

// speaks says whether the turn's figures are about speed.
func (t turn) speaks() bool { return t.RefusedShare <= refusedBound }

// String is the line that is printed while measuring.
func (t turn) String() string {
	bound := ""
	if t.DriverCore >= driverBound {
		bound = "  (the driver was the limit)"
	}
	if t.RefusedShare > 0 {
		bound += fmt.Sprintf("  refused %.3f %%, first %s", t.RefusedShare*100, t.Refusal)
	}
	if !t.speaks() {
		bound += " (says nothing about speed)"
	}
	return fmt.Sprintf("round %d  %4d connections  %-7s %8.0f/s  p50 %6d us  p99 %6d us  cpu %5.2f us%s",
		t.Round+1, t.Connections, t.Server, t.RequestsPerSec, t.P50Micros, t.P99Micros, t.ServerCPUMicros, bound)
}

// write writes the raw turns as JSON lines and the table of medians as Markdown.
func (r runCommand) write(turns []turn) error {
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return fmt.Errorf("compare: results: %w", err)
	}
	var raw strings.Builder
	for _, t := range turns {
		line, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("compare: results: %w", err)
		}
		raw.Write(append(line, '\n'))
	}
	table := r.table(turns)
	fmt.Print("\n", table)
	for name, text := range map[string]string{r.Name + ".jsonl": raw.String(), r.Name + ".md": table} {
		if err := os.WriteFile(filepath.Join(r.Out, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("compare: results: %w", err)
		}
	}
	return nil
}

// table is the medians, each ratio taken within its round before the median.
func (r runCommand) table(turns []turn) string {
	kafka := "away"
	if r.Brokers != "" {
		kafka = "there, and taking the records, on the same machine"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s, %d cores, %s. Kafka %s. Body %d bytes. %d rounds of %s after %s of warm-up, servers taking turns, driver on the same machine.\n\n    benchmarks/compare %s\n\n",
		r.Name, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), kafka, r.Body, r.Rounds, r.Duration, r.Warmup, strings.Join(os.Args[1:], " "))
	fmt.Fprintf(&b, "Rates, latencies and CPU are per answer of 200, so that a refusal never makes a server look fast. Refused is the share of all answers; a turn with more than %.1f %% says nothing about speed and is in no median.\n\n", refusedBound*100)
	b.WriteString("| connections | server | requests/s | over bare (min-max) | p50 ms | p99 ms | CPU us/request | over bare | refused | driver-bound rounds |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, conns := range r.Connections {
		bare := of(turns, "bare", conns)
		for _, name := range r.names() {
			b.WriteString(row(conns, name, of(turns, name, conns), bare))
		}
	}
	return b.String()
}

// row is one line of the table: server name at conns connections beside bare, turn by turn.
func row(conns int, name string, all, allBare []turn) string {
	mine, bare := speaking(all, allBare)
	share := fmt.Sprintf("%.3f %%", 100*middle(each(all, func(t turn) float64 { return t.RefusedShare })))
	if silent := len(all) - len(mine); silent > 0 {
		share = fmt.Sprintf("up to %.2f %%: %d of %d turns say nothing about speed", 100*slices.Max(each(all, func(t turn) float64 { return t.RefusedShare })), silent, len(all))
	}
	if len(mine) == 0 {
		return fmt.Sprintf("| %d | %s | - | - | - | - | - | - | %s | %d of %d |\n", conns, name, share, driverBoundRounds(all), len(all))
	}
	rate, cpu := ratios(mine, bare)
	return fmt.Sprintf("| %d | %s | %.0f | %.2f (%.2f-%.2f) | %.2f | %.2f | %.2f | %.2f | %s | %d of %d |\n", conns, name,
		median(mine, func(t turn) float64 { return t.RequestsPerSec }), middle(rate), slices.Min(rate), slices.Max(rate),
		median(mine, func(t turn) float64 { return float64(t.P50Micros) / 1000 }), median(mine, func(t turn) float64 { return float64(t.P99Micros) / 1000 }),
		median(mine, func(t turn) float64 { return t.ServerCPUMicros }), middle(cpu), share, driverBoundRounds(all), len(all))
}

// speaking leaves out the rounds in which one of the two says nothing about speed.
func speaking(mine, bare []turn) (m, b []turn) {
	for i := range mine {
		if mine[i].speaks() && bare[i].speaks() {
			m, b = append(m, mine[i]), append(b, bare[i])
		}
	}
	return m, b
}

func of(turns []turn, name string, conns int) []turn {
	var out []turn
	for _, t := range turns {
		if t.Server == name && t.Connections == conns {
			out = append(out, t)
		}
	}
	return out
}

// ratios are of the same rounds.
func ratios(mine, bare []turn) (rate, cpu []float64) {
	for i := range mine {
		rate = append(rate, mine[i].RequestsPerSec/bare[i].RequestsPerSec)
		cpu = append(cpu, mine[i].ServerCPUMicros/bare[i].ServerCPUMicros)
	}
	return rate, cpu
}

func driverBoundRounds(turns []turn) int {
	n := 0
	for _, t := range turns {
		if t.DriverCore >= driverBound {
			n++
		}
	}
	return n
}

func median(turns []turn, of func(turn) float64) float64 { return middle(each(turns, of)) }

func each(turns []turn, of func(turn) float64) []float64 {
	values := make([]float64, 0, len(turns))
	for _, t := range turns {
		values = append(values, of(t))
	}
	return values
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
