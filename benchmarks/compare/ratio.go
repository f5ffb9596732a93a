//go:build linux

package main

import (
	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// figure is one number of a turn.
type figure func(turn) float64

func cpuOf(t turn) float64  { return t.ServerCPUMicros }
func rateOf(t turn) float64 { return t.RequestsPerSec }
func p50Of(t turn) float64  { return float64(t.P50Micros) / 1000 }
func p99Of(t turn) float64  { return float64(t.P99Micros) / 1000 }
func p999Of(t turn) float64 { return float64(t.P999Micros) / 1000 }

// entry is one line of a table: a server in a cell, and its turns.
type entry struct {
	cell
	server     string
	all        []turn
	bare, park []turn // of the same cell
}

// entryOf picks what belongs to server in c.
func entryOf(turns []turn, c cell, server string) entry {
	of := func(name string) []turn {
		var mine []turn
		for _, t := range turns {
			if t.cell == c && t.Server == name {
				mine = append(mine, t)
			}
		}
		return mine
	}
	return entry{cell: c, server: server, all: of(server), bare: of(bareServer), park: of(parkServer)}
}

// of is the figure in the turns that speak.
func (e entry) of(f figure) rounds.Spread {
	var values []float64
	for _, t := range e.all {
		if t.speaks() {
			values = append(values, f(t))
		}
	}
	return rounds.SpreadOf(values)
}

// over is the ratio of the figure to that of base, taken within each round in which both
// speak: a round in which the machine was slow hits both alike.
func (e entry) over(base []turn, f figure) rounds.Spread {
	var values []float64
	for _, t := range e.all {
		for _, b := range base {
			if b.Round == t.Round && t.speaks() && b.speaks() && f(b) > 0 {
				values = append(values, f(t)/f(b))
			}
		}
	}
	return rounds.SpreadOf(values)
}

// count is how many turns of e are so.
func (e entry) count(so func(turn) bool) int {
	n := 0
	for _, t := range e.all {
		if so(t) {
			n++
		}
	}
	return n
}

// most is the largest of the figure, of all turns.
func (e entry) most(f figure) float64 {
	most := 0.0
	for _, t := range e.all {
		most = max(most, f(t))
	}
	return most
}
