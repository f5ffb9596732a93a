//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// turnOf is a turn of server in a round, with a rate and a CPU time.
func turnOf(server string, round int, rate, cpu float64) turn {
	return turn{Server: server, cell: cell{Connections: 64, Body: 120}, Round: round, RequestsPerSec: rate, ServerCPUMicros: cpu}
}

// Ratios are taken within a round: a round in which the machine was slow hits both alike.
func TestRatiosAreTakenWithinTheRound(t *testing.T) {
	turns := []turn{
		turnOf("bare", 0, 100, 5), turnOf("disk", 0, 50, 10),
		turnOf("bare", 1, 10, 50), turnOf("disk", 1, 5, 100),
		turnOf("bare", 2, 100, 5), turnOf("disk", 2, 40, 20),
	}
	e := entryOf(turns, turns[0].cell, "disk")
	if got := e.over(e.bare, rateOf); got != (rounds.Spread{Middle: 0.5, Least: 0.4, Most: 0.5, Rounds: 3}) {
		t.Errorf("rate over bare %+v", got)
	}
	if got := e.over(e.bare, cpuOf); got != (rounds.Spread{Middle: 2, Least: 2, Most: 4, Rounds: 3}) {
		t.Errorf("CPU over bare %+v", got)
	}
	if got := e.over(e.park, cpuOf); got.Text("%.2f") != "-" {
		t.Errorf("park had no turn, over park %+v", got)
	}
}

// A round in which one of the two says nothing is in no ratio, and no figure of it counts.
func TestRefusedTurnsAreInNoMedian(t *testing.T) {
	turns := []turn{
		turnOf("bare", 0, 100, 5), turnOf("memory", 0, 50, 10),
		turnOf("bare", 1, 100, 5), turnOf("memory", 1, 7, 70),
	}
	turns[1].RefusedShare, turns[3].RefusedShare = 0.0005, 0.2
	e := entryOf(turns, turns[0].cell, "memory")
	if got := e.of(rateOf); got != (rounds.Spread{Middle: 50, Least: 50, Most: 50, Rounds: 1}) {
		t.Errorf("rate %+v", got)
	}
	if got := e.over(e.bare, cpuOf); got != (rounds.Spread{Middle: 2, Least: 2, Most: 2, Rounds: 1}) {
		t.Errorf("CPU over bare %+v", got)
	}
	if got := e.refusedText(); !strings.Contains(got, "up to 20.00 %: 1 of 2 turns say nothing about speed") {
		t.Errorf("marked %q", got)
	}
	turns[1].RefusedShare = 1
	line := markdown(closedColumns(), []entry{entryOf(turns, turns[0].cell, "memory")})
	if !strings.Contains(line, "| memory | - | - | - | - | - | - | - | - | - |") {
		t.Errorf("figures of refusals: %s", line)
	}
}

func TestDriverLimited(t *testing.T) {
	for name, c := range map[string]struct {
		turn turn
		want bool
	}{
		"closed, core used up":           {turn{DriverCore: 0.96}, true},
		"closed, core not used up":       {turn{DriverCore: 0.9}, false},
		"open, latency is the driver's":  {turn{cell: cell{Rate: 1000}, DriverLateMicros: 600, P99Micros: 1000}, true},
		"open, latency is the server's":  {turn{cell: cell{Rate: 1000}, DriverLateMicros: 400, P99Micros: 1000}, false},
		"closed loops are not scheduled": {turn{DriverLateMicros: 600, P99Micros: 1000}, false},
	} {
		if got := c.turn.driverLimited(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
