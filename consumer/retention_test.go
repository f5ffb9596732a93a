package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// calls notes when Retain was called.
type calls struct {
	at   []time.Time
	days []int
	err  error
}

func (c *calls) Retain(_ context.Context, days int, now time.Time) (int64, error) {
	c.at, c.days = append(c.at, now), append(c.days, days)
	return 3, c.err
}

func TestRetentionWorksAMinuteAfterTheStartAndEveryHour(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		line string
	}{
		{"rows are deleted", nil, "old rows deleted"},
		{"the store is busy", errors.New("database is locked"), "could not look after all tables, trying again in an hour"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zap.InfoLevel)
				c := &calls{err: test.err}
				r := retention{store: c, days: 90, log: zap.New(core), now: time.Now}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				begun := time.Now()
				go func() { done <- r.run(ctx) }()
				time.Sleep(2*time.Hour + 2*time.Minute) // the bubble's clock
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if len(c.at) != 3 || c.at[0].Sub(begun) != time.Minute || c.at[2].Sub(c.at[0]) != 2*time.Hour || c.days[0] != 90 {
					t.Errorf("called at %v with %v", c.at, c.days)
				}
				if logs.FilterMessage(test.line).Len() != 3 {
					t.Errorf("logs %v", logs.All())
				}
			})
		})
	}
}
