//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The table tells a goal that is reached from a floor that is held, one that is not, and what
// nobody measured.
func TestGoals(t *testing.T) {
	m := measuredRuns{}
	for round := range 5 {
		for connections, rate := range map[int]float64{64: 40000, 256: 70000, 1024: 99000} {
			for server, r := range map[string]float64{bareServer: 100000, parkServer: 80000, "disk": rate} {
				one := turnOf(server, round, r, 10)
				one.Scenario, one.cell = kafkaAway, cell{Connections: connections, Body: goalBody}
				m[kafkaAway] = append(m[kafkaAway], one)
			}
		}
		for scenario, p99 := range map[string]int64{kafkaThere: 1500, kafkaAway: 2400, kafkaReturning: 9000} {
			one := turnOf("disk", round, goalRate, 10)
			one.Scenario, one.cell = scenario, cell{Connections: 256, Rate: goalRate, Body: goalBody}
			one.P99Micros = p99 + int64(round) // the median is of the third round
			m[scenario] = append(m[scenario], one)
		}
	}
	table := m.table()
	for what, want := range map[string]string{
		"requests/s of disk over bare, 64 connections":   ">= 0.45 | >= 0.72 | 0.40 (0.40 - 0.40) | **below the floor** |",
		"requests/s of disk over bare, 256 connections":  ">= 0.60 | >= 0.85 | 0.70 (0.70 - 0.70) | floor held |",
		"requests/s of disk over bare, 1024 connections": ">= 0.75 | >= 0.94 | 0.99 (0.99 - 0.99) | goal reached |",
		"requests/s of disk over park, 64 connections":   ">= 0.75 | >= 0.90 | 0.50 (0.50 - 0.50) | **below the floor** |",
		"CPU a request of disk over park":                "- | <= 1.25 | 1.00 (1.00 - 1.00) | goal reached |",
		"requests/s of memory over bare, 64 connections": ">= 0.85 | >= 0.95 | - | not measured |",
		"Kafka there, ms":            "<= 4.00 | <= 2.00 | 1.50 (1.50 - 1.50) | goal reached |",
		"Kafka away over there":      "<= 2.00 | <= 1.20 | 1.60 (1.60 - 1.60) | floor held |",
		"Kafka returning over there": "<= 5.00 | <= 2.00 | 5.99 (5.99 - 5.99) | **above the floor** |",
	} {
		if !lineHas(table, what, want) {
			t.Errorf("no line of %s with %s:\n%s", what, want, table)
		}
	}
}

func lineHas(table, what, want string) bool {
	for line := range strings.Lines(table) {
		if strings.Contains(line, what) && strings.Contains(line, want) {
			return true
		}
	}
	return false
}

// The command reads what the runs write, and says where a raw file is broken.
func TestGoalsOfWrittenRuns(t *testing.T) {
	dir := t.TempDir()
	r, turns := exampleRun(kafkaAway)
	r.Out, r.Name = dir, "kafka-away"
	if err := r.write(turns, time.Second, 200*time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if err := (goalsCommand{In: dir}).Run(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "goals.md"))
	if err != nil || !lineHas(string(page), "disk over bare, 64 connections", "| 0.33 |") {
		t.Errorf("%v in\n%s", err, page)
	}
	broken := filepath.Join(dir, "kafka-there.jsonl")
	if err := os.WriteFile(broken, fmt.Appendf(nil, "{}\n{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (goalsCommand{In: dir}).Run(); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken file: %v", err)
	}
}
