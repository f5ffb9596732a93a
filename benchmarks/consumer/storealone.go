//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// storeAlone runs the store's own benchmark over PostgreSQL, once for each round: Begin and
// Save over pgx's CopyFrom of the same rows, with one worker and with two, taking turns.
func (b *bench) storeAlone(ctx context.Context) error {
	for round := range b.Rounds {
		command := exec.CommandContext(ctx, b.StoreBench, "-test.run", "^$", "-test.bench", "^BenchmarkPostgres$", "-test.benchtime", "20x") //nolint:gosec // named by who runs us
		command.Env = append(os.Environ(), "TIDEGATE_TEST_POSTGRES="+b.Postgres)
		out, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("the store's benchmark: %w: %s", err, out)
		}
		found, err := parseBenchmark(string(out))
		if err != nil {
			return err
		}
		for _, s := range found {
			s.Round = round
			b.add(s)
		}
	}
	return nil
}

// errNoFigures says that a benchmark printed none.
var errNoFigures = errors.New("the store's benchmark printed no figures")

// parseBenchmark reads the lines of BenchmarkPostgres/WORKERS, each a variant.
func parseBenchmark(out string) ([]sample, error) {
	units := map[string]string{"saved/s": alarmsPerSecond, "copied/s": bulkPerSecond, "of-copy": overBulk}
	var all []sample
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "BenchmarkPostgres/") {
			continue
		}
		workers, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "BenchmarkPostgres/"), "-")
		s := sample{Part: partStore, Variant: workers, Figures: map[string]float64{}}
		for i := 2; i+1 < len(fields); i += 2 {
			name, wanted := units[fields[i+1]]
			value, err := strconv.ParseFloat(fields[i], 64)
			if wanted && err == nil {
				s.Figures[name] = value
			}
		}
		if len(s.Figures) == len(units) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil, errNoFigures
	}
	return all, nil
}
