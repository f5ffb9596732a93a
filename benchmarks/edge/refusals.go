//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// callbacksMetric counts every answer by its reason, a closed list.
const callbacksMetric = "tidegate_gateway_callbacks_total"

// refusalConns are the connections of a closed loop.
const refusalConns = 64

// refusals measures the gateway's CPU for each kind of answer, each in a turn of its own in
// every round. What a turn was answered is read from the gateway's own counters.
func (b *bench) refusals(ctx context.Context) (err error) {
	gateways := map[variant]*gateway{}
	for _, v := range []variant{open, full, guarded, walled} {
		flags, err := v.flags(b.work)
		if err != nil {
			return fmt.Errorf("refusals: %w", err)
		}
		g, err := b.start(ctx, appsFile(honestApps, 0), flags...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, g.kill()) }() // when all turns are over
		gateways[v] = g
	}
	counted, err := gateways[open].scrape(ctx, callbacksMetric, "reason")
	if err != nil {
		return err
	}
	if err := unknownReasons(slices.Sorted(maps.Keys(counted)), kinds); err != nil {
		return err
	}
	for round := range b.Rounds {
		for _, k := range kinds {
			if len(b.Kinds) > 0 && !slices.Contains(b.Kinds, k.name) && k.base != "" {
				continue
			}
			if err := b.refusal(ctx, gateways[k.at], k, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// errUnknownReason: the gateway refuses for a reason that this program knows nothing of.
var errUnknownReason = errors.New("reasons that are neither measured nor listed as not causable (kinds.go)")

// unknownReasons is errUnknownReason with those of reasons that have no line in kinds.go.
func unknownReasons(reasons []string, kinds []kind) error {
	var unknown []string
	for _, reason := range reasons {
		_, listed := notCausable[reason]
		if !listed && !slices.ContainsFunc(kinds, func(k kind) bool { return k.reason == reason }) {
			unknown = append(unknown, reason)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%w: %q", errUnknownReason, unknown)
	}
	return nil
}

// refusal is the turn of k.
func (b *bench) refusal(ctx context.Context, g *gateway, k kind, round int) error {
	if k.at == full {
		release, err := fill(g)
		if err != nil {
			return err
		}
		defer release()
	}
	before, err := g.scrape(ctx, callbacksMetric, "reason")
	if err != nil {
		return err
	}
	f := flow{
		server: g.listen, source: manySources, sources: refusalConns, conns: refusalConns, once: k.once,
		requests: [][]byte{k.make(time.Now())},
	}
	if f.requests[0] == nil {
		f.requests[0] = []byte{}
	}
	judge := func(s *sample) error {
		after, err := g.scrape(ctx, callbacksMetric, "reason")
		if err != nil {
			return err
		}
		var most string
		s.WantedShare, most = share(before, after, or(k.reason, "none"))
		if s.WantedShare < wanted {
			b.wrong = append(b.wrong, fmt.Errorf("%s in round %d: %.0f %% were answered so, most were %s", k.name, round+1, 100*s.WantedShare, most))
		}
		return nil
	}
	return b.turn(ctx, g, sample{Part: partRefusals, Variant: k.name, Round: round}, f, b.RefusalTurn, judge)
}

// share is the share of what was counted between two looks that has the reason, and the
// reason that most have.
func share(before, after map[string]float64, reason string) (of float64, most string) {
	all := 0.0
	for name, n := range after {
		n -= before[name]
		all += n
		if most == "" || n > after[most]-before[most] {
			most = name
		}
	}
	if all == 0 {
		return 0, "nothing"
	}
	return (after[reason] - before[reason]) / all, most
}

// fill takes all connections that g has, until release. They send nothing, so that the gateway
// closes them after a few seconds: a turn must be shorter.
func fill(g *gateway) (release func(), err error) {
	var conns []net.Conn
	release = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range fewConns {
		c, err := net.Dial("tcp", g.listen.String())
		if err != nil {
			release()
			return nil, fmt.Errorf("connections: %w", err)
		}
		conns = append(conns, c)
	}
	return release, nil
}

func refusalFigures(all []sample) []figure {
	measured := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.Part == partRefusals && (s.WantedShare < wanted || s.CPUMicros == 0) })
	var list []figure
	for _, k := range kinds {
		if k.base != "" {
			list = append(list, figure{partRefusals, "CPU an answer, " + k.name + " over " + k.base, atMost(1), "%.2f", over(measured, partRefusals, k.name, k.base, cpu)})
		}
	}
	return list
}
