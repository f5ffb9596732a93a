//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// cell is one point of the matrix; every server has a turn in it in every round.
type cell struct {
	Connections int `json:"connections"`
	Rate        int `json:"rate"` // arrivals a second of an open loop; 0: closed loop
	Body        int `json:"body_bytes"`

	TLS bool `json:"tls,omitempty"` // everything is over TLS, the baseline too
}

// cells is the matrix. Only the first body size meets every number of connections and every
// rate; the others meet the middle number of connections, unless everything is crossed:
// what a larger body costs is seen at one point, and the whole would take an hour.
func (r runCommand) cells() []cell {
	var all []cell
	add := func(c cell) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	connections, rates := r.Connections, r.Rate
	if r.Scenario == kafkaReturning {
		connections = nil // a closed loop waits for what it measures
		if !r.Cross {
			rates = rates[:min(1, len(rates))] // an outage is long
		}
	}
	for i, body := range r.Body {
		for j, n := range connections {
			if i == 0 || r.Cross || j == len(connections)/2 {
				add(cell{Connections: n, Body: body})
			}
		}
	}
	if r.Scenario != kafkaReturning {
		for _, n := range r.TLS {
			add(cell{Connections: n, Body: r.Body[0], TLS: true})
		}
	}
	for _, rate := range rates {
		for i, body := range r.Body {
			if i == 0 || r.Cross {
				add(cell{Connections: r.OpenConnections, Rate: rate, Body: body})
			}
		}
	}
	return all
}

// String is how a cell is called in what is printed.
func (c cell) String() string {
	if c.Rate > 0 {
		return fmt.Sprintf("%d/s, %s", c.Rate, bytesText(c.Body))
	}
	if c.TLS {
		return fmt.Sprintf("%d connections, %s, TLS", c.Connections, bytesText(c.Body))
	}
	return fmt.Sprintf("%d connections, %s", c.Connections, bytesText(c.Body))
}

// serverText is how a server is called in c.
func (c cell) serverText(name string) string {
	if c.TLS {
		return name + " tls"
	}
	return name
}

// bytesText is a size as people write it.
func bytesText(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// names are the servers that can run, bare and park first where they do.
func (r runCommand) names() []string {
	names := []string{bareServer}
	for _, name := range r.Servers {
		if !slices.Contains(names, name) && (name != "broker" || r.Scenario != kafkaAway) {
			names = append(names, name)
		}
	}
	return names
}

// serversIn are the servers that have a turn in c: over TLS only the baseline and the default
// ack level, as what TLS costs is the same at each.
func (r runCommand) serversIn(c cell) []string {
	names := r.names()
	if c.TLS {
		names = slices.DeleteFunc(names, func(name string) bool { return name != bareServer && name != diskServer })
	}
	return names
}

// turns is how many turns there are in a round.
func (r runCommand) turns() (n int) {
	for _, c := range r.cells() {
		n += len(r.serversIn(c))
	}
	return n
}

// Bounds of a turn.
const (
	betweenTurns = 400 * time.Millisecond // starting, connecting, ending, the disk's rest
	shortestTurn = 500 * time.Millisecond // below, a figure is noise
)

// counted is how long a turn is counted: --duration, or what --within leaves for each.
func (r runCommand) counted() (time.Duration, error) {
	turns := r.Rounds * r.turns()
	if turns == 0 {
		return 0, errors.New("compare: nothing to measure")
	}
	if r.Duration > 0 {
		return r.Duration, nil
	}
	each := r.Within/time.Duration(turns) - r.Warmup - betweenTurns
	if r.Scenario == kafkaReturning {
		each -= r.Outage
	}
	if each < shortestTurn {
		return 0, fmt.Errorf("compare: %d turns do not fit into --within %s: less of --rounds, --connections, --rate, --body, or --duration", turns, r.Within)
	}
	return each.Round(10 * time.Millisecond), nil
}

// check says what is wrong with the flags together.
func (r runCommand) check() error {
	switch {
	case r.Rounds < 1 || r.OpenConnections < 1 || r.Warmup < 0 || r.Duration < 0 || r.Outage <= 0:
		return errors.New("compare: --rounds, --open-connections and --outage must be positive, --warmup and --duration not negative")
	case len(r.Body) == 0 || slices.Min(r.Body) < 120:
		return errors.New("compare: --body is at least 120 bytes: that is the alarm")
	case len(r.Connections) > 0 && slices.Min(r.Connections) < 1, len(r.Rate) > 0 && slices.Min(r.Rate) < 1, len(r.TLS) > 0 && slices.Min(r.TLS) < 1:
		return errors.New("compare: --connections, --rate and --tls must be positive")
	case r.Scenario == kafkaAway && r.Brokers != "":
		return errors.New("compare: --scenario away takes no --brokers")
	case r.Scenario == kafkaReturning && r.Brokers != "":
		return errors.New("compare: --scenario returning takes no --brokers: only the embedded broker can be sent away")
	}
	return nil
}
