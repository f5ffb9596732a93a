package produce

import (
	"context"
	"slices"
	"sync"

	"github.com/tidegate/tidegate/schema"
)

// call is one Produce under way. It counts the records that its lanes still have.
type call struct {
	id   uint64
	room chan struct{} // capacity 1: a lane has room, or a record was settled

	mu       sync.Mutex
	pending  int     // records in lanes
	again    []int   // records that were handed back and have to be mapped anew
	refused  []error // one for each record once any was refused
	finished error   // the producer was closed
	total    int
}

// Tags of the shared lanes: the call in the upper bits, the record's index in the lower.
const indexBits = 24

// Produce sends records, each to the partition of its topic that its key says (Java's default
// partitioner; without a key any), and returns when every one of them was settled. Records of
// one key and one call keep their order. It tries for ever: a topic that is missing, a broker
// that is away, hold it up until ctx ends.
//
// refused is nil, or has one item for each record: nil where it was delivered, a *RefusedError
// where Kafka will not take it. err is ctx's or ErrClosed; what became of the records is then
// not known, and sending them again may make duplicates. At most 1<<24 records; their slices
// are copied. May be called from any number of goroutines; their records share the lanes.
func (p *Producer) Produce(ctx context.Context, records []schema.Record) (refused []error, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	if len(records) > 1<<indexBits {
		panic("BUG: more records in one call than tags can tell apart")
	}
	counts := map[string]int32{}
	for i := range records {
		counts[records[i].Topic] = 0
	}
	todo := make([]int, len(records))
	for i := range todo {
		todo[i] = i
	}
	c := p.begin(len(records))
	defer p.end(c)
	for len(todo) > 0 {
		if err := p.round(ctx, c, records, todo, counts); err != nil {
			return nil, err
		}
		todo = c.takeBack()
	}
	return c.refused, nil
}

// round maps and sends the records in todo, and returns when each was settled or handed back.
func (p *Producer) round(ctx context.Context, c *call, records []schema.Record, todo []int, counts map[string]int32) error {
	// In the order of names: two calls that wait for each other's topics would wait for ever.
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n, err := p.enter(ctx, name)
		if err != nil {
			return err
		}
		defer p.leave(name)
		counts[name] = n
	}
	lanes := map[*Lane]struct{}{}
	for _, i := range todo {
		r := &records[i]
		l := p.sharedLane(r.Topic, keyed(r.Key, i, counts[r.Topic]))
		if err := c.add(ctx, p, l, i, r); err != nil {
			return err
		}
		lanes[l] = struct{}{}
	}
	for l := range lanes {
		l.Flush(0)
	}
	return c.wait(ctx, p)
}

// keyed returns the partition of the i-th record of a call.
func keyed(key []byte, i int, partitions int32) int32 {
	if key == nil {
		return int32(i) % partitions
	}
	return PartitionOf(key, partitions)
}

// add adds one record to a lane, waiting for room.
func (c *call) add(ctx context.Context, p *Producer, l *Lane, i int, r *schema.Record) error {
	c.expect(1)
	for {
		if l.Add(c.id<<indexBits|uint64(i), r.Key, r.Value, r.Headers) {
			return nil
		}
		if err := c.pause(ctx, p); err != nil {
			c.expect(-1)
			return err
		}
	}
}

// expect notes that n more records are in lanes.
func (c *call) expect(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending += n
}

// pause waits until something happened that may have made room.
func (c *call) pause(ctx context.Context, p *Producer) error {
	select {
	case <-c.room:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrClosed
	}
}

// wait waits until no lane has a record of the call.
func (c *call) wait(ctx context.Context, p *Producer) error {
	for {
		c.mu.Lock()
		pending, err := c.pending, c.finished
		c.mu.Unlock()
		if pending == 0 || err != nil {
			return err
		}
		if err := c.pause(ctx, p); err != nil {
			return err
		}
	}
}

// takeBack returns the records that have to go again, in order.
func (c *call) takeBack() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	again := c.again
	c.again = nil
	slices.Sort(again)
	return again
}

// settle notes the end of one record.
func (c *call) settle(i int, s *Settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending--
	switch s.Outcome {
	case Delivered:
	case RecordRefused:
		if c.refused == nil {
			c.refused = make([]error, c.total)
		}
		c.refused[i] = &RefusedError{Code: s.Code, Text: s.Text}
	case TopicRefused, PartitionGone:
		c.again = append(c.again, i)
	}
	if c.pending == 0 {
		notify(c.room)
	}
}

// fail ends the call's waiting.
func (c *call) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = err
	notify(c.room)
}

// begin registers a call.
func (p *Producer) begin(total int) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastCall++
	c := &call{id: p.lastCall, room: make(chan struct{}, 1), total: total}
	if p.closed {
		c.finished = ErrClosed
	}
	p.calls[c.id] = c
	return c
}

// end forgets a call: what lanes still say of its records is passed over.
func (p *Producer) end(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, c.id)
}

// sharedLane returns the lane that all calls use for a partition.
func (p *Producer) sharedLane(topic string, partition int32) *Lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := laneKey{topic, partition}
	l := p.shared[key]
	if l == nil {
		l = p.newLane(topic, partition, calls{p}, true)
		p.shared[key] = l
	}
	return l
}

// calls hands what shared lanes say to the calls that the records are of.
type calls struct{ p *Producer }

// Settled implements Owner.
func (o calls) Settled(s Settlement) {
	for _, tag := range s.Tags {
		o.p.mu.Lock()
		c := o.p.calls[tag>>indexBits]
		o.p.mu.Unlock()
		if c != nil {
			c.settle(int(tag&(1<<indexBits-1)), &s)
		}
	}
	if s.Outcome == TopicRefused || s.Outcome == PartitionGone {
		s.Lane.Reopen()
		o.Room(s.Lane)
	}
}

// Room implements Owner.
func (o calls) Room(*Lane) {
	o.p.mu.Lock()
	defer o.p.mu.Unlock()
	for _, c := range o.p.calls {
		notify(c.room)
	}
}
