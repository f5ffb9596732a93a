package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
)

// loaded is the result of load: the batch with an open transaction, which whoever holds
// it must save or roll back.
type loaded struct {
	decoded
	tx       store.Tx
	known    map[string]store.Saved // alarm ids of the batch that have a row
	periods  map[int64]quota.Period // of the batch's apps; absent: none is saved
	progress store.Progress         // of the partition
	begun    bool                   // whether the partition has a progress
}

// load begins the batch's transaction and reads what the rules need: stage two. The rows
// of the batch's apps are locked until the transaction is over. It is cancelled with ctx,
// so a worker that woke up late cannot write over its successor. Errors are the
// store's; no transaction is left then.
func (p *Pipeline) load(ctx context.Context, d decoded) (loaded, error) {
	ids := make(map[string]struct{}, len(d.items))
	appIDs := make(map[int64]struct{})
	for i := range d.items {
		if it := &d.items[i]; it.dead == nil {
			ids[it.id] = struct{}{}
			appIDs[it.callback.AppID] = struct{}{}
		}
	}
	// In one order everywhere, so that two consumers cannot lock the same rows crosswise.
	tx, err := p.o.Store.Begin(ctx, d.topic, d.partition,
		slices.Sorted(maps.Keys(ids)), slices.Sorted(maps.Keys(appIDs)))
	if err != nil {
		return loaded{}, fmt.Errorf("begin the transaction of %d records: %w", len(d.items), err)
	}
	l := loaded{decoded: d, tx: tx, known: tx.Known(), periods: tx.Periods()}
	l.progress, l.begun = tx.Progress()
	return l, nil
}
