//go:build linux

package main

import (
	"errors"
	"strings"
	"testing"
)

const benchOutput = `goos: linux
pkg: example
BenchmarkAppendOverRaw/writers=1-2         	       5	         0 ns/op	      5123 entries/s	         0.912 x-raw	         0.85 x-raw:least	         1.01 x-raw:most
BenchmarkAppendOverRaw/writers=64-2        	       5	         0 ns/op	    312345 entries/s	         0.87 x-raw
PASS
`

func TestTableHasRatiosFirstAndTheirSpread(t *testing.T) {
	results, err := parseResults([]byte(benchOutput))
	if err != nil {
		t.Fatal(err)
	}
	want := `| | AppendOverRaw/writers=1 | AppendOverRaw/writers=64 |
|---|---|---|
| x-raw | 0.912 (0.850-1.01) | 0.870 |
| entries/s | 5123 | 312345 |
`
	if got := table(results); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestOutputWithoutResultsIsAnError(t *testing.T) {
	if _, err := parseResults([]byte("PASS\nok\n")); !errors.Is(err, errNoResults) {
		t.Errorf("error %v, want %v", err, errNoResults)
	}
	broken := strings.Replace(benchOutput, "5123", "many", 1)
	if _, err := parseResults([]byte(broken)); err == nil {
		t.Error("a value that is no number was read")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.01234: "0.0123", 0.5: "0.500", 9.994: "9.99", 12.34: "12.3", 123.4: "123", 1234567: "1234567"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestEveryPartNamesItsCommand(t *testing.T) {
	c := partsCommand{Rounds: 3, Brokers: "127.0.0.1:1"}
	for _, p := range parts {
		line := c.line(p, c.args(p))
		if !strings.Contains(line, "-run '^$' -bench '"+p.bench+"'") || !strings.Contains(line, "go test ") || p.kafka != strings.HasPrefix(line, "TIDEGATE_BENCH_BROKERS=127.0.0.1:1 ") {
			t.Errorf("%s: %s", p.name, line)
		}
	}
}
