package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/internal/process"
)

// closeTime is what is left of the time to stop for closing journals and connections.
const closeTime = 5 * time.Second

// runCommand is the gateway itself.
type runCommand struct {
	settings `embed:""`
}

// Run takes callbacks until a signal comes. A mistake in the settings or the files, or a
// journal that cannot be opened, is an error before anything listens.
func (c *runCommand) Run(con *process.Console) error {
	if err := c.complete(); err != nil {
		return err
	}
	if errs := c.wrong(true); len(errs) > 0 {
		return errors.Join(errs...)
	}
	log, err := c.Logs.New(con.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	p := process.New(log)
	err = p.Start(con.Context, func(context.Context) error {
		_, err := open(p, &c.settings, log)
		return err
	})
	if errors.Is(err, process.ErrStopped) {
		return p.Stop(c.stopBudget())
	}
	if err != nil {
		log.Error("gateway cannot start", zap.Error(err))
		return fmt.Errorf("start: %w", errors.Join(err, p.Stop(closeTime)))
	}
	return p.Run(con.Context, c.stopBudget())
}

// stopBudget is the time for all of a stop: readiness, the last answers, the drain, and
// closing.
func (s *settings) stopBudget() time.Duration {
	return s.ShutdownDelay + answerTime(s.AckDeadline) + s.DrainTimeout + closeTime
}

// answerTime is how long the last callbacks may take to be answered: their deadline, and
// time to write.
func answerTime(ackDeadline time.Duration) time.Duration { return ackDeadline + 2*time.Second }
