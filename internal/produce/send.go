package produce

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"go.uber.org/zap"
)

const (
	backoffMin = 20 * time.Millisecond
	backoffMax = time.Second
)

// sender is the state of a lane's goroutine.
type sender struct {
	id       int64 // producer id; -1: none
	epoch    int16
	sequence int32 // of the next batch

	failures int       // in a row, for the backoff
	topicBad time.Time // first of the answers in a row that refuse the topic; zero: none
}

// verdict is what a batch came to.
type verdict struct {
	class class // classDelivered, classTooLarge, classRecord, classTopic, or classNetwork: ctx ended
	code  int16
	text  string
	bad   map[int]error // records that the broker named, for classRecord
}

// deliver sends b until all of its records are settled. A refusal of records splits b; the
// parts go in order, under the sequence that b had. It returns false when ctx ended.
func (l *Lane) deliver(ctx context.Context, b *batch) bool {
	l.started.Store(int64(l.p.age()))
	defer l.started.Store(0)
	parts := []*batch{b} // first to go first
	for len(parts) > 0 {
		part := parts[0]
		if len(part.tags) > 1 && part.size() > l.bound() {
			// Filled before the topic's limit was known. It was never sent: any boundaries do.
			parts = append(l.split(part, verdict{}), parts[1:]...)
			continue
		}
		switch v := l.send(ctx, part); {
		case ctx.Err() != nil:
			return false
		case v.class == classDelivered:
			parts = parts[1:]
			l.owner.Settled(Settlement{Lane: l, Tags: part.tags, Outcome: Delivered})
		case v.class == classTopic:
			l.surrender(parts, l.outcome(), v.code)
			return true
		case len(part.tags) == 1:
			parts = parts[1:]
			l.owner.Settled(Settlement{Lane: l, Tags: part.tags, Outcome: RecordRefused, Code: v.code, Text: v.text})
		default:
			parts = append(l.split(part, v), parts[1:]...)
		}
	}
	return true
}

// split returns a refused batch's records in smaller batches: runs between the records that
// the broker named, each of those alone, or else halves.
func (l *Lane) split(b *batch, v verdict) []*batch {
	n := len(b.tags)
	var cuts []int // ends of the parts
	for i := range n {
		if _, bad := v.bad[i]; bad {
			cuts = append(cuts, i, i+1)
		}
	}
	if cuts == nil {
		cuts = []int{n / 2}
	}
	if v.class == classTooLarge {
		l.lower(b.size() / 2)
	}
	var parts []*batch
	from := 0
	for _, to := range append(cuts, n) {
		if to > from {
			parts = append(parts, b.pick(func(i int) bool { return from <= i && i < to }))
			from = to
		}
	}
	return parts
}

// bound returns how large a batch may be.
func (l *Lane) bound() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// lower makes later batches smaller, since the topic's limit is below ours: without it each
// would be refused once. A restart forgets it.
func (l *Lane) lower(limit int) {
	const least = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = min(l.limit, max(least, limit))
}

// send sends one batch, with the same records under the same sequence, until the answer
// decides what becomes of it or ctx ends.
func (l *Lane) send(ctx context.Context, b *batch) verdict {
	for {
		v, err := l.attempt(ctx, b)
		if ctx.Err() != nil {
			return verdict{class: classNetwork}
		}
		if v.class == classDelivered {
			l.sequence = nextSequence(l.sequence, len(b.tags))
			l.answered()
			return v
		}
		if l.refuses(v) {
			if l.failures > 0 {
				// An earlier attempt may have been applied: under its sequence other records
				// would pass for its repetition (46) and be lost.
				l.id = -1
			}
			l.answered()
			return v
		}
		l.retry(ctx, b, v, err)
	}
}

// refuses reports whether v ends the attempts: a refusal of records at once, one of the topic
// only when it has lasted. A broker that just started says "no such topic" for a while.
func (l *Lane) refuses(v verdict) bool {
	if v.class != classTopic {
		l.topicBad = time.Time{}
		return v.class == classTooLarge || v.class == classRecord
	}
	if l.topicBad.IsZero() {
		l.topicBad = l.p.o.now()
	}
	state := l.p.state(l.topic)
	if l.patient && !l.gone(state) {
		return false
	}
	patience := l.p.o.TopicGrace
	if v.code == codeNoTopic && !state.Refused && !l.gone(state) {
		// The layout does not say so (yet): it is believed for longer.
		patience *= 10
	}
	return l.p.o.now().Sub(l.topicBad) >= patience
}

