//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleRun has closed loops, an open one and two rounds, one turn of which was refused,
// one limited by the driver and one behind.
func exampleRun(scenario string) (runCommand, []turn) {
	r := runCommand{Scenario: scenario, Servers: []string{"park", "disk"}, Connections: []int{64}, Rate: []int{5000}, OpenConnections: 256, Body: []int{120}, Rounds: 2, Name: "example"}
	var turns []turn
	for round := range 2 {
		for _, c := range r.cells() {
			for i, name := range r.names() {
				t := turnOf(name, round, 60000/float64(i+1), 10*float64(i+1)+float64(round))
				t.Scenario, t.cell = scenario, c
				t.P50Micros, t.P99Micros, t.P999Micros, t.ServerRSS, t.DriverCore = 500, 4000, 9000, 20<<20, 0.5
				if c.Rate > 0 {
					t.RequestsPerSec, t.DriverLateMicros = 5000, 150
				}
				if name == "disk" {
					t.SyncsPerSec, t.EntriesPerSync = 900, 27
				}
				turns = append(turns, t)
			}
		}
	}
	turns[2].RefusedShare = 0.3
	turns[5].Unanswered = 12
	turns[len(turns)-2].DriverCore = 0.97
	if scenario == kafkaReturning {
		turns[2].CaughtUpSeconds = 1.5
	}
	return r, turns
}

func TestTablesAreGolden(t *testing.T) {
	for _, scenario := range []string{kafkaAway, kafkaReturning} {
		r, turns := exampleRun(scenario)
		got := r.tables(turns)
		path := filepath.Join("testdata", "tables-"+scenario+".md")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("tables are not as %s; -update writes it anew:\n%s", path, got)
		}
	}
}

// What is written is the raw turns, readable again, and a page whose images are there.
func TestResults(t *testing.T) {
	r, turns := exampleRun(kafkaAway)
	r.Out = t.TempDir()
	if err := r.write(turns, time.Second, 200*time.Microsecond); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(r.Out, "example.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var read []turn
	for line := range strings.Lines(string(raw)) {
		var one turn
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		read = append(read, one)
	}
	if !slices.Equal(read, turns) {
		t.Error("the raw turns are not what was measured")
	}
	page, err := os.ReadFile(filepath.Join(r.Out, "example.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"cpu", "rate", "latency"} {
		name := "example-" + kind + ".svg"
		if _, err := os.Stat(filepath.Join(r.Out, name)); err != nil || !strings.Contains(string(page), "("+name+")") {
			t.Errorf("%s: %v, or the page does not show it", name, err)
		}
	}
	if !strings.Contains(string(page), "200µs") {
		t.Error("the page does not say how long park sleeps")
	}
}
