package pipeline

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

// Backoff while a dependency is away.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoff waits for d, give or take a fifth so that consumers do not come back in step,
// or until ctx ends.
func backoff(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d - d/5 + rand.N(d*2/5))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// waiter is a call that waits while the database does not take what it has. It counts among
// those that do from its first failure until the database answers it, or until it gives up
// because its generation is over: nothing is known of the database then, and the records are
// somebody else's, so that one that has nothing to do for days must not be called down.
// Owned by the call, which leaves at its end.
type waiter struct {
	*Pipeline
	waits bool
}

// failed notes that the database did not take it, and waits.
func (w *waiter) failed(ctx context.Context, err error, wait time.Duration) {
	if !w.waits {
		w.waits = true
		w.waiting.Add(1)
	}
	w.log.Warn("database did not take a batch, trying again", zap.Duration("in", wait), zap.Error(err))
	backoff(ctx, wait)
}

// answered notes that the database took it.
func (w *waiter) answered() {
	if w.leave() {
		w.log.Info("database answers again")
	}
}

// leave has it wait no more. It says whether it was the last one that did.
func (w *waiter) leave() bool {
	if !w.waits {
		return false
	}
	w.waits = false
	return w.waiting.Add(-1) == 0
}
