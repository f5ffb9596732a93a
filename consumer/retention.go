package main

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Times of the retention job.
const (
	retentionFirst = time.Minute // after the start, which has better things to do
	retentionEvery = time.Hour
)

// retainer deletes old rows; store.Store is one.
type retainer interface {
	Retain(ctx context.Context, days int, now time.Time) (deleted int64, err error)
}

// retention deletes rows that are older than days, every hour; with days 0 it only has the
// store make room for the days to come. Neither is urgent: what fails is logged and tried
// again the next hour.
type retention struct {
	store retainer
	days  int
	log   *zap.Logger
	now   func() time.Time
}

// run works until ctx ends and returns nil then.
func (r *retention) run(ctx context.Context) error {
	timer := time.NewTimer(retentionFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		r.once(ctx)
		timer.Reset(retentionEvery)
	}
}

func (r *retention) once(ctx context.Context) {
	deleted, err := r.store.Retain(ctx, r.days, r.now())
	facts := []zap.Field{zap.Int("older_than_days", r.days), zap.Int64("deleted", deleted)}
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Warn("could not look after all tables, trying again in an hour", append(facts, zap.Error(err))...)
	case deleted > 0:
		r.log.Info("old rows deleted", facts...)
	}
}
