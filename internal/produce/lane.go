package produce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// Outcome says what became of records.
type Outcome uint8

// The outcomes.
const (
	Delivered     Outcome = iota // in the log of all in-sync replicas (acks=all)
	RecordRefused                // one record: Kafka will not take it as it is
	TopicRefused                 // nothing was taken: the topic is missing or closed to us
	PartitionGone                // nothing was taken: the topic has no such partition any more; map the records again
)

// Settlement is the end of records that were added to a lane. A lane settles its records in
// the order in which they were added, each exactly once.
type Settlement struct {
	Lane    *Lane
	Tags    []uint64 // of the records; valid until Settled returns
	Outcome Outcome
	Code    int16  // Kafka's, where refused
	Text    string // the broker's words, where it refused a record
}

// Owner hears what becomes of a lane's records. Its methods are called by the lane's goroutine,
// one at a time for each lane, and must not block.
type Owner interface {
	// Settled is told each settlement. After TopicRefused and PartitionGone, whose tags are all
	// that the lane still had, the lane takes nothing until Reopen.
	Settled(s Settlement)

	// Room is told that the lane has room again after Add had said no.
	Room(l *Lane)
}

// stallAfter is how long a request may be without an answer before its lane counts as stalled.
const stallAfter = 500 * time.Millisecond

// Lane is one partition of one topic. Its methods may be called from any goroutine; records
// go in the order in which Add took them.
type Lane struct {
	p         *Producer
	topic     string
	partition int32
	owner     Owner
	patient   bool // never TopicRefused: try for ever
	wake      chan struct{}

	mu      sync.Mutex
	filling *batch        // guarded by mu
	spare   *batch        // guarded by mu; nil while one is in flight
	flushed bool          // guarded by mu: what fills may go
	linger  time.Duration // guarded by mu: while flushed, the least time since the last request
	ripe    bool          // guarded by mu: what fills is large enough not to linger
	refused bool          // guarded by mu: Add said no since the last swap
	shut    bool          // guarded by mu: from a refusal of the topic until Reopen
	limit   int           // guarded by mu: bytes of a batch; falls when the broker finds it too large

	started  atomic.Int64 // Producer.age when the request in flight was first sent; 0: none
	retrying atomic.Bool  // its first attempt failed

	sender // owned by the lane's goroutine
}

// Lane opens a lane to a partition; owner hears of its records. There must be one lane only
// for a partition, else order is lost. It ends with the producer.
func (p *Producer) Lane(topic string, partition int32, owner Owner) *Lane {
	return p.newLane(topic, partition, owner, false)
}

func (p *Producer) newLane(topic string, partition int32, owner Owner, patient bool) *Lane {
	l := &Lane{
		p: p, topic: topic, partition: partition, owner: owner, patient: patient,
		wake: make(chan struct{}, 1), filling: &batch{}, spare: &batch{}, limit: p.o.MaxBatchBytes,
		sender: sender{id: -1},
	}
	p.lanes.Go(func() { l.run(p.ctx) })
	return l
}

// Stalled reports whether the request in flight was refused or has had no answer for a while:
// room is then not to be expected soon.
func (l *Lane) Stalled() bool {
	if l.retrying.Load() {
		return true
	}
	started := l.started.Load()
	return started != 0 && l.p.age()-time.Duration(started) > stallAfter
}

// Add copies one record into the batch that fills and reports whether it did: false means that
// the batch is full (the owner hears of Room) or that the lane is shut (until Reopen). tag is
// what settlements will call the record. It is sent after Flush, or when the batch is full. It
// does not block and, once the buffers have grown, does not allocate.
func (l *Lane) Add(tag uint64, key, value []byte, headers []schema.Header) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return false
	}
	b := l.filling
	if n := len(b.tags); n > 0 {
		// 10: the most that length and offset delta take; a few bytes of slack.
		size := 10 + recordSize(0, key, value, headers)
		if n >= l.p.o.MaxBatchRecords || b.size()+size > l.limit {
			l.refused, l.flushed, l.ripe = true, true, true // ripe: it does not linger
			notify(l.wake)
			return false
		}
	}
	b.add(tag, key, value, headers)
	if b.size() > l.limit*3/4 || len(b.tags) > l.p.o.MaxBatchRecords*3/4 {
		l.ripe = true
	}
	return true
}

// Flush lets the records added so far go: at once where the lane's last request began at least
// linger ago or the batch is nearly full, else when that is so. A request has its price, for us
// and for the broker, whatever is in it; who can wait a little makes fewer. Of several calls for
// one batch the least linger counts. It does not block.
func (l *Lane) Flush(linger time.Duration) {
	l.mu.Lock()
	wake := len(l.filling.tags) > 0 && (!l.flushed || l.ripe || linger < l.linger)
	if wake {
		l.flushed, l.linger = true, linger
	}
	l.mu.Unlock()
	if wake {
		notify(l.wake)
	}
}

// Reopen lets a lane take records again after TopicRefused or PartitionGone. The owner calls it
// once it has dealt with the records that it got back.
func (l *Lane) Reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = false
}

// run is the lane's goroutine: take what fills, send it until it is answered, tell the owner.
func (l *Lane) run(ctx context.Context) {
	var lastSend time.Time
	for {
		b := l.take(ctx, lastSend)
		if b == nil {
			return
		}
		lastSend = l.p.o.now()
		if !l.deliver(ctx, b) {
			return
		}
		b.reset(2 * l.p.o.MaxBatchBytes)
		l.mu.Lock()
		l.spare = b
		l.mu.Unlock()
	}
}

// take waits until there is a batch to send and returns it; nil: ctx ended. A lane that sent
// just now lingers, so that a busy one makes few large requests, and an idle one answers at once.
func (l *Lane) take(ctx context.Context, lastSend time.Time) *batch {
	for {
		b, wait, room := l.swap(lastSend)
		if room {
			l.owner.Room(l)
		}
		if b != nil {
			return b
		}
		var timer <-chan time.Time // nil: for ever
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer:
		}
	}
}

// swap returns the batch that was filling, when it may go; else how long to linger, 0 where
// there is nothing to send. room: the owner waits to hear that there is room now.
func (l *Lane) swap(lastSend time.Time) (b *batch, linger time.Duration, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = l.filling
	if !l.flushed || len(b.tags) == 0 {
		return nil, 0, false
	}
	if wait := l.linger - l.p.o.now().Sub(lastSend); wait > 0 && !l.ripe {
		return nil, wait, false
	}
	room = l.refused
	l.filling, l.spare = l.spare, nil
	l.flushed, l.ripe, l.refused = false, false, false
	return b, 0, room
}

// surrender shuts the lane and hands everything back: what is in flight and what fills.
func (l *Lane) surrender(parts []*batch, outcome Outcome, code int16) {
	l.mu.Lock()
	l.shut, l.flushed, l.ripe, l.refused = true, false, false, false
	var tags []uint64
	for _, b := range parts {
		tags = append(tags, b.tags...)
	}
	tags = append(tags, l.filling.tags...)
	l.filling.reset(2 * l.p.o.MaxBatchBytes)
	l.mu.Unlock()
	l.owner.Settled(Settlement{Lane: l, Tags: tags, Outcome: outcome, Code: code})
}
