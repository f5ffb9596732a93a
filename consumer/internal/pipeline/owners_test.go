package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
)

// history is what transactions of one partition found, one after the other: the locks that
// they hold see to the order.
type history struct {
	mu      sync.Mutex // guards all
	offset  int64
	periods map[int64]quota.Period
	back    []string // what was moved back
}

// found notes what one found while it holds the partition and the apps.
func (h *history) found(tx store.Tx) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, begun := tx.Progress(); begun {
		if p.Offset < h.offset {
			h.back = append(h.back, fmt.Sprintf("progress from %d to %d", h.offset, p.Offset))
		}
		h.offset = p.Offset
	}
	for app, p := range tx.Periods() {
		before := h.periods[app]
		if cmp.Or(cmp.Compare(p.LastAt, before.LastAt), cmp.Compare(p.LastID, before.LastID)) < 0 || p.Key() < before.Key() ||
			p.Key() == before.Key() && levels[p.Told] < levels[before.Told] {
			h.back = append(h.back, fmt.Sprintf("app %d from %+v to %+v", app, before, p))
		}
		h.periods[app] = p
	}
}

// observed is a store whose transactions are in the history.
type observed struct {
	storage
	h *history
}

func (o observed) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	tx, err := o.storage.Begin(ctx, topic, partition, ids, appIDs)
	if err == nil {
		o.h.found(tx)
	}
	return tx, err
}

// owner is a consumer that believes that it owns the partition. It is killed now and then, and
// goes on from where it has committed itself, which is behind what others have done.
type owner struct {
	store  storage
	sink   sink
	apps   *apps.Snapshot
	random *rand.Rand
}

// run handles all of the script.
func (o *owner) run(ctx context.Context) error {
	records := script()
	p := New(Options{
		Store: o.store, Producer: &o.sink, Apps: func() *apps.Snapshot { return o.apps }, Topics: topics, Group: testGroup, Now: now,
		After: func(Stage) error {
			if o.random.IntN(10) == 0 {
				return errKilled
			}
			<-time.After(time.Duration(o.random.IntN(3)) * time.Millisecond) // for the others to come in between, if they can
			return nil
		},
	})
	for at := 0; at < len(records); {
		next := records[at:min(at+1+o.random.IntN(4), len(records))]
		err := p.Handle(ctx, next, records[len(records)-1].Offset+1)
		switch {
		case err == nil:
			at += len(next)
		case !errors.Is(err, errKilled):
			return err
		}
	}
	return nil
}

// Several consumers believe that they own the partition, as those do that were stopped for
// longer than their session and woke up: all work on it at once, and nothing tells that it was
// more than one. Nothing was ever moved back.
func TestOwnersOfOnePartition(t *testing.T) {
	const owners, rounds = 3, 4
	for _, database := range stores[1:] {
		t.Run(database.name, func(t *testing.T) {
			undisturbed := newWorld(t, database.make(t), 100)
			undisturbed.process(t, 0)
			for round := range rounds {
				w := newWorld(t, database.make(t), 0)
				h := &history{periods: map[int64]quota.Period{}}
				var all []*owner
				errs := make(chan error, owners)
				for n := range owners {
					s, closeStore := w.open()
					t.Cleanup(closeStore)
					o := &owner{store: observed{s, h}, apps: snapshot(t), random: rand.New(rand.NewPCG(uint64(round), uint64(n)))}
					all = append(all, o)
					go func() { errs <- o.run(t.Context()) }()
				}
				for range owners {
					if err := <-errs; err != nil {
						t.Fatal(err)
					}
				}
				for _, o := range all {
					w.sink.records = append(w.sink.records, o.sink.records...)
				}
				w.sameAs(t, undisturbed)
				for _, what := range h.back {
					t.Errorf("moved back: %s", what)
				}
			}
		})
	}
}
