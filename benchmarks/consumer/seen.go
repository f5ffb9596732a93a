//go:build linux

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// seen is a reader of the enriched topic, and when it had what first. Its methods may be called
// from any goroutine.
type seen struct {
	cancel context.CancelFunc
	done   chan error

	mu         sync.Mutex
	events     map[string]time.Time  // guarded by mu: by alarm id
	steps      map[crossing]string   // guarded by mu: the alarm that entered it
	partitions map[int32][]time.Time // guarded by mu: by partition of the raw record, in the order in which they came
	wrong      error                 // guarded by mu: the first event that cannot be read
}

// follow begins to read at the end of the topic. The caller stops it.
func follow(ctx context.Context, f kafkaconn.Flags) (*seen, error) {
	topic := schema.NewTopics(f.TopicPrefix).Alarms
	ends, err := stack.Ends(ctx, f, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &seen{cancel: cancel, done: make(chan error, 1), events: map[string]time.Time{}, steps: map[crossing]string{}, partitions: map[int32][]time.Time{}}
	go func() {
		s.done <- stack.Follow(ctx, f, ends, func(r *schema.Record) bool {
			s.note(r, time.Now())
			return true
		})
	}()
	return s, nil
}

func (s *seen) note(r *schema.Record, at time.Time) {
	e, err := schema.ParseEnriched(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.wrong = errors.Join(s.wrong, err)
		return
	}
	if _, known := s.events[e.AlarmID]; known {
		return
	}
	s.events[e.AlarmID] = at
	s.partitions[e.RawPartition] = append(s.partitions[e.RawPartition], at)
	if c := (crossing{e.SdkAppID, e.Severity}); e.StepEntered {
		if _, known := s.steps[c]; !known {
			s.steps[c] = e.AlarmID
		}
	}
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// event says when the event of an alarm was there.
func (s *seen) event(id string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.events[id]
	return at, there
}

// entered returns the steps that apps entered, each with the alarm that did.
func (s *seen) entered() map[crossing]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[crossing]string, len(s.steps))
	for c, id := range s.steps {
		all[c] = id
	}
	return all
}

// firstAfter returns when the first event of each partition came that came after a time.
func (s *seen) firstAfter(t time.Time) map[int32]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := map[int32]time.Time{}
	for partition, times := range s.partitions {
		for _, at := range times {
			if at.After(t) {
				first[partition] = at
				break
			}
		}
	}
	return first
}

// stop ends the reader and says what went wrong.
func (s *seen) stop() error {
	s.cancel()
	err := <-s.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.wrong)
}
