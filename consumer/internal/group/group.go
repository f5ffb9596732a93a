// Package group is the mechanics of a Kafka consumer group: records of one topic go out
// as batches per partition, offsets come back as commits. It knows no alarms.
//
// What it promises:
//
//   - A batch is committed after its Handler returned nil, never before: at least once. Commits of
//     a partition begin commitEvery apart at least, and a batch waits no longer than that for its
//     own, or until the one after it is handled. Where the generation ends before, its commit is tried
//     once, then; after a crash the batch comes again.
//   - Records of a partition are handed over in offset order, one batch at a time, by one
//     goroutine. Batches of different partitions run side by side.
//   - Memory does not grow with lag: a partition holds one batch (Options.BatchRecords,
//     Options.BatchBytes) and the reader's queue, and fetches no further once that is full.
//   - A consumer that was slow for a moment catches up: what came while a batch was handled is in
//     the next one, and what the partitions have to commit goes to Kafka together.
//   - Nothing is passed over in silence. An offset that does not follow the last one is a
//     gap: logged with its size and counted in _offset_gaps_total. Our raw topics have
//     neither transactions nor compaction, whose markers and holes would look the same; a
//     topic that has them would report gaps that lost nothing.
//   - A worker ends promptly when its generation does: the context that Handle got is
//     cancelled, and a batch that is finished afterwards is not committed.
//
// The library's Reader with a GroupID breaks several of these after a rebalance
// (segmentio/kafka-go #1308, #1398, #387, #1248), so this package drives ConsumerGroup and
// Generation itself, with one plain Reader per assigned partition.
//
// Goroutines: Run owns everything. The library runs one goroutine per generation for us
// (generation.run), which owns its workers and waits for them; readers are closed by
// goroutines that Run waits for.
package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/schema"
)

// Start says where a new group begins.
type Start string

// The places where a new group can begin. A partition that is added to the topic later
// always begins at its beginning, because its records are all new.
const (
	StartEarliest Start = "earliest" // at the oldest record that Kafka still has
	StartLatest   Start = "latest"   // at the end of every partition, as of the group's first assignment
)

// handler takes the batches.
type handler interface {
	// Handle returns nil when every record of the batch is dealt with for good; the
	// offset may be committed then. It blocks for as long as it takes, and returns an error
	// only when ctx ended or when the process must stop. logEnd is the offset after the
	// partition's last record, as of the fetch. The records and their bytes are Handle's
	// until it returns. Called by one goroutine per partition.
	Handle(ctx context.Context, records []schema.Record, logEnd int64) error
}

// conn is how the cluster is reached: *kafkaconn.Conn.
type conn interface {
	Client() *kafka.Client
	Dialer() *kafka.Dialer
	Brokers() []string
}

// Options configures a Group. Conn, Group, Topic and Handler are required.
type Options struct {
	Conn    conn
	Group   string // consumer group id
	Topic   string
	Start   Start // empty: StartEarliest
	Begun   bool  // the group has consumed before, though Kafka may have forgotten its commits: Start does not apply
	Handler handler

	BatchRecords int           // most records of a batch; 0: 500
	BatchBytes   int           // a batch is closed once keys, values and headers pass this; 0: 4 MiB
	BatchWait    time.Duration // longest wait for a batch to fill, after its first record; 0: 50 ms

	// OnAssigned is told, once per generation and before any record, how many of the
	// topic's partitions this member got. While it returns an error nothing is consumed;
	// when it still does after ShareGrace, Run returns that error. Nil: any share is fine.
	OnAssigned func(assigned, total int) error

	// ShareGrace is how long OnAssigned may refuse the share: a member that was killed, or
	// cut off while it joined, keeps its part until its session times out. A member that
	// was content before waits twice as long, so that of two it is the newcomer that goes.
	// 0: one and a half times SessionTimeout.
	ShareGrace time.Duration

	Log     *zap.Logger           // nil: none
	Metrics prometheus.Registerer // nil: none

	SessionTimeout time.Duration // after which a silent member is dropped; 0: 30 s
	Heartbeat      time.Duration // also how soon a rebalance is noticed; 0: 1 s
	Poll           time.Duration // between looks at the topic and its log ends; 0: 2 s
}

