package produce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

const (
	// pollInterval is how often the layout is looked at. kafka-go answers from its cache.
	pollInterval = 500 * time.Millisecond

	// probeAfter is how long nothing may have been heard before the cluster is asked for a
	// sign of life, and how long Up outlives the last good answer when others are bad.
	probeAfter = 3 * time.Second
)

// Producer sends records to one cluster. All methods may be called from any goroutine; those of
// a Lane are for its owner.
type Producer struct {
	o       Options
	metrics *metrics
	began   time.Time

	ctx    context.Context // ends at Close: the lanes' own
	cancel context.CancelFunc
	lanes  sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	topics      map[string]*topic // guarded by mu
	shared      map[laneKey]*Lane // lanes of Produce, guarded by mu
	subscribers []chan struct{}   // guarded by mu
	calls       map[uint64]*call  // calls of Produce under way, guarded by mu
	lastCall    uint64            // guarded by mu
	poll        chan struct{}     // capacity 1: look at the layout now

	up       atomic.Bool
	lastGood atomic.Int64 // age at the last good answer
}

type laneKey struct {
	topic     string
	partition int32
}

// New returns a producer. It needs Run to learn about topics, and Close at its end.
func New(o Options) (*Producer, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Producer{
		o: o, metrics: newMetrics(o.Metrics, o.MetricsPrefix), began: time.Now(), ctx: ctx, cancel: cancel,
		topics: map[string]*topic{}, shared: map[laneKey]*Lane{}, calls: map[uint64]*call{},
		poll: make(chan struct{}, 1),
	}
	p.lastGood.Store(-2 * int64(probeAfter)) // long ago: nothing was heard yet
	return p, nil
}

// age returns how long the producer has existed, more than 0. It is for what is kept in atomics:
// the time of day would go backwards when somebody sets the clock, and a cluster that is away
// count as there until the clock has caught up.
func (p *Producer) age() time.Duration { return time.Since(p.began) + 1 }

// Run keeps the layout of topics and Up current until ctx ends, and returns nil then. Records
// that are in lanes go on being sent until Close.
func (p *Producer) Run(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		p.refresh(ctx)
		p.probe(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.poll:
		}
	}
}

// Close ends all lanes and waits for their goroutines. What was not settled is left so: calls
// of Produce return ErrClosed, owners of lanes hear nothing more. It does not close the Conn.
func (p *Producer) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.lanes.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		c.fail(ErrClosed)
	}
}

// Up reports whether the cluster answered well within the last seconds. False at first.
func (p *Producer) Up() bool { return p.up.Load() }

// Subscribe returns a channel of capacity 1 that receives whenever the layout of a topic or Up
// has changed. Subscriptions last as long as the producer.
func (p *Producer) Subscribe() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan struct{}, 1)
	p.subscribers = append(p.subscribers, c)
	return c
}

// changedLocked wakes all subscribers. p.mu is held.
func (p *Producer) changedLocked() {
	for _, c := range p.subscribers {
		notify(c)
	}
}

// notify sends without waiting: the channel's one place coalesces.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// heard notes a good answer of the cluster.
func (p *Producer) heard() {
	p.lastGood.Store(int64(p.age()))
	p.setUp(true)
}

// failed notes a bad answer, or none. Some partitions may be away while others answer, so
// that one failure does not mean that the cluster is.
func (p *Producer) failed() {
	if p.quiet() {
		p.setUp(false)
	}
}

// quiet reports whether nothing good was heard for a while.
func (p *Producer) quiet() bool {
	return p.age()-time.Duration(p.lastGood.Load()) > probeAfter
}

func (p *Producer) setUp(up bool) {
	if p.up.Swap(up) == up {
		return
	}
	p.o.Log.Info("kafka reachable changed", zap.Bool("up", up), zap.Strings("brokers", p.o.Conn.Brokers()))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changedLocked()
}

// probe asks for a sign of life when lanes have not heard any: an idle process must know
// too whether Kafka is there.
func (p *Producer) probe(ctx context.Context) {
	if !p.quiet() || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeAfter)
	defer cancel()
	res, err := p.o.Conn.Client().ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err == nil && res.Error == nil {
		p.heard()
		return
	}
	p.failed()
}
