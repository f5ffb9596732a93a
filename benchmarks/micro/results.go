//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// result is one line of a benchmark's output.
type result struct {
	name   string // without Benchmark and the number of processors
	units  []string
	values map[string]float64
}

// errNoResults: a benchmark that ran printed nothing that can be read; it was renamed or skipped.
var errNoResults = errors.New("no line of a benchmark in the output")

// parseResults reads what go test -bench prints.
func parseResults(out []byte) ([]result, error) {
	var all []result
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		r := result{name: strings.TrimPrefix(fields[0], "Benchmark"), values: map[string]float64{}}
		if i := strings.LastIndexByte(r.name, '-'); i > 0 {
			r.name = r.name[:i]
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			r.units = append(r.units, fields[i+1])
			r.values[fields[i+1]] = value
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errNoResults
	}
	return all, nil
}

// table has a column for each benchmark and a line for each unit, ratios first.
func table(results []result) string {
	var units []string
	for _, r := range results {
		for _, u := range r.units {
			if !strings.Contains(u, ":") && !slices.Contains(units, u) && r.values[u] != 0 || u == "allocs/op" && !slices.Contains(units, u) {
				units = append(units, u)
			}
		}
	}
	slices.SortStableFunc(units, func(a, b string) int { return rank(a) - rank(b) })
	var b strings.Builder
	b.WriteString("| |")
	for _, r := range results {
		b.WriteString(" " + r.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(results)) + "\n")
	for _, u := range units {
		b.WriteString("| " + u + " |")
		for _, r := range results {
			b.WriteString(" " + r.text(u) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// rank puts ratios before everything else.
func rank(unit string) int {
	if strings.HasPrefix(unit, "x-") {
		return 0
	}
	return 1
}

// text is a value with its spread where it has one.
func (r result) text(unit string) string {
	value, ok := r.values[unit]
	if !ok {
		return "-"
	}
	least, spread := r.values[unit+":least"]
	if !spread {
		return number(value)
	}
	return fmt.Sprintf("%s (%s-%s)", number(value), number(least), number(r.values[unit+":most"]))
}

// number prints three digits that count, or all before the point.
func number(v float64) string {
	if v == 0 || math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(v))))), 64)
}
