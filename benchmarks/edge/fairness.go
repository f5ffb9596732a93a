//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

const (
	partFairness = "fairness"
	partRefusals = "refusals"
	partReload   = "reload"
	partLoris    = "slow-loris"

	variantAlone      = "alone"
	variantFlood      = "one app at 20 x its limit"
	variantForged     = "bad signatures, 4,000/s"
	variantForgedMost = "bad signatures, closed loop"

	honestApps = 50
	honestRate = 100 // callbacks a second of all of them together
	floodTimes = 20  // of its limit, that the loud app sends
	forgedRate = 4000

	// fairnessTurns is how many turns' time a variant has: of so few callbacks a second the p99 of one
	// turn would be its fourth worst.
	fairnessTurns = 2
	floodConns    = 64
)

// fairness has 50 honest apps send on schedule: alone, beside one app that sends 20 times what
// it may, and beside one source that guesses signatures in the names of the honest.
func (b *bench) fairness(ctx context.Context) (err error) {
	g, err := b.start(ctx, appsFile(honestApps, 0))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.kill()) }()
	for round := range b.Rounds {
		for _, variant := range []string{variantAlone, variantFlood, variantForged, variantForgedMost} {
			s := sample{Part: partFairness, Variant: variant, Round: round}
			f := flow{server: g.listen, source: honestSource, requests: honest(honestApps, time.Now()), conns: honestApps, rate: honestRate}
			var tasks []beside
			var flood seen
			if loud := floodOf(g, variant); loud != nil {
				tasks = append(tasks, func(ctx context.Context, counted drive.Span) error {
					saw, err := loud.drive(ctx, counted)
					if err == nil {
						flood = *saw
					}
					return err
				})
			}
			fill := func(s *sample) error {
				s.FloodAccepted, s.FloodRefused = flood.accepted(), flood.refused()
				if err := floodIsWrong(s); err != nil {
					b.wrong = append(b.wrong, fmt.Errorf("%s in round %d: %w", variant, round+1, err))
				}
				return nil
			}
			if err := b.turn(ctx, g, s, f, fairnessTurns*b.Turn, fill, tasks...); err != nil {
				return err
			}
		}
	}
	return nil
}

// floodOf is what comes beside the honest in a variant; nil: nothing.
func floodOf(g *gateway, variant string) *flow {
	now := time.Now()
	f := &flow{server: g.listen, source: hostileSource, conns: floodConns}
	switch variant {
	case variantFlood:
		f.requests, f.rate = [][]byte{right(limitedApp, now).write()}, floodTimes*rateLimit
	case variantForged, variantForgedMost:
		for i := range honestApps {
			f.requests = append(f.requests, forged(firstApp+int64(i), now).write())
		}
		if variant == variantForged {
			f.rate = forgedRate
		}
	default:
		return nil
	}
	return f
}

// Errors of a flood that was none: what the honest notice of it says nothing then.
var (
	errNoFlood = errors.New("fewer of the flood were answered than were to come")
	errLetIn   = errors.New("more of the flood was let in than may be")
)

// floodIsWrong says whether a flood was another than its variant is to have. A closed loop's is as large
// as it came to be, and larger than the honest by far.
func floodIsWrong(s *sample) error {
	var least, most float64
	switch s.Variant {
	case variantAlone:
		return nil
	case variantFlood:
		least, most = floodTimes*rateLimit*s.Seconds, rateLimit*(s.Seconds+1)
	case variantForged:
		least = forgedRate * s.Seconds
	default:
		least = 2 * honestRate * s.Seconds
	}
	if total := float64(s.FloodAccepted + s.FloodRefused); total < wanted*least {
		return fmt.Errorf("%w: %.0f of %.0f", errNoFlood, total, least)
	}
	if float64(s.FloodAccepted) > most {
		return fmt.Errorf("%w: %d of %.0f", errLetIn, s.FloodAccepted, most)
	}
	return nil
}

func fairnessFigures(all []sample) []figure {
	var list []figure
	for _, variant := range []string{variantFlood, variantForged, variantForgedMost} {
		list = append(list, honestFigures(all, partFairness, variant, variantAlone, 1.2)...)
	}
	// In a closed loop the flood's client takes what the gateway leaves of the processors, and the honest
	// clients beside it wait for theirs: stated, as no gateway could change that.
	list[len(list)-2].bound = bound{}
	return list
}
