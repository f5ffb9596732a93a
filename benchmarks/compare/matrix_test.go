//go:build linux

package main

import (
	"slices"
	"testing"
	"time"
)

// full is the default matrix.
func full(scenario string) runCommand {
	return runCommand{
		Scenario: scenario, Servers: []string{"bare", "park", "memory", "disk", "broker"}, Connections: []int{64, 256, 1024}, Rate: []int{5000, 20000}, OpenConnections: 256,
		Body: []int{120, 1024, 16384}, Rounds: 3, Within: 8 * time.Minute, Warmup: 500 * time.Millisecond, Outage: 3 * time.Second,
	}
}

func TestMatrix(t *testing.T) {
	want := []cell{{Connections: 64, Rate: 0, Body: 120}, {Connections: 256, Rate: 0, Body: 120}, {Connections: 1024, Rate: 0, Body: 120}, {Connections: 256, Rate: 0, Body: 1024}, {Connections: 256, Rate: 0, Body: 16384}, {Connections: 256, Rate: 5000, Body: 120}, {Connections: 256, Rate: 20000, Body: 120}}
	if got := full(kafkaThere).cells(); !slices.Equal(got, want) {
		t.Errorf("cells %v", got)
	}
	if got := full(kafkaReturning).cells(); !slices.Equal(got, want[5:6]) {
		t.Errorf("returning has cells %v", got)
	}
	twice := full(kafkaThere)
	twice.Body = []int{120, 120}
	if got := twice.cells(); !slices.Equal(got, append(slices.Clone(want[:3]), want[5:]...)) {
		t.Errorf("a body given twice has cells %v", got)
	}
	crossed := full(kafkaThere)
	crossed.Cross = true
	if got := crossed.cells(); len(got) != 3*3+2*3 {
		t.Errorf("crossed cells %v", got)
	}
	if got := full(kafkaAway).names(); !slices.Equal(got, []string{"bare", "park", "memory", "disk"}) {
		t.Errorf("away has servers %v", got)
	}
	if got := full(kafkaThere).names(); len(got) != 5 || got[4] != "broker" {
		t.Errorf("there has servers %v", got)
	}
}

// Over TLS bare and disk have turns in closed loops of their own, beside the others.
func TestMatrixOverTLS(t *testing.T) {
	r := full(kafkaThere)
	r.TLS = []int{64, 256}
	over := cell{Connections: 64, Body: 120, TLS: true}
	cells := r.cells()
	if len(cells) != len(full(kafkaThere).cells())+2 || !slices.Contains(cells, over) {
		t.Errorf("cells %v", cells)
	}
	if got := r.serversIn(over); !slices.Equal(got, []string{"bare", "disk"}) {
		t.Errorf("over TLS there are %v", got)
	}
	if got := r.turns() - full(kafkaThere).turns(); got != 4 {
		t.Errorf("%d turns over TLS in a round", got)
	}
	if got := over.serverText("disk"); got != "disk tls" {
		t.Errorf("it is called %q", got)
	}
	if r.Scenario = kafkaReturning; slices.Contains(r.cells(), over) {
		t.Error("there is a closed loop while Kafka returns")
	}
}

// The counted time is what --within leaves, and a matrix that does not fit is refused.
func TestWithin(t *testing.T) {
	r := full(kafkaAway)
	counted, err := r.counted()
	if err != nil {
		t.Fatal(err)
	}
	turns := time.Duration(r.Rounds * len(r.cells()) * len(r.names()))
	if whole := turns * (counted + r.Warmup + betweenTurns); whole > r.Within+turns*10*time.Millisecond || whole < r.Within*95/100 {
		t.Errorf("%d turns of %s take %s of %s", turns, counted, whole, r.Within)
	}
	r.Within = time.Minute
	if _, err := r.counted(); err == nil {
		t.Error("84 turns fitted into a minute")
	}
	r.Duration = 4 * time.Second
	if counted, err := r.counted(); err != nil || counted != r.Duration {
		t.Errorf("--duration gave %s, %v", counted, err)
	}
}

func TestFlagsThatContradict(t *testing.T) {
	for name, change := range map[string]func(*runCommand){
		"brokers while away":       func(r *runCommand) { r.Brokers = "127.0.0.1:9092" },
		"a broker that cannot go":  func(r *runCommand) { r.Scenario, r.Brokers = kafkaReturning, "127.0.0.1:9092" },
		"body below the alarm":     func(r *runCommand) { r.Body = []int{50} },
		"no rounds":                func(r *runCommand) { r.Rounds = 0 },
		"a rate of nothing":        func(r *runCommand) { r.Rate = []int{0} },
		"no connections":           func(r *runCommand) { r.Connections = []int{-1} },
		"an outage of no duration": func(r *runCommand) { r.Outage = 0 },
	} {
		r := full(kafkaAway)
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		if change(&r); r.check() == nil {
			t.Errorf("%s passed", name)
		}
	}
}
