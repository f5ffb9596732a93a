//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

const (
	variantQuiet     = "not reloaded"
	variantReloading = "reloaded every second"
	variantAfter     = "after it, idle"

	reloadApps     = 5000
	reloadRate     = 10000 // callbacks a second
	reloadConns    = 256
	reloadsMetric  = "tidegate_reloads_total"
	reloadInterval = time.Second
)

// reload has apps of a file with 5,000 send 10,000 callbacks a second, with the file left
// alone and with all of it changed every second. Memory is looked at when the gateway has
// been idle: before the first reload, and after each turn with reloads.
func (b *bench) reload(ctx context.Context) (err error) {
	g, err := b.start(ctx, appsFile(reloadApps, 0))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.kill()) }()
	version := 0
	for round := range b.Rounds {
		for _, variant := range []string{variantQuiet, variantReloading} {
			before, err := reloads(ctx, g)
			if err != nil {
				return err
			}
			fill := func(s *sample) error {
				after, err := reloads(ctx, g)
				s.Reloads, s.Failed = after["ok"]-before["ok"], after["failed"]-before["failed"]
				if least := max(1, math.Floor(b.Turn.Seconds())-1); variant == variantReloading && (s.Reloads < least || s.Failed > 0) {
					b.wrong = append(b.wrong, fmt.Errorf("reload in round %d: %.0f reloads, at least %.0f were to be, and %.0f failed", round+1, s.Reloads, least, s.Failed))
				}
				return err
			}
			var tasks []beside
			if variant == variantReloading {
				files, err := versions(g, &version, int((b.Warmup+b.Turn-1)/reloadInterval)+1) // one at its beginning, the last before its end
				if err != nil {
					return err
				}
				tasks = append(tasks, func(ctx context.Context, _ drive.Span) error { return rewrite(ctx, g, files) })
			}
			f := flow{server: g.listen, source: honestSource, requests: honest(reloadConns, time.Now()), conns: reloadConns, rate: reloadRate}
			if err := b.turn(ctx, g, sample{Part: partReload, Variant: variant, Round: round}, f, b.Turn, fill, tasks...); err != nil {
				return err
			}
			if err := b.idle(ctx, g, round, variant); err != nil {
				return err
			}
		}
	}
	return nil
}

// reloads are the reloads so far, by result.
func reloads(ctx context.Context, g *gateway) (map[string]float64, error) {
	counted, err := g.scrape(ctx, reloadsMetric, "result")
	if errors.Is(err, drive.ErrNoMetric) {
		return map[string]float64{}, nil // none yet
	}
	return counted, err
}

// versions writes further versions of the apps file beside it, before the turn that takes
// them: who writes such a file does not use the processors that are measured.
func versions(g *gateway, version *int, count int) (files []string, err error) {
	for range count {
		*version++
		next := fmt.Sprintf("%s.%d", g.apps, *version)
		if err := os.WriteFile(next, appsFile(reloadApps, *version), 0o600); err != nil {
			return nil, fmt.Errorf("reload: %w", err)
		}
		files = append(files, next)
	}
	return files, nil
}

// rewrite replaces the apps file with one of files after the other, a second apart, and tells
// the gateway by SIGHUP: by itself it takes a file that two looks, a second apart, have found
// alike, which one that changes every second never is.
func rewrite(ctx context.Context, g *gateway, files []string) error {
	begun := time.Now()
	for i, next := range files {
		if err := wait(ctx, begun.Add(time.Duration(i)*reloadInterval)); err != nil {
			return err
		}
		if err := errors.Join(os.Rename(next, g.apps), unix.Kill(g.child.PID(), unix.SIGHUP)); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
	}
	return nil
}

// idle lets the gateway rest and notes its memory: before the first reload, and after each
// turn with reloads.
func (b *bench) idle(ctx context.Context, g *gateway, round int, variant string) error {
	s := sample{Part: partReload, Variant: variantAfter, Round: round + 1}
	if variant == variantQuiet {
		if round > 0 {
			return nil
		}
		s.Round = 0
	}
	if err := wait(ctx, time.Now().Add(b.Idle)); err != nil {
		return err
	}
	var err error
	s.Resident, err = g.resident()
	b.samples = append(b.samples, s)
	return err
}

// memoryAfter is the memory at the end over that before the first reload.
func memoryAfter(all []sample) []float64 {
	resident := each(all, partReload, variantAfter, mib)
	if len(resident) < 2 {
		return nil
	}
	return []float64{resident[len(resident)-1] / resident[0]}
}

func reloadFigures(all []sample) []figure {
	list := honestFigures(all, partReload, variantReloading, variantQuiet, 1.2)
	return append(list, figure{partReload, "resident memory at the end, idle, over before the first reload", atMost(1.2), "%.2f", memoryAfter(all)})
}
