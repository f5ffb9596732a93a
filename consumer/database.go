package main

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
)

// Pauses between attempts to open a database that is away.
const (
	openFirstPause = 500 * time.Millisecond
	openLastPause  = 10 * time.Second
)

// openWhenThere opens the store. A database that is away is waited for until ctx ends, as
// Kafka is: nothing is consumed meanwhile. Any other error is the operator's, and is returned.
func openWhenThere(ctx context.Context, url string, o store.Options) (store.Store, error) {
	for pause := openFirstPause; ; pause = min(2*pause, openLastPause) {
		s, err := store.Open(ctx, url, o)
		if err == nil || ctx.Err() != nil || !store.IsAway(err) {
			return s, err
		}
		pause := pause - pause/5 + rand.N(pause*2/5) // so that consumers do not come back in step
		o.Log.Warn("database does not answer, trying again", zap.Duration("in", pause), zap.Error(err))
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// checkDatabase says what the open store is.
func (c *checkCommand) checkDatabase(ctx context.Context, f *process.Findings, s store.Store) {
	name := store.Name(c.Store)
	about, err := s.About(ctx)
	if err != nil {
		f.Fail("--store: %s: %v", name, err)
		return
	}
	for _, problem := range about.Problems {
		f.Warn("--store: %s", problem)
	}
	if about.Version > about.Latest {
		f.Fail("--store: the tables are of version %d, made by a later release than this one, which writes %d", about.Version, about.Latest)
		return
	}
	f.OK("--store: %s: %s answers, tables are of version %d, which is this release's", name, about.Server, about.Version)
}
