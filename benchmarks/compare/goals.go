//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// goalRate is the open loop, in arrivals a second, at which the latency has its goals.
const goalRate = 10000

// goalBody is the body that the goals are of: the quota alarm.
const goalBody = 120

// goalsCommand puts what the runs measured beside what is asked of them.
type goalsCommand struct {
	In string `default:"benchmarks/results" help:"Folder with the raw turns of the runs named kafka-away, kafka-there and kafka-returning; goals.md is written there (default ${default})."`
}

// goal is one line of the table: a figure, the least that it has to be, and what is aimed at.
type goal struct {
	rounds.Goal
	measured func(measuredRuns) rounds.Spread
}

// least and most are goals of a ratio or of milliseconds, which has to be at least, or at most,
// the floor; 0: no floor, or no goal.
func least(what string, floor, aim float64, measured func(measuredRuns) rounds.Spread) goal {
	return goal{rounds.Goal{What: what, Floor: floor, Goal: aim, Format: "%.2f"}, measured}
}

func most(what string, floor, aim float64, measured func(measuredRuns) rounds.Spread) goal {
	return goal{rounds.Goal{What: what, Floor: floor, Goal: aim, Most: true, Format: "%.2f"}, measured}
}

// measuredRuns are the turns of each scenario; a scenario without a run has none.
type measuredRuns map[string][]turn

// goals are in the order of the table. Ratios are within a round; those between two scenarios
// are of medians, as they come from two runs.
func goals() []goal {
	var list []goal
	disk := []struct {
		connections int
		floor, goal float64
	}{{64, 0.45, 0.72}, {256, 0.60, 0.85}, {1024, 0.75, 0.94}}
	for _, d := range disk {
		list = append(list, least(fmt.Sprintf("requests/s of disk over bare, %d connections, Kafka away", d.connections), d.floor, d.goal, ratio(kafkaAway, d.connections, "disk", bareServer, rateOf)))
	}
	for _, d := range disk {
		list = append(list, least(fmt.Sprintf("requests/s of disk over park, %d connections, Kafka away", d.connections), 0.75, 0.90, ratio(kafkaAway, d.connections, "disk", parkServer, rateOf)))
	}
	list = append(list,
		most("CPU a request of disk over bare, 256 connections, Kafka away", 1.7, 0, ratio(kafkaAway, 256, "disk", bareServer, cpuOf)),
		most("CPU a request of disk over park, 256 connections, Kafka away", 0, 1.25, ratio(kafkaAway, 256, "disk", parkServer, cpuOf)),
		most("CPU a request of disk over bare, 256 connections, delivering to a Kafka on the same cores", 2.1, 1.4, ratio(kafkaThere, 256, "disk", bareServer, cpuOf)))
	for _, d := range disk {
		list = append(list, least(fmt.Sprintf("requests/s of memory over bare, %d connections, Kafka away", d.connections), 0.85, 0.95, ratio(kafkaAway, d.connections, "memory", bareServer, rateOf)))
	}
	at := fmt.Sprintf("p99 of disk at %d arrivals/s", goalRate)
	return append(list,
		most(at+", Kafka there, ms", 4, 2, func(m measuredRuns) rounds.Spread { return m.p99(kafkaThere) }),
		most(at+", Kafka away over there", 2, 1.2, func(m measuredRuns) rounds.Spread { return m.p99Over(kafkaAway) }),
		most(at+", Kafka returning over there", 5, 2, func(m measuredRuns) rounds.Spread { return m.p99Over(kafkaReturning) }),
	)
}

// ratio is the figure of a server over that of another one, in a closed loop.
func ratio(scenario string, connections int, server, base string, f figure) func(measuredRuns) rounds.Spread {
	return func(m measuredRuns) rounds.Spread {
		e := entryOf(m[scenario], cell{Connections: connections, Body: goalBody}, server)
		if base == parkServer {
			return e.over(e.park, f)
		}
		return e.over(e.bare, f)
	}
}

// p99 is the latency of disk in the open loop, in milliseconds, whatever its connections.
func (m measuredRuns) p99(scenario string) rounds.Spread {
	for _, t := range m[scenario] {
		if t.Rate == goalRate && t.Body == goalBody {
			return entryOf(m[scenario], t.cell, "disk").of(p99Of)
		}
	}
	return rounds.Spread{}
}

func (m measuredRuns) p99Over(scenario string) rounds.Spread {
	one, base := m.p99(scenario), m.p99(kafkaThere)
	if one.Rounds == 0 || base.Rounds == 0 || base.Middle == 0 {
		return rounds.Spread{}
	}
	return rounds.Spread{Middle: one.Middle / base.Middle, Least: one.Least / base.Middle, Most: one.Most / base.Middle, Rounds: one.Rounds}
}

// table is the goals with what was measured, as Markdown.
func (m measuredRuns) table() string {
	var b strings.Builder
	b.WriteString("| figure | floor | goal | measured | |\n|---|---|---|---|---|\n")
	for _, g := range goals() {
		b.WriteString(g.Row(g.measured(m)))
	}
	return b.String()
}

// Run prints the table and writes it to goals.md. A run that is missing leaves its lines empty.
func (g goalsCommand) Run() error {
	m := measuredRuns{}
	for _, scenario := range []string{kafkaAway, kafkaThere, kafkaReturning} {
		turns, err := rounds.ReadRaw[turn](filepath.Join(g.In, "kafka-"+scenario+".jsonl"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("compare: %w", err)
		}
		m[scenario] = turns
	}
	table := m.table()
	fmt.Print("\n", table)
	page := "# Goals\n\nMedians of the rounds of kafka-away.md, kafka-there.md and kafka-returning.md, in brackets the least and the most; the load generator beside the server on two cores. " +
		"What is asked of the parts (append, forwarder, recovery, memory) is in parts.md, parts-clients.md and memory.md.\n\n    benchmarks/compare goals\n\n" + table
	if err := os.WriteFile(filepath.Join(g.In, "goals.md"), []byte(page), 0o644); err != nil {
		return fmt.Errorf("compare: goals: %w", err)
	}
	return nil
}
