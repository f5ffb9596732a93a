package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// demo runs the vendor as a child and prints what comes out, until ctx ends (nil) or a
// part ends by itself (its error).
func (l *local) demo(ctx context.Context, s *stack.Stack) error {
	path, err := stack.Bin("load")
	if err != nil {
		return err
	}
	from, err := stack.Ends(ctx, s.Kafka(), s.Topics().Alarms, s.Topics().AlarmsDLQ)
	if err != nil {
		return err
	}
	options := stack.ChildOptions{Name: "load", Path: path, Args: l.demoArgs(s)}
	if !l.settings.Verbose {
		options.Log = l.logFile("load")
	}
	vendor := stack.NewChild(options)
	if err := vendor.Start(); err != nil {
		return err
	}
	fmt.Fprintf(l.out, "Demo: %g callbacks a second of %s, some of no use. Alarms as they come out of %s:\n\n",
		l.settings.DemoRate, l.appsFile, s.Topics().Alarms)

	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	ended := make(chan error, 2) // room for both workers
	workers.Go(func() {
		ended <- stack.Follow(ctx, s.Kafka(), from, func(r *schema.Record) bool {
			l.out.record(r, s.Topics())
			return true
		})
	})
	workers.Go(func() { ended <- s.Wait(ctx) })

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-vendor.Unasked():
	case failure = <-ended:
	}
	if ctx.Err() != nil {
		failure = nil // that the workers end with it is no news
	}
	stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), stopBudget/4)
	defer stop()
	return errors.Join(failure, vendor.Stop(stopping))
}

// demoArgs are what the vendor is played with: usage that climbs a step in less than a
// minute, a history so that rates are known at once, both forms of EventTime, some traffic
// that shares the URL, and some bodies that the consumer cannot use.
func (l *local) demoArgs(s *stack.Stack) []string {
	return []string{
		"run", "--url=" + s.GatewayURL(), "--apps-file=" + l.appsFile, "--duration=0s", "--connections=4",
		"--rate=" + strconv.FormatFloat(l.settings.DemoRate, 'f', -1, 64),
		"--mix=alarm=6,Group.CallbackAfterGroupInfoChanged=1,State.StateChange=1", "--malformed=0.06",
		"--climb=1.1", "--history=12m", "--event-time=mixed", "--seed=" + strconv.FormatInt(time.Now().UnixNano(), 10),
	}
}