// outcome is what a refusal of the topic means for the lane.
func (l *Lane) outcome() Outcome {
	if l.gone(l.p.state(l.topic)) {
		return PartitionGone
	}
	return TopicRefused
}

// gone reports whether the layout has the topic and not the lane's partition.
func (l *Lane) gone(s TopicState) bool { return s.Partitions > 0 && l.partition >= s.Partitions }

// answered clears what failures left behind.
func (l *Lane) answered() {
	l.failures, l.topicBad = 0, time.Time{}
	l.retrying.Store(false)
	l.p.heard()
}

// attempt gets a producer id where there is none, seals the batch where it is not, and sends
// it once.
func (l *Lane) attempt(ctx context.Context, b *batch) (verdict, error) {
	if l.id < 0 {
		id, epoch, err := l.p.o.Conn.InitProducerID(ctx)
		if err != nil {
			c, code := classify(err)
			if c == classTopic {
				c = classBroker // the topic is not what was asked about
			}
			return verdict{class: c, code: code}, err
		}
		l.id, l.epoch, l.sequence = id, epoch, 0
		b.sealed = false
	}
	if b.wire == nil {
		b.pack(l.p.o.Compression)
	}
	if now := l.p.o.now(); !b.sealed || now.Sub(b.stamp) > restampAfter {
		b.seal(l.id, l.epoch, l.sequence, now)
	}
	return l.request(ctx, b)
}

// request sends the sealed batch once and says what the answer means.
func (l *Lane) request(ctx context.Context, b *batch) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, l.p.o.RequestTimeout)
	defer cancel()
	body := &bodyReader{body: b.wire}
	// From here on nobody reads b, though kafka-go's goroutine may outlive the call.
	defer body.close()
	res, err := l.p.o.Conn.Client().RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: l.topic, Partition: int(l.partition), RequiredAcks: kafka.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: body},
	})
	v := verdict{}
	if err == nil {
		err, v.bad = res.Error, res.RecordErrors
	}
	if v.class, v.code = classify(err); v.class == classRecord {
		v.text = err.Error()
	}
	return v, err
}

// retry prepares the next attempt after an answer that permits one, and waits for it.
func (l *Lane) retry(ctx context.Context, b *batch, v verdict, err error) {
	l.retrying.Store(true)
	l.failures++
	l.p.metrics.retries[v.class].Inc()
	switch v.class {
	case classSequence:
		l.id = -1
	case classTimestamp:
		b.sealed = false // nothing was taken, so the bytes may change
	case classNetwork, classBroker, classLeader:
		l.p.failed()
	case classTopic:
		notify(l.p.poll) // whether the layout has changed
	case classDelivered, classTooLarge, classRecord, numClasses:
		panic("BUG: a batch is tried again after an answer that ends the attempts")
	}
	l.logRetry(b, v, err)
	backoff := min(backoffMax, backoffMin<<min(l.failures-1, 10))
	// Between half and the whole of it: lanes that failed together do not come back together.
	timer := time.NewTimer(backoff/2 + rand.N(backoff/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// logRetry says once, then at longer and longer distances, that a batch does not get through.
func (l *Lane) logRetry(b *batch, v verdict, err error) {
	if l.failures&(l.failures-1) != 0 || l.failures == 1 && v.class == classLeader {
		return
	}
	log := l.p.o.Log.Warn
	if v.class == classTimestamp || v.class == classSequence {
		log = l.p.o.Log.Error
	}
	log("batch not taken, trying again", zap.String("topic", l.topic), zap.Int32("partition", l.partition),
		zap.Int("records", len(b.tags)), zap.Int("attempts", l.failures), zap.Stringer("class", v.class),
		zap.Int16("code", v.code), zap.Error(err))
}

// bodyReader lends a batch's bytes to kafka-go for one call. Its connection's goroutine may
// still run when the call has returned because its time was up: close makes sure that it
// finds nothing then.
type bodyReader struct {
	mu   sync.Mutex
	body []byte // nil: given back
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.body) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.body)
	r.body = r.body[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, which spares io.Copy its own buffer. w is kafka-go's
// memory, so the lock is held for one copy only.
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, io.ErrClosedPipe
	}
	n, err := bytes.NewReader(r.body).WriteTo(w)
	r.body = nil
	return n, err
}

func (r *bodyReader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = nil
}
