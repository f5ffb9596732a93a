package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/internal/process"
)

// stopBudget is the time for all of a stop. A batch that is being handled is given up, and
// comes again: what takes time is leaving the group and closing the store.
const stopBudget = 15 * time.Second

// runCommand is the consumer itself.
type runCommand struct {
	settings `embed:""`
}

// Run consumes until a signal comes, which also ends a start that waits for its database. A
// mistake in the settings or the apps file, or a store that cannot be opened, is an error before
// anything is consumed.
func (c *runCommand) Run(con *process.Console) error {
	if errs := c.wrong(true); len(errs) > 0 {
		return errors.Join(errs...)
	}
	log, err := c.New(con.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	p := process.New(log)
	err = p.Start(con.Context, func(ctx context.Context) error { return open(ctx, p, &c.settings, log) })
	if errors.Is(err, process.ErrStopped) {
		return p.Stop(stopBudget)
	}
	if err != nil {
		log.Error("consumer cannot start", zap.Error(err))
		return fmt.Errorf("start: %w", errors.Join(err, p.Stop(stopBudget)))
	}
	return p.Run(con.Context, stopBudget)
}
