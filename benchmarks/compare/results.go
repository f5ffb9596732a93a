//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// write writes the turns as JSON lines, the tables as Markdown and the charts as SVG.
func (r runCommand) write(turns []turn, counted, fdatasync time.Duration) error {
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return fmt.Errorf("compare: results: %w", err)
	}
	raw, err := rounds.Raw(turns)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	files := map[string]string{r.Name + ".jsonl": string(raw)}
	charts := figuresOf(r.Scenario, r.cells(), r.names(), turns)
	var images strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(charts)) {
		name := r.Name + "-" + kind + ".svg"
		drawn, err := charts[kind].svg()
		if err != nil {
			return fmt.Errorf("compare: results: %w", err)
		}
		files[name] = drawn
		fmt.Fprintf(&images, "![%s](%s)\n\n", charts[kind].title, name)
	}
	tables := r.tables(turns)
	files[r.Name+".md"] = r.preface(counted, fdatasync) + images.String() + tables
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.Out, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("compare: results: %w", err)
		}
	}
	return nil
}

// preface says under what the figures came about, and how they are to be read.
func (r runCommand) preface(counted, fdatasync time.Duration) string {
	kafka := "away"
	switch {
	case r.Scenario == kafkaReturning:
		kafka = fmt.Sprintf("there (embedded broker), then away for %s, then back: counted from its return on", r.Outage)
	case r.Brokers != "":
		kafka = "there, and taking the records, on the same machine"
	case r.Scenario == kafkaThere:
		kafka = "there (embedded broker), and taking the records, on the same machine"
	}
	return fmt.Sprintf(`# %s

%s, %d cores, %s. Kafka %s. %d rounds, a turn counted for %s after %s of warm-up, servers taking turns, driver on the same machine. fdatasync of 4 KiB here: %s (median), which is how long park sleeps.

    benchmarks/compare %s

CPU, rates and latencies are per answer of 200: the median of the rounds, ratios taken within a round and in brackets their least and most. Refused is the share of all answers; a turn with more than %.1f %% says nothing about speed and is in no median.

`, r.Name, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), kafka, r.Rounds, counted, r.Warmup, fdatasync.Round(time.Microsecond), strings.Join(os.Args[1:], " "), refusedBound*100)
}

// tables are the closed loops and the open ones.
func (r runCommand) tables(turns []turn) string {
	closed, open := split(r.cells())
	var b strings.Builder
	if len(closed) > 0 {
		b.WriteString("## Closed loop\n\nEach connection sends when it has its answer.\n\n" + markdown(closedColumns(), r.entries(closed, turns)) + "\n")
	}
	if len(open) > 0 {
		fmt.Fprintf(&b, "## Open loop\n\nArrivals on schedule over %d connections; latency from when a request was due.\n\n%s", r.OpenConnections, markdown(openColumns(r.Scenario), r.entries(open, turns)))
	}
	return b.String()
}

func (r runCommand) entries(cells []cell, turns []turn) []entry {
	var all []entry
	for _, c := range cells {
		for _, name := range r.serversIn(c) {
			all = append(all, entryOf(turns, c, name))
		}
	}
	return all
}
