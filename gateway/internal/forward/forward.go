package forward

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// Options configure a Forwarder. Journal, Parked and Producer are required and outlive Run.
type Options struct {
	Journal  *journal.Journal
	Parked   *journal.Journal // its MaxPayload is the other's plus EnvelopeBytes, at least
	Producer *produce.Producer
	Topics   []string              // those of the routes, asked about before their first entry comes
	Log      *zap.Logger           // nil: none
	Metrics  prometheus.Registerer // nil: none

	StopTimeout   time.Duration // how long Run awaits outstanding answers at its end; 3 s
	RecordRetry   time.Duration // how often refused records are tried again; 10 min
	TopicRetryMin time.Duration // first and longest distance of the attempts to deliver a
	TopicRetryMax time.Duration // topic that refused; 1 s, 1 min

	unpaced bool // benchmarks: catching up takes nothing from anybody
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 3 * time.Second
	}
	if o.RecordRetry == 0 {
		o.RecordRetry = 10 * time.Minute
	}
	if o.TopicRetryMin == 0 {
		o.TopicRetryMin = time.Second
	}
	if o.TopicRetryMax == 0 {
		o.TopicRetryMax = time.Minute
	}
	return o
}

// Forwarder carries entries to Kafka while Run runs. TopicRefused, Halted, Drain, Look and Skip
// may be called from any goroutine.
type Forwarder struct {
	o       Options
	metrics *metrics
	journal *journal.Journal
	parked  *journal.Journal
	mailbox mailbox

	// For other goroutines.
	refusing   atomic.Pointer[map[string]bool] // topics that are parked at present, or not yet emptied
	parkedFull atomic.Bool
	drainMu    sync.Mutex
	drains     []chan error // guarded by drainMu; nil after Run: stopped
	stopped    bool         // guarded by drainMu
	drainWake  chan struct{}
	calls      chan func()   // run by the loop: see do
	gone       chan struct{} // closed when Run has ended
	halted     atomic.Pointer[[]*HaltError]

	// All below is owned by the loop.
	topics  map[string]*topic
	order   []*topic // the same, in the order of their making
	live    hand
	liveLSN journal.LSN // the last entry that the live reader gave to its lane
	readAt  time.Time   // when the live reader last got any further
	pass    pass
	rests   time.Time     // since when the live reader rests; zero: it does not
	over    int           // entries of lagging lanes that it met in a row, less those that it owes after a rest
	settled journal.LSN   // what the last checkpoint said
	stand   *HaltError    // where delivery from the main journal halts; nil: nowhere
	skipped []journal.LSN // of the main journal, above settled
	park    parking
	pace    pace
	dirty   []*lane
	fatal   error     // ends Run
	now     time.Time // of this turn
	saved   time.Time // when the last checkpoint was made
	unsaved bool      // there is something to say in the next one, perhaps
	alarm   *time.Timer
	cursors []journal.Cursor // reused

	// Buffers of encode, reused for every record.
	key, text []byte
	headers   []schema.Header
}

// New returns a forwarder; it does nothing before Run. It takes over the journals' checkpoints.
func New(o Options) (*Forwarder, error) {
	o = o.withDefaults()
	f := &Forwarder{
		o: o, metrics: newMetrics(o.Metrics, o.Producer.Up), journal: o.Journal, parked: o.Parked,
		mailbox: mailbox{wake: make(chan struct{}, 1)}, drainWake: make(chan struct{}, 1), topics: map[string]*topic{},
		alarm: time.NewTimer(time.Hour), calls: make(chan func()), gone: make(chan struct{}),
	}
	f.halted.Store(new([]*HaltError))
	f.refusing.Store(&map[string]bool{})
	f.restore()
	for _, name := range o.Topics {
		f.topic([]byte(name))
	}
	if err := f.loadParked(); err != nil {
		return nil, fmt.Errorf("load the parked journal: %w", err)
	}
	f.publishRefusing()
	f.setParkedFull(!f.parked.HasRoom(false))
	return f, nil
}

// TopicRefused reports whether a topic is parked, or what was parked of it is not yet delivered,
// and its room there is nearly used up: receive answers 503 for it. It costs one atomic load
// while that is not so.
func (f *Forwarder) TopicRefused(topic string) bool {
	return f.parkedFull.Load() && (*f.refusing.Load())[topic]
}

// Drain returns nil once everything that was appended to the journal is delivered and nothing
// is parked. Appends should have ended. Errors: ctx's, ErrStopped, and a *HaltError as soon as
// nothing is left but the entry at which delivery halts and what may not pass it.
func (f *Forwarder) Drain(ctx context.Context) error {
	done := make(chan error, 1)
	f.drainMu.Lock()
	if f.stopped {
		f.drainMu.Unlock()
		return ErrStopped
	}
	f.drains = append(f.drains, done)
	f.drainMu.Unlock()
	wake(f.drainWake)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answerDrains answers those that wait in Drain, when there is nothing left, or nothing that
// can go out.
func (f *Forwarder) answerDrains() {
	f.drainMu.Lock()
	waiting := len(f.drains) > 0
	f.drainMu.Unlock()
	switch {
	case !waiting:
	case f.empty():
		f.endDrains(nil, false)
	case f.stuck():
		f.endDrains(f.haltError(), false)
	}
}

// endDrains tells all that wait in Drain; after stopped nobody waits any more.
func (f *Forwarder) endDrains(err error, stopped bool) {
	f.drainMu.Lock()
	defer f.drainMu.Unlock()
	for _, done := range f.drains {
		done <- err
	}
	f.drains, f.stopped = nil, stopped
}

// empty reports whether all that was appended is delivered.
func (f *Forwarder) empty() bool {
	for _, t := range f.order {
		if t.parked.count+t.single.count > 0 || !t.idle() {
			return false
		}
	}
	f.checkpoint(true)
	return f.journal.Stats().Entries == 0
}

// wake sends without waiting.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
