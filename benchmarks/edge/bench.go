//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// part is one thing that is shown, on a gateway of its own.
type part struct {
	name    string
	base    string // variant that the others are held to
	run     func(*bench, context.Context) error
	figures func(all []sample) []figure
}

// parts are in the order of the table.
var parts []part

func init() { // parts use what uses parts
	parts = []part{
		{partFairness, variantAlone, (*bench).fairness, fairnessFigures},
		{partRefusals, baseKept, (*bench).refusals, refusalFigures},
		{partReload, variantQuiet, (*bench).reload, reloadFigures},
		{partLoris, variantAlone, (*bench).loris, lorisFigures},
	}
}

// bench is a run that has been prepared.
type bench struct {
	options
	binary  string
	work    string // folder for everything that is written while measuring
	samples []sample
	wrong   []error // what was measured and is not what it was to be
}

// start starts a gateway in a folder of its own, which is b's and goes with b.work.
func (b *bench) start(ctx context.Context, apps []byte, flags ...string) (*gateway, error) {
	dir, err := os.MkdirTemp(b.work, "gateway-")
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return startGateway(ctx, b.binary, dir, apps, append(flags, b.GatewayFlags...)...)
}

// beside is what goes on while a flow is driven, until the span is over.
type beside func(context.Context, drive.Span) error

// turn drives f for length after the warm-up, with what goes on beside it, and adds s with
// what f saw, the CPU that the gateway used for each answer, a flood's too, and its memory. fill, where given, has the
// last word on the sample.
func (b *bench) turn(ctx context.Context, g *gateway, s sample, f flow, length time.Duration, fill func(*sample) error, tasks ...beside) error {
	now := time.Now()
	counted := drive.Span{From: now.Add(b.Warmup), To: now.Add(b.Warmup + length)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.cpu = g.cpu
	var saw *seen
	tasks = append(tasks, func(ctx context.Context, counted drive.Span) (err error) {
		saw, err = f.drive(ctx, counted)
		return err
	})
	done := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() {
			err := task(ctx, counted)
			if err != nil {
				cancel() // the others are of no use any more
			}
			done <- err
		}()
	}
	var err error
	for range tasks {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		return fmt.Errorf("%s, %s: %w", s.Part, s.Variant, drive.Explain(err, g.output))
	}
	s.saw(saw)
	if s.Resident == 0 {
		if s.Resident, err = g.resident(); err != nil {
			return err
		}
	}
	if fill != nil {
		if err := fill(&s); err != nil {
			return err
		}
	}
	if n := s.Accepted + s.Refused + s.FloodAccepted + s.FloodRefused; n > 0 {
		s.CPUMicros = float64(saw.cpu.Nanoseconds()) / 1000 / float64(n)
	}
	fmt.Printf("%d  %-10s %-32s %8.0f/s  200: %d  others: %d  p99 %d us  cpu %.1f us  %d MiB\n", s.Round+1, s.Part, s.Variant,
		float64(s.Accepted+s.Refused)/s.Seconds, s.Accepted, s.Refused+s.Cut+s.Unanswered, s.P99Micros, s.CPUMicros, s.Resident>>20)
	b.samples = append(b.samples, s)
	return nil
}

// wait returns at when, or with ctx's error when that ends before.
func wait(ctx context.Context, when time.Time) error {
	timer := time.NewTimer(time.Until(when))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
