//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// figure is a line of the table: what was measured beside what is asked for.
type figure struct {
	part, what string
	bound      bound
	format     string
	values     []float64 // by round; empty: not measured
}

// bound is the most that a figure may be.
type bound struct {
	goal  float64
	asked bool // false: the figure is stated
	hard  bool // the goal is the floor as well
}

func atMost(goal float64) bound { return bound{goal: goal, asked: true} }

// figures are the lines of the table, of the parts that have samples.
func figures(all []sample) []figure {
	var list []figure
	for _, p := range parts {
		if len(each(all, p.name, p.base, p99)) > 0 {
			list = append(list, p.figures(all)...)
		}
	}
	return list
}

// honestFigures are of the honest in a variant: how much slower, and how many without a 200.
func honestFigures(all []sample, part, variant, base string, goal float64) []figure {
	return []figure{
		{part, "honest p99, " + variant + " over " + base, atMost(goal), "%.2f", over(all, part, variant, base, p99)},
		{part, "honest callbacks not answered 200, " + variant, bound{asked: true, hard: true}, "%.0f", total(all, part, variant, unserved)},
	}
}

// text is the median with its spread, where there is more than one round.
func (f figure) text() string { return rounds.SpreadOf(f.values).Text(f.format) }

// verdict says in a word how the median stands to floor and goal.
func (f figure) verdict() string {
	switch {
	case len(f.values) == 0:
		return "not measured"
	case !f.bound.asked:
		return "stated"
	case !f.above():
		return "goal reached"
	case f.bound.hard:
		return "**above the floor**"
	default:
		return "goal missed"
	}
}

// above says that the median is more than what is asked for.
func (f figure) above() bool {
	return len(f.values) > 0 && rounds.SpreadOf(f.values).Middle > f.bound.goal
}

// goalTable is the figures as Markdown.
func goalTable(list []figure) string {
	var b strings.Builder
	b.WriteString("| part | figure | floor | goal | measured | |\n|---|---|---|---|---|---|\n")
	for _, f := range list {
		floor, goal := "-", "-"
		if f.bound.asked {
			goal = fmt.Sprintf("<= "+f.format, f.bound.goal)
		}
		if f.bound.hard {
			floor = goal
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.part, f.what, floor, goal, f.text(), f.verdict())
	}
	return b.String()
}

// turnTable is the medians of every variant as Markdown.
func turnTable(all []sample) string {
	var b strings.Builder
	b.WriteString("| part | variant | answers/s | 200s | others | flood: 200s | others | p50, us | p99, us | CPU an answer, us | resident, MiB |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	done := map[[2]string]bool{}
	for _, s := range all {
		key := [2]string{s.Part, s.Variant}
		if done[key] || s.Seconds == 0 {
			continue
		}
		done[key] = true
		median := func(v value) float64 { return rounds.Median(each(all, s.Part, s.Variant, v)) }
		fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f | %.0f |\n", s.Part, s.Variant,
			median(func(s sample) float64 { return float64(s.Accepted+s.Refused) / s.Seconds }),
			median(func(s sample) float64 { return float64(s.Accepted) }), median(unserved),
			median(func(s sample) float64 { return float64(s.FloodAccepted) }), median(func(s sample) float64 { return float64(s.FloodRefused) }),
			median(func(s sample) float64 { return float64(s.P50Micros) }), median(p99), median(cpu), median(mib))
	}
	return b.String()
}
