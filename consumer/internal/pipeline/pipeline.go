package pipeline

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// storage is what the pipeline needs of the store.
type storage interface {
	Begin(ctx context.Context, topic string, partition int32, ids []string, apps []int64) (store.Tx, error)
	MarkPublished(ctx context.Context, letters []int64) error
}

// producer is what the pipeline needs of internal/produce.
type producer interface {
	// Produce returns when every record was answered, nil or one error per record that the
	// cluster refused for good. It tries for ever; err means that ctx ended.
	Produce(ctx context.Context, records []schema.Record) (refused []error, err error)
}

// DefaultMaxRecordBytes is what fits Kafka's default max.message.bytes, with room for a record's
// own frame.
const DefaultMaxRecordBytes = 1_000_000

// Options configures a Pipeline. Store, Producer, Apps and Topics are required.
type Options struct {
	Store    storage
	Producer producer
	Apps     func() *apps.Snapshot // the apps file as of now; called once for each transaction
	Topics   schema.Topics
	Group    string // consumer group, named in dead letters

	// MaxRecordBytes is the limit of a dead letter's record; above it the bytes stay in
	// the database only. 0: DefaultMaxRecordBytes.
	MaxRecordBytes int

	// AtOnce bounds how many batches are between load and save at a time; others wait with what
	// decode made of them, which is little. More than the processors can keep busy is memory,
	// and transactions that wait for each other. 0: two for each processor.
	AtOnce int

	Now     func() time.Time      // nil: time.Now
	Log     *zap.Logger           // nil: none
	Metrics prometheus.Registerer // nil: none

	// After is called after each stage, for tests: its error ends Handle there and then,
	// as a crash would.
	After func(Stage) error
}

// Pipeline handles batches. Safe for several goroutines, as long as each partition's
// batches come one after another.
type Pipeline struct {
	o       Options
	log     *zap.Logger
	metrics *metrics
	waiting atomic.Int32  // calls that wait because the database did not take what they have
	storing chan struct{} // held by a batch between load and save; capacity AtOnce
}

// New returns a Pipeline.
func New(o Options) *Pipeline {
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if o.AtOnce == 0 {
		o.AtOnce = 2 * runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.After == nil {
		o.After = func(Stage) error { return nil }
	}
	p := &Pipeline{o: o, log: o.Log, storing: make(chan struct{}, o.AtOnce)}
	p.metrics = newMetrics(o.Metrics, p.StoreUp)
	return p
}

// StoreUp reports whether the database takes what it is given: false while anything waits
// for it. Safe from any goroutine.
func (p *Pipeline) StoreUp() bool { return p.waiting.Load() == 0 }

// Handle deals with the records of one partition, which are in offset order: see the
// package's documentation for what holds when it returned nil. It blocks while the
// database or Kafka is away. An error means that ctx ended before that, and that nothing
// is known about the batch: it must come again. The records' bytes are only read, and not
// kept. logEnd is the offset after the partition's last record.
func (p *Pipeline) Handle(ctx context.Context, records []schema.Record, logEnd int64) error {
	if len(records) == 0 {
		return nil
	}
	begun := p.o.Now()
	d := p.decode(records, logEnd)
	if err := p.o.After(StageDecode); err != nil {
		return err
	}
	if err := p.run(ctx, d); err != nil {
		return err
	}
	p.metrics.batchSeconds.Observe(p.o.Now().Sub(begun).Seconds())
	return nil
}

// run takes decoded records through the other four stages. What fails because of the data
// is halved, the first half first, down to the record, which becomes a dead letter. What
// fails for any other reason is tried again, from load, because a transaction that failed
// is gone.
func (p *Pipeline) run(ctx context.Context, d decoded) error {
	w := waiter{Pipeline: p}
	defer w.leave()
	for wait := firstBackoff; ; wait = min(2*wait, maxBackoff) {
		s, err := p.store(ctx, d)
		switch {
		case err == nil:
			w.answered()
			return p.finish(ctx, s)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errCrash):
			return err
		case isolable(err) && len(d.items) > 1:
			w.answered()
			half := len(d.items) / 2
			if err := p.run(ctx, d.part(0, half)); err != nil {
				return err
			}
			return p.run(ctx, d.part(half, len(d.items)))
		case errors.Is(err, store.ErrReplayed):
			d.replay.note(&d.items[0], Replayed{Elsewhere: true})
			return nil
		case dataFault(err) && !d.items[0].hopeless:
			d.items[0] = p.isolate(d.items[0], err)
		default:
			w.failed(ctx, err, wait)
		}
	}
}

// dataFault reports whether err is the data's fault, so that trying again is in vain.
func dataFault(err error) bool {
	return errors.Is(err, store.ErrData) || errors.Is(err, errPanicked)
}

// isolable reports whether err is the fault of some records of a batch, which halving finds.
func isolable(err error) bool { return dataFault(err) || errors.Is(err, store.ErrReplayed) }

// isolate takes the next step with a record that failed alone: it becomes a dead letter;
// a dead letter that failed goes to the topic only; and where not even the progress can
// be written, it is not the data's fault after all, and waits.
func (p *Pipeline) isolate(it item, err error) item {
	reason := schema.ReasonStoreRefused
	if errors.Is(err, errPanicked) {
		reason = schema.ReasonPanic
	}
	switch {
	case it.dead == nil:
		return p.bury(it, reason, err.Error())
	case !it.unkept && it.letter == nil: // of a letter that is replayed no row is written
		p.log.Error("database refused a dead letter: it goes to its topic only", zap.String("topic", it.record.Topic),
			zap.Int32("partition", it.record.Partition), zap.Int64("offset", it.record.Offset), zap.Error(err))
		it.unkept = true
	default:
		it.hopeless = true
	}
	return it
}

// finish is publish, and the end of the batch, or of the part of a replay.
func (p *Pipeline) finish(ctx context.Context, s saved) error {
	b, err := p.publish(ctx, s)
	if err != nil {
		return err
	}
	p.count(b)
	if err := p.crash(StagePublish); err != nil {
		return err
	}
	return p.settle(ctx, s.replay, b)
}

// store is load, apply and save: one transaction, which is over on return. It waits while
// AtOnce others are at that. Publish is outside: a partition of Kafka that does not answer
// holds up nobody but its own.
func (p *Pipeline) store(ctx context.Context, d decoded) (saved, error) {
	select {
	case p.storing <- struct{}{}:
	case <-ctx.Done():
		return saved{}, context.Cause(ctx)
	}
	defer func() { <-p.storing }()
	l, err := p.load(ctx, d)
	if err != nil {
		return saved{}, err
	}
	defer l.tx.Rollback() // does nothing once the transaction was saved
	if err := p.crash(StageLoad); err != nil {
		return saved{}, err
	}
	a, err := p.apply(l)
	if err != nil {
		return saved{}, err
	}
	if err := p.crash(StageApply); err != nil {
		return saved{}, err
	}
	s, err := p.save(ctx, a)
	if err != nil {
		return saved{}, err
	}
	return s, p.crash(StageSave)
}

// crash asks Options.After.
func (p *Pipeline) crash(s Stage) error {
	if err := p.o.After(s); err != nil {
		return errors.Join(errCrash, err)
	}
	return nil
}

// count counts every record's outcome, once the batch is through.
func (p *Pipeline) count(b published) {
	for i := range b.items {
		it := &b.items[i]
		if it.outcome == outcomeNone {
			panic("BUG: a record left the pipeline without an outcome")
		}
		p.metrics.records[it.outcome].Inc()
		if it.dead != nil {
			p.metrics.deadLetters[it.dead.Reason].Inc()
		}
	}
}