// withDefaults returns o with its zero values replaced.
func (o Options) withDefaults() Options {
	set(&o.Start, StartEarliest)
	set(&o.BatchRecords, 500)
	set(&o.BatchBytes, 4<<20)
	set(&o.BatchWait, 50*time.Millisecond)
	set(&o.SessionTimeout, 30*time.Second)
	set(&o.ShareGrace, o.SessionTimeout+o.SessionTimeout/2)
	set(&o.Heartbeat, time.Second)
	set(&o.Poll, 2*time.Second)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

// set replaces the zero value of *v by the default.
func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Group is one member of a consumer group.
type Group struct {
	o        Options
	client   *kafka.Client
	log      *zap.Logger
	metrics  *metrics
	balancer *balancer
	up       atomic.Bool
	assigned atomic.Int64 // partitions of the current generation; -1: none yet

	fail  context.CancelCauseFunc // set by Run; ends it with an error
	wg    sync.WaitGroup          // the generation's goroutine and closing readers
	begun bool                    // owned by the generation: the group has consumed before: Options.Begun, or this member has had offsets

	refusedSince time.Time // owned by the generation: of the first refusal of the share in a row
	content      bool      // owned by the generation: a share was accepted once
}

// New returns a Group that is not running. It does not touch the network.
// The errors name a missing option: a programming error.
func New(o Options) (*Group, error) {
	switch {
	case o.Conn == nil || o.Handler == nil:
		return nil, errors.New("group needs a connection and a handler")
	case o.Group == "" || o.Topic == "":
		return nil, fmt.Errorf("group needs a name and a topic, has %q and %q", o.Group, o.Topic)
	case o.Start != "" && o.Start != StartEarliest && o.Start != StartLatest:
		return nil, fmt.Errorf("start is %q: want earliest or latest", o.Start)
	}
	o = o.withDefaults()
	g := &Group{
		o:        o,
		client:   o.Conn.Client(),
		log:      o.Log.With(zap.String("group", o.Group), zap.String("topic", o.Topic)),
		metrics:  newMetrics(o.Metrics),
		balancer: &balancer{},
		begun:    o.Begun,
	}
	g.assigned.Store(-1)
	return g, nil
}

// Up reports whether Kafka answered the last time it was asked.
// Safe from any goroutine.
func (g *Group) Up() bool { return g.up.Load() }

// Assigned returns how many partitions this member has, -1 while it has no assignment.
// Safe from any goroutine.
func (g *Group) Assigned() int { return int(g.assigned.Load()) }

// Run consumes until ctx ends (nil) or something fatal happens: the handler's error,
// OnAssigned's, or settings that the library refuses. A Kafka that is away, a topic that
// is missing and a coordinator that is loading are waited for. On return no goroutine is left, and
// this member has left the group; where Kafka was away or a join was cut off, Kafka drops it after
// SessionTimeout. Call it once.
func (g *Group) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	g.fail = fail
	defer g.wg.Wait()
	defer g.setUp(false, nil)
	for {
		if err := g.awaitTopic(ctx); err != nil {
			return g.result(ctx)
		}
		if err := g.member(ctx); err != nil {
			return err
		}
	}
}

// result tells the end that was asked for (nil) from a fatal error.
func (g *Group) result(ctx context.Context) error {
	cause := context.Cause(ctx)
	if f := (*fatalError)(nil); errors.As(cause, &f) {
		return f.err
	}
	return nil
}

// fatalError marks the cause of a context that ended because something is beyond repair.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }

// member joins the group and runs one generation after the other. It returns nil when
// ctx ended or the topic went away, and the error where something fatal happened; the member has
// left the group then, as far as Run says.
func (g *Group) member(ctx context.Context) error {
	var open connections
	dialer := g.o.Conn.Dialer()
	dialer.DialFunc = open.dial
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                     g.o.Group,
		Brokers:                g.o.Conn.Brokers(),
		Dialer:                 dialer,
		Topics:                 []string{g.o.Topic},
		GroupBalancers:         []kafka.GroupBalancer{g.balancer},
		HeartbeatInterval:      g.o.Heartbeat,
		SessionTimeout:         g.o.SessionTimeout,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: g.o.Poll,
		JoinGroupBackoff:       time.Second,
		// The library puts this number where there is no committed offset: we look at
		// its sign only, see starts.
		StartOffset: kafka.FirstOffset,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			g.log.Debug("kafka-go reports about the group", zap.String("text", fmt.Sprintf(format, args...)))
		}),
	})
	if err != nil {
		return fmt.Errorf("configure consumer group %q: %w", g.o.Group, err)
	}
	defer func() {
		overdue := time.AfterFunc(cutAfter, open.cut)
		defer overdue.Stop()
		_ = cg.Close() // ends the generation, waits for its goroutine, and leaves the group
	}()
	return g.generations(ctx, cg)
}

// generations starts every generation that cg offers.
func (g *Group) generations(ctx context.Context, cg *kafka.ConsumerGroup) error {
	for {
		gen, err := cg.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return g.result(ctx)
		case err != nil:
			g.joinFailed(err)
			continue
		}
		wait := generationPace
		if len(gen.Assignments[g.o.Topic]) == 0 {
			if g.topicMissing(ctx) {
				g.log.Warn("topic is gone: left the group and wait for it")
				return nil
			}
			wait = emptyPace
		}
		g.startGeneration(ctx, gen)
		pause(ctx, wait)
	}
}

// Pauses between the starts of two generations, which can end as soon as they begin.
// With the topic gone the library would run through hundreds a second, and for two seconds
// the connection's own layout still says that it is there.
const (
	generationPace = 100 * time.Millisecond
	emptyPace      = 500 * time.Millisecond
)

// joinFailed notes an error of joining. The library has gone on to try again, after a
// second: a young cluster answers 14 or 15 (coordinator loading, not available) for seconds.
func (g *Group) joinFailed(err error) {
	if errors.Is(err, kafka.RebalanceInProgress) {
		g.log.Info("another rebalance began while joining")
		return
	}
	g.assigned.Store(-1)
	g.setUp(false, err)
	g.log.Warn("could not join the group, trying again", zap.Error(err))
}

// setUp notes whether Kafka answers.
func (g *Group) setUp(up bool, err error) {
	if was := g.up.Swap(up); was && !up && err != nil {
		g.log.Warn("kafka does not answer", zap.Error(err))
	} else if !was && up {
		g.log.Info("kafka answers")
	}
}
