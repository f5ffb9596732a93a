package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// gate is a producer that answers nobody until it is opened.
type gate struct{ opened chan struct{} }

func (g gate) Produce(ctx context.Context, _ []schema.Record) ([]error, error) {
	select {
	case <-g.opened:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Only so many batches are between load and save at a time. Those that wait for Kafka are not,
// so that partitions whose leader is away hold up no other; and who waits for the database when
// his generation ends does not wait on.
func TestBatchesBetweenLoadAndSaveAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, bound = 12, 3
		var storing, most atomic.Int32
		kafka, database := gate{make(chan struct{})}, make(chan struct{})
		close(database)
		r := newRig(t, func(o *Options) {
			o.AtOnce, o.Producer = bound, kafka
			o.After = func(s Stage) error {
				switch s {
				case StageLoad:
					if now := storing.Add(1); now > most.Load() {
						most.Store(now)
					}
					time.Sleep(time.Millisecond) // the bubble's clock
					<-database
				case StageSave:
					storing.Add(-1)
				case StageDecode, StageApply, StagePublish:
				}
				return nil
			}
		})
		handle := func(ctx context.Context, partition int32) error {
			records := batch(0, alarmOf(1400000001, 7100+int(partition)))
			records[0].Partition = partition
			return r.Handle(ctx, records, 1)
		}
		var all sync.WaitGroup
		for partition := range int32(partitions) {
			all.Go(func() {
				if err := handle(t.Context(), partition); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.store.alarms) != partitions || most.Load() != bound {
			t.Errorf("while Kafka does not answer: %d alarms saved, %d batches at once; want %d and %d", len(r.store.alarms), most.Load(), partitions, bound)
		}
		close(kafka.opened)
		all.Wait()

		database = make(chan struct{}) // it stands still
		for partition := range int32(bound) {
			all.Go(func() { _ = handle(t.Context(), partitions+partition) })
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { waiting <- handle(ctx, 2*partitions) }()
		synctest.Wait()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited when the generation ended got %v", err)
		}
		close(database)
		all.Wait()
	})
}
