package pipeline

import (
	"context"
	"fmt"
)

// saved is the result of save: all rows are committed.
type saved struct{ applied }

// save writes everything in one commit: stage four. The transaction is over on return,
// whatever happened; on error nothing was saved, except that a commit whose answer was
// lost may have been: the next attempt finds its rows and publishes their bytes.
func (p *Pipeline) save(ctx context.Context, a applied) (saved, error) {
	if err := a.tx.Save(ctx, a.changes); err != nil {
		return saved{}, fmt.Errorf("save %d records of %s partition %d up to offset %d: %w",
			len(a.items), a.topic, a.partition, a.last().Offset, err)
	}
	return saved{a}, nil
}
