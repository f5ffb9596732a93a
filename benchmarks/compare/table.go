//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// column is one column of a table.
type column struct {
	title string
	text  func(entry) string
}

// Columns that both tables have.
var (
	headColumns = []column{
		{"server", func(e entry) string { return e.serverText(e.server) }},
		{"CPU s per million", func(e entry) string { return e.of(cpuOf).MiddleText("%.2f") }},
		{"CPU over bare", func(e entry) string { return e.over(e.bare, cpuOf).Text("%.2f") }},
		{"CPU over park", func(e entry) string { return e.over(e.park, cpuOf).Text("%.2f") }},
	}
	latencyColumns = []column{
		{"p50 ms", func(e entry) string { return e.of(p50Of).MiddleText("%.2f") }},
		{"p99 ms", func(e entry) string { return e.of(p99Of).MiddleText("%.2f") }},
		{"p99.9 ms", func(e entry) string { return e.of(p999Of).MiddleText("%.2f") }},
	}
	tailColumns = []column{
		{"syncs/s", func(e entry) string { return dashZero(e.of(func(t turn) float64 { return t.SyncsPerSec })) }},
		{"entries a sync", func(e entry) string { return dashZero(e.of(func(t turn) float64 { return t.EntriesPerSync })) }},
		{"RSS MiB", func(e entry) string {
			return e.of(func(t turn) float64 { return float64(t.ServerRSS) / (1 << 20) }).MiddleText("%.0f")
		}},
		{"refused", entry.refusedText},
		{"driver was the limit", func(e entry) string {
			return fmt.Sprintf("%d of %d", e.count(turn.driverLimited), len(e.all))
		}},
	}
)

func closedColumns() []column {
	return join(
		[]column{
			{"connections", func(e entry) string { return strconv.Itoa(e.Connections) }},
			{"body", func(e entry) string { return bytesText(e.Body) }},
		},
		headColumns,
		[]column{
			{"requests/s", func(e entry) string { return e.of(rateOf).MiddleText("%.0f") }},
			{"rate over bare", func(e entry) string { return e.over(e.bare, rateOf).Text("%.2f") }},
			{"rate over park", func(e entry) string { return e.over(e.park, rateOf).Text("%.2f") }},
		},
		latencyColumns, tailColumns)
}

func openColumns(scenario string) []column {
	columns := join(
		[]column{
			{"arrivals/s", func(e entry) string { return strconv.Itoa(e.Rate) }},
			{"body", func(e entry) string { return bytesText(e.Body) }},
		},
		headColumns, latencyColumns,
		[]column{
			{"p99 over bare", func(e entry) string { return e.over(e.bare, p99Of).Text("%.2f") }},
			{"p99 over park", func(e entry) string { return e.over(e.park, p99Of).Text("%.2f") }},
			{"driver late p99 ms", func(e entry) string {
				return e.of(func(t turn) float64 { return float64(t.DriverLateMicros) / 1000 }).MiddleText("%.2f")
			}},
			{"not answered", func(e entry) string {
				return fmt.Sprintf("%.0f", e.most(func(t turn) float64 { return float64(t.Unanswered) }))
			}},
		},
		tailColumns)
	if scenario == kafkaReturning {
		columns = append(columns, column{"caught up after s", entry.caughtUpText})
	}
	return columns
}

func join(parts ...[]column) []column {
	var all []column
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// dashZero prints a figure that some servers do not have.
func dashZero(s rounds.Spread) string {
	if s.Middle == 0 {
		return "-"
	}
	return s.MiddleText("%.0f")
}

// refusedText is the share of refusals, and how many turns say nothing for it.
func (e entry) refusedText() string {
	most := 100 * e.most(func(t turn) float64 { return t.RefusedShare })
	if silent := len(e.all) - e.count(turn.speaks); silent > 0 {
		return fmt.Sprintf("**up to %.2f %%: %d of %d turns say nothing about speed**", most, silent, len(e.all))
	}
	if most == 0 {
		return "0"
	}
	return fmt.Sprintf("up to %.3f %%", most)
}

// caughtUpText is when the journal was empty again; a turn in which it was not is counted.
func (e entry) caughtUpText() string {
	if !isGateway(e.server) {
		return "-"
	}
	var times []float64
	for _, t := range e.all {
		if t.CaughtUpSeconds > 0 {
			times = append(times, t.CaughtUpSeconds)
		}
	}
	if len(times) < len(e.all) {
		return fmt.Sprintf("not within the turn: %d of %d", len(e.all)-len(times), len(e.all))
	}
	return rounds.SpreadOf(times).Text("%.1f")
}

// markdown is a table of entries.
func markdown(columns []column, entries []entry) string {
	var b strings.Builder
	for _, c := range columns {
		b.WriteString("| " + c.title + " ")
	}
	b.WriteString("|\n" + strings.Repeat("|---", len(columns)) + "|\n")
	for _, e := range entries {
		for _, c := range columns {
			b.WriteString("| " + c.text(e) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}
