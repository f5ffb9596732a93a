//go:build linux

package main

import (
	"fmt"
	"slices"
)

// figuresOf are the charts of a run by the name of their file, without its end.
func figuresOf(scenario string, cells []cell, servers []string, turns []turn) map[string]chart {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c cell) bool { return c.TLS }) // there not all servers run
	closed, open := split(cells)
	note := "median of the rounds, lines from least to most; Kafka " + scenario
	all := map[string]chart{
		"cpu": {title: "CPU seconds of the server per million requests", note: note, series: servers, groups: groupsOf(cells, servers, turns, cpuOf)},
	}
	if len(closed) > 0 {
		all["rate"] = chart{title: "Requests per second, closed loop", note: note, series: servers, groups: groupsOf(closed, servers, turns, rateOf)}
	}
	if len(open) > 0 {
		latency := chart{title: "Latency from the scheduled time in ms, open loop", note: note + "; logarithmic", log: true, series: servers}
		for _, c := range open {
			for _, percentile := range []struct {
				name string
				of   figure
			}{{"p50", p50Of}, {"p99", p99Of}, {"p99.9", p999Of}} {
				g := groupsOf([]cell{c}, servers, turns, percentile.of)[0]
				g.label, g.sub = percentile.name, g.label
				latency.groups = append(latency.groups, g)
			}
		}
		all["latency"] = latency
	}
	return all
}

func groupsOf(cells []cell, servers []string, turns []turn, f figure) []chartGroup {
	groups := make([]chartGroup, 0, len(cells))
	for _, c := range cells {
		g := chartGroup{label: fmt.Sprintf("%d connections", c.Connections), sub: bytesText(c.Body)}
		if c.Rate > 0 {
			g.label = fmt.Sprintf("%d/s", c.Rate)
		}
		for _, name := range servers {
			g.values = append(g.values, entryOf(turns, c, name).of(f))
		}
		groups = append(groups, g)
	}
	return groups
}

// split parts the closed loops from the open ones.
func split(cells []cell) (closed, open []cell) {
	for _, c := range cells {
		if c.Rate > 0 {
			open = append(open, c)
		} else {
			closed = append(closed, c)
		}
	}
	return closed, open
}
