package group

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The library has those spin who wait on one connection for each other's answers. So the workers
// of a generation commit one after the other; every commit is sent, and who waits for its turn
// when the generation ends does not wait on.
func TestWorkersCommitOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sending, most, sent atomic.Int32
		forever := make(chan struct{})
		r := &generation{Group: &Group{}, committing: make(chan struct{}, 1), send: func(offsets map[string]map[int]int64) error {
			if now := sending.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer sending.Add(-1)
			if _, stuck := offsets[""][99]; stuck {
				<-forever
			}
			time.Sleep(time.Millisecond) // the journey to Kafka
			sent.Add(1)
			return nil
		}}
		var all sync.WaitGroup
		for partition := range 12 {
			all.Go(func() {
				if err := r.commitOffset(t.Context(), partition, 7); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 || sent.Load() != 12 {
			t.Errorf("%d at once, %d sent", most.Load(), sent.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() { _ = r.commitOffset(t.Context(), 99, 7) })
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() { waiting <- r.commitOffset(ctx, 1, 8) }()
		synctest.Wait()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited when the generation ended got %v", err)
		}
		close(forever)
		all.Wait()
	})
}
