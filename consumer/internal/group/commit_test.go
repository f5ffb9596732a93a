package group

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
)

// Requests go out one at a time, and the next one takes all that came meanwhile.
func TestCommitsGatherWhileOneIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sending, most, requests atomic.Int32
		got := map[int]int64{} // written by who sends
		c := newCommitter("t", func(offsets map[string]map[int]int64) error {
			most.Store(max(most.Load(), sending.Add(1)))
			defer sending.Add(-1)
			time.Sleep(time.Millisecond) // the journey to Kafka
			requests.Add(1)
			maps.Copy(got, offsets["t"])
			return nil
		})
		var all sync.WaitGroup
		for partition := range 12 {
			all.Go(func() {
				for offset := range int64(5) {
					if err := c.commit(t.Context(), partition, offset); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for partition := range 12 {
			if got[partition] != 4 {
				t.Errorf("partition %d is committed up to %d, want 4", partition, got[partition])
			}
		}
		if most.Load() != 1 || requests.Load() > 12 { // 60 without gathering
			t.Errorf("%d requests, %d at once", requests.Load(), most.Load())
		}
	})
}

// Who waits for a turn when the generation ends does not wait on, and who comes after its end has
// nothing committed.
func TestCommitEndsWithTheGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		got := map[int]int64{} // written by who sends
		c := newCommitter("t", func(offsets map[string]map[int]int64) error {
			<-release
			maps.Copy(got, offsets["t"])
			return nil
		})
		var all sync.WaitGroup
		all.Go(func() { _ = c.commit(t.Context(), 99, 7) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { waiting <- c.commit(ctx, 1, 8) }()
		synctest.Wait()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited when the generation ended got %v", err)
		}
		if err := c.commit(ctx, 2, 9); !errors.Is(err, context.Canceled) {
			t.Errorf("who came after the generation's end got %v", err)
		}
		close(release)
		all.Wait()
		if err := c.commit(t.Context(), 3, 1); err != nil {
			t.Error(err)
		}
		if _, has := got[2]; has || got[99] != 7 || got[3] != 1 {
			t.Errorf("committed: %v", got)
		}
	})
}

// An error is told to the partition that has it, and to no other.
func TestCommitErrorIsOfOnePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := kafka.OffsetMetadataTooLarge
		c := newCommitter("t", func(offsets map[string]map[int]int64) error {
			time.Sleep(time.Millisecond)
			if _, has := offsets["t"][3]; has {
				return refused
			}
			return nil
		})
		var all sync.WaitGroup
		for partition := range 6 {
			all.Go(func() {
				if err := c.commit(t.Context(), partition, 1); errors.Is(err, refused) != (partition == 3) {
					t.Errorf("partition %d got %v", partition, err)
				}
			})
		}
		all.Wait()
	})
}

// What the group refuses, or Kafka does not answer, nobody asks about alone: twelve would wait for
// twelve answers, one after the other. And nobody asks once the generation is over.
func TestCommitErrorOfTheGroupIsEverybodys(t *testing.T) {
	for _, refused := range []error{kafka.GroupCoordinatorNotAvailable, kafka.IllegalGeneration, io.ErrUnexpectedEOF} {
		t.Run(refused.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				c := newCommitter("t", func(map[string]map[int]int64) error {
					requests.Add(1)
					time.Sleep(time.Millisecond)
					return refused
				})
				var all sync.WaitGroup
				for partition := range 12 {
					all.Go(func() {
						if err := c.commit(t.Context(), partition, 1); !errors.Is(err, refused) {
							t.Errorf("partition %d got %v", partition, err)
						}
					})
				}
				all.Wait()
				if n := requests.Load(); n > 2 { // the first one's, and that of all others
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestNoCommitBeginsAfterTheGenerationsEnd(t *testing.T) {
	for range 50 { // a select takes any of what is ready
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c := newCommitter("t", func(map[string]map[int]int64) error {
				if ctx.Err() != nil {
					t.Error("a request began after the end")
				}
				time.Sleep(4 * time.Second)
				return kafka.OffsetMetadataTooLarge
			})
			var all sync.WaitGroup
			for partition := range 4 {
				all.Go(func() { _ = c.commit(ctx, partition, 1) })
			}
			time.Sleep(5 * time.Second) // the second request is under way
			cancel()
			all.Wait()
		})
	}
}
