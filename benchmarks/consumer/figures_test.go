//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rated is a turn of a part with a rate.
func rated(part string, round int, name string, value float64) sample {
	return sample{Part: part, Round: round, Figures: map[string]float64{name: value}}
}

func TestTableOfGoals(t *testing.T) {
	all := []sample{
		rated(partSQLite, 0, alarmsPerSecond, 9_000), rated(partSQLite, 1, alarmsPerSecond, 30_000), rated(partSQLite, 2, alarmsPerSecond, 9_500),
		rated(partPostgres, 0, overCopy, 0.5),
		{Part: partLive, Variant: "crossing SQLite", Figures: map[string]float64{p99Millis: 900}},
		{Part: partLive, Variant: "crossing SQLite", Round: 1, Figures: map[string]float64{p99Millis: 1100}},
		{Part: partRebalance, Variant: variantJoins, Figures: map[string]float64{worstMillis: 3500}},
	}
	table := goalTable(all)
	for _, want := range []string{
		"| alarms/s through all steps, rows to SQLite | >= 10000 | >= 25000 | 9500 (9000 - 30000) | **below the floor** |",
		"over COPY of the same rows | >= 0.40 | >= 0.60 | 0.50 | floor held |",
		"| crossing to Alertmanager, SQLite, p99, s | <= 3.000 | <= 1.000 | 1.000 (0.900 - 1.100) | goal reached |",
		"a second consumer joins, the last partition, s | <= 3.000 | <= 1.000 | 3.500 | **above the floor** |",
		"it is killed, the last partition, s | <= 3.000 | <= 1.000 | - | not measured |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no line with %s in\n%s", want, table)
		}
	}
	missed := 0
	for _, f := range figures() {
		if f.Missed(f.of(all)) {
			missed++
		}
	}
	if missed != 2 {
		t.Errorf("%d figures are missed, want 2", missed)
	}
}

// What was measured before is there after a run of another part.
func TestResultsAreReadBack(t *testing.T) {
	b := &bench{options: options{Out: t.TempDir()}}
	b.samples = []sample{rated(partStore, 3, overBulk, 0.5), {Part: partSQLite, Figures: map[string]float64{}, Facts: map[string]string{factServer: "SQLite 3"}}}
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.Out, "consumer.jsonl")
	got, err := readSamples(path)
	if err != nil || len(got) != 2 || got[0].Round != 3 || got[0].Figures[overBulk] != 0.5 || fact(got, partSQLite, factServer, "") != "SQLite 3" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{}\n{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSamples(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken file: %v", err)
	}
	if got, err := readSamples(path + "x"); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestStoreBenchmarkIsRead(t *testing.T) {
	got, err := parseBenchmark("goos: linux\nBenchmarkPostgres/1-2 \t 20\t 36152 copied/s\t 0.5628 of-copy\t 20340 saved/s\t 12 B/op\n" +
		"BenchmarkPostgres/2-2 \t 20\t 48850 copied/s\t 0.4677 of-copy\t 22850 saved/s\nBenchmarkOther/2-2 1 7 of-copy\nPASS\n")
	if err != nil || len(got) != 2 || got[0].Variant != "1" || got[1].Figures[overBulk] != 0.4677 || got[0].Figures[alarmsPerSecond] != 20340 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseBenchmark("PASS\n"); err == nil {
		t.Error("no figures are no error")
	}
}
