//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	what        string
	floor, goal float64 // floor 0: none
	most        bool    // floor and goal are the most, not the least
	format      string
	measured    func(measuredRuns) spread
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
		list = append(list, goal{fmt.Sprintf("requests/s of disk over bare, %d connections, Kafka away", d.connections), d.floor, d.goal, false, "%.2f",
			ratio(kafkaAway, d.connections, "disk", bareServer, rateOf)})
	}
	for _, d := range disk {
		list = append(list, goal{fmt.Sprintf("requests/s of disk over park, %d connections, Kafka away", d.connections), 0.75, 0.90, false, "%.2f",
			ratio(kafkaAway, d.connections, "disk", parkServer, rateOf)})
	}
	list = append(list,
		goal{"CPU a request of disk over bare, 256 connections, Kafka away", 1.7, 0, true, "%.2f", ratio(kafkaAway, 256, "disk", bareServer, cpuOf)},
		goal{"CPU a request of disk over park, 256 connections, Kafka away", 0, 1.25, true, "%.2f", ratio(kafkaAway, 256, "disk", parkServer, cpuOf)},
		goal{"CPU a request of disk over bare, 256 connections, delivering to a Kafka on the same cores", 2.1, 1.4, true, "%.2f",
			ratio(kafkaThere, 256, "disk", bareServer, cpuOf)})
	for _, d := range disk {
		list = append(list, goal{fmt.Sprintf("requests/s of memory over bare, %d connections, Kafka away", d.connections), 0.85, 0.95, false, "%.2f",
			ratio(kafkaAway, d.connections, "memory", bareServer, rateOf)})
	}
	at := fmt.Sprintf("p99 of disk at %d arrivals/s", goalRate)
	return append(list,
		goal{at + ", Kafka there, ms", 4, 2, true, "%.2f", func(m measuredRuns) spread { return m.p99(kafkaThere) }},
		goal{at + ", Kafka away over there", 2, 1.2, true, "%.2f", func(m measuredRuns) spread { return m.p99Over(kafkaAway) }},
		goal{at + ", Kafka returning over there", 5, 2, true, "%.2f", func(m measuredRuns) spread { return m.p99Over(kafkaReturning) }},
	)
}

// ratio is the figure of a server over that of another one, in a closed loop.
func ratio(scenario string, connections int, server, base string, f figure) func(measuredRuns) spread {
	return func(m measuredRuns) spread {
		e := entryOf(m[scenario], cell{Connections: connections, Body: goalBody}, server)
		if base == parkServer {
			return e.over(e.park, f)
		}
		return e.over(e.bare, f)
	}
}

// p99 is the latency of disk in the open loop, in milliseconds, whatever its connections.
func (m measuredRuns) p99(scenario string) spread {
	for _, t := range m[scenario] {
		if t.Rate == goalRate && t.Body == goalBody {
			return entryOf(m[scenario], t.cell, "disk").of(p99Of)
		}
	}
	return spread{}
}

func (m measuredRuns) p99Over(scenario string) spread {
	one, base := m.p99(scenario), m.p99(kafkaThere)
	if one.rounds == 0 || base.rounds == 0 || base.middle == 0 {
		return spread{}
	}
	return spread{middle: one.middle / base.middle, least: one.least / base.middle, most: one.most / base.middle, rounds: one.rounds}
}

// verdict says in a word how the measured figure stands to floor and goal.
func (g goal) verdict(s spread) string {
	reaches := func(bound float64) bool { return g.most && s.middle <= bound || !g.most && s.middle >= bound }
	switch {
	case s.rounds == 0:
		return "not measured"
	case g.goal != 0 && reaches(g.goal):
		return "goal reached"
	case g.floor != 0 && !reaches(g.floor):
		return "**below the floor**"
	case g.floor == 0:
		return "goal missed"
	default:
		return "floor held"
	}
}

// table is the goals with what was measured, as Markdown.
func (m measuredRuns) table() string {
	var b strings.Builder
	b.WriteString("| figure | floor | goal | measured | |\n|---|---|---|---|---|\n")
	bound := func(g goal, v float64) string {
		if v == 0 {
			return "-"
		}
		sign := ">="
		if g.most {
			sign = "<="
		}
		return fmt.Sprintf("%s "+g.format, sign, v)
	}
	for _, g := range goals() {
		s := g.measured(m)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", g.what, bound(g, g.floor), bound(g, g.goal), s.text(g.format), g.verdict(s))
	}
	return b.String()
}

// Run prints the table and writes it to goals.md. A run that is missing leaves its lines empty.
func (g goalsCommand) Run() error {
	m := measuredRuns{}
	for _, scenario := range []string{kafkaAway, kafkaThere, kafkaReturning} {
		turns, err := readTurns(filepath.Join(g.In, "kafka-"+scenario+".jsonl"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
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

// readTurns reads a raw file of turns.
func readTurns(path string) ([]turn, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("compare: raw turns: %w", err)
	}
	var turns []turn
	for line := range bytes.Lines(raw) {
		var t turn
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("compare: raw turns of %s, line %d: %w", path, len(turns)+1, err)
		}
		turns = append(turns, t)
	}
	return turns, nil
}
