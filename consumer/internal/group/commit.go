package group

import (
	"context"
	"errors"
	"sync"

	"github.com/segmentio/kafka-go"
)

// committer commits offsets for the workers of one generation, one request at a time: all of them go
// over one connection, on which those who wait for each other's answers spin instead of sleeping.
// What is to be committed while a request is under way gathers, and the next one takes it all, so
// that a Kafka that answers slowly is not asked more often for having more partitions.
type committer struct {
	topic   string
	send    func(map[string]map[int]int64) error // the library's CommitOffsets
	sending chan struct{}                        // capacity 1: held by who sends

	mu   sync.Mutex
	next *commit // guarded by mu: what gathers; nil: nothing does
}

// commit is one request.
type commit struct {
	offsets  map[int]int64 // by partition; guarded by the committer's mu while it gathers
	answered chan struct{} // closed when err is set
	err      error
}

func newCommitter(topic string, send func(map[string]map[int]int64) error) *committer {
	return &committer{topic: topic, send: send, sending: make(chan struct{}, 1)}
}

// commit commits an offset of a partition, which has one commit at a time. Errors: the library's,
// and ctx's where it has ended; where it did so meanwhile, the offset may be committed.
func (c *committer) commit(ctx context.Context, partition int, offset int64) error {
	if err := ctx.Err(); err != nil {
		return err // and nobody else commits it
	}
	together := c.gather(partition, offset)
	select {
	case c.sending <- struct{}{}:
		c.sendOnce(together)
		<-c.sending
	case <-together.answered:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err // and nothing more is asked
	}
	if err := together.err; err == nil || len(together.offsets) == 1 || ofAll(err) {
		return err
	}
	return c.alone(ctx, partition, offset) // the error may be another partition's
}

// ofAll reports whether an error of a commit is that of all partitions in it: nothing was answered, or
// the answer is the group's.
func ofAll(err error) bool {
	code, answered := errors.AsType[kafka.Error](err)
	if !answered || fenced(err) {
		return true
	}
	switch code {
	case kafka.GroupLoadInProgress, kafka.GroupCoordinatorNotAvailable, kafka.NotCoordinatorForGroup, kafka.GroupAuthorizationFailed:
		return true
	default:
		return false
	}
}

// gather has the next request commit offset too.
func (c *committer) gather(partition int, offset int64) *commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &commit{offsets: map[int]int64{}, answered: make(chan struct{})}
	}
	c.next.offsets[partition] = offset
	return c.next
}

// sendOnce sends a request, unless that was done before. The caller holds sending.
func (c *committer) sendOnce(r *commit) {
	c.mu.Lock()
	gathers := c.next == r
	if gathers {
		c.next = nil
	}
	c.mu.Unlock()
	if gathers {
		r.err = c.send(map[string]map[int]int64{c.topic: r.offsets})
		close(r.answered)
	}
}

// alone commits an offset in a request of its own.
func (c *committer) alone(ctx context.Context, partition int, offset int64) error {
	select {
	case c.sending <- struct{}{}:
		defer func() { <-c.sending }()
		return c.send(map[string]map[int]int64{c.topic: {partition: offset}})
	case <-ctx.Done():
		return ctx.Err()
	}
}
