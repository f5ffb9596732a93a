//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a run with a spread, a gap and a name that XML must escape.
func example() (bars, dots chart) {
	at := func(middle float64) rounds.Spread {
		return rounds.Spread{Middle: middle, Least: middle * 0.9, Most: middle * 1.2, Rounds: 3}
	}
	bars = chart{title: "CPU & rounds", note: "a < b", series: []string{"bare", "disk"}, groups: []chartGroup{
		{label: "64 connections", sub: "120 B", values: []rounds.Spread{at(10), at(25.5)}},
		{label: "256 connections", sub: "120 B", values: []rounds.Spread{at(9.25), {}}},
	}}
	dots = bars
	dots.log = true
	return bars, dots
}

func TestChartIsGolden(t *testing.T) {
	bars, dots := example()
	for name, c := range map[string]chart{"bars": bars, "dots": dots} {
		got, err := c.svg()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, []byte(got)) {
			t.Errorf("%s is not as %s; look at it, then -update", name, path)
		}
	}
}

// Whatever there is to draw, the picture is well-formed and no coordinate is without number.
func TestChartIsWellFormed(t *testing.T) {
	bars, dots := example()
	empty := chart{title: "nothing", series: []string{"bare"}}
	silent := chart{title: "all refused", series: []string{"bare"}, groups: []chartGroup{{label: "64", values: []rounds.Spread{{}}}}}
	zero := chart{title: "zero", series: []string{"bare"}, groups: []chartGroup{{label: "64", values: []rounds.Spread{{Rounds: 1}}}}}
	zeroLog := zero
	zeroLog.log = true
	for _, c := range []chart{bars, dots, empty, silent, zero, zeroLog} {
		drawn, err := c.svg()
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(strings.NewReader(drawn))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.title, err)
			}
		}
		for _, bad := range []string{"NaN", "Inf", "<no value>"} {
			if strings.Contains(drawn, bad) {
				t.Errorf("%s has %s in it", c.title, bad)
			}
		}
	}
}

// Higher values are drawn higher, bars begin at the axis, and all is inside.
func TestScale(t *testing.T) {
	bars, dots := example()
	for _, c := range []chart{bars, dots} {
		y, ticks := c.scale()
		if len(ticks) < 2 {
			t.Errorf("log %v: ticks %v", c.log, ticks)
		}
		last := float64(chartBottom) + 0.1
		for _, v := range []float64{8.5, 9.25, 10, 25.5, 25.5 * 1.2} {
			if at := y(v); at >= last || at < chartTop {
				t.Errorf("log %v: %v is at %v, the one below it at %v", c.log, v, at, last)
			} else {
				last = at
			}
		}
	}
	if y, _ := bars.scale(); y(0) != chartBottom {
		t.Errorf("zero is at %v", y(0))
	}
}

func TestShortNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.05: "0.05", 0.5: "0.5", 9.25: "9.2", 10: "10", 134.4: "134", 9999: "9999", 12345: "12.3k", 200000: "200k"} {
		if got := short(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
