package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/schema"
)

// Settings of the library's reader.
const (
	// fetchWait is how long Kafka holds an empty fetch. A reader that is in one cannot be
	// closed, so it is short.
	fetchWait = 500 * time.Millisecond
	// fetchBytes is asked for per fetch; a larger record comes all the same.
	fetchBytes = 2 << 20
	// queueCapacity is how many records the reader keeps ready for the next batch.
	queueCapacity = 256
)

const (
	// commitEvery is the least time between two commits of a partition. A commit is a request that
	// Kafka replicates as it does records; where batches are small, one for each took a quarter of
	// the time until an event could be read, over SQLite. What was handled since the last one comes again after
	// a crash, and is known then by what was saved.
	commitEvery = 200 * time.Millisecond
	// lastCommitTimeout bounds what precedes the one at a generation's end: a question, and the wait
	// for another partition's request. Its own ends with the library's 5 s, or when the connections
	// are cut at a stop. The group's next generation waits for it.
	lastCommitTimeout = time.Second
)

// worker consumes one partition during one generation. run is one goroutine; only the
// progress is shared, with the monitor.
type worker struct {
	*generation
	partition int
	reader    *kafka.Reader // nil: to be opened at next
	next      int64         // offset that the next record must have
	handled   int64         // all before was handled, while the generation was not over
	safe      int64         // nothing before is to be committed
	commitAt  time.Time     // when the next commit may begin
	lost      bool          // the generation is over for the coordinator, or the log is another: nothing more is committed
	outside   bool          // the reader gave up, as next is outside the log
	hasCommit bool          // the group has a commit of the partition, as far as is known here

	// The reader met an error since the commits were last looked for. Set by the library's
	// goroutine.
	suspect atomic.Bool

	mu       sync.Mutex
	progress progress // guarded by mu
}

// progress is what a worker tells the monitor.
type progress struct {
	next   int64     // all before was handled
	oldest time.Time // when the first record of the batch in hand was produced; zero: none in hand
}

// newWorker returns a worker for partition that begins at offset.
func newWorker(r *generation, partition int, offset int64) *worker {
	return &worker{generation: r, partition: partition, next: offset, handled: offset, safe: offset, progress: progress{next: offset}}
}

// batch is what collect returns.
type batch struct {
	records []schema.Record
	logEnd  int64
	bytes   int
}

// run fetches, hands over and commits until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.closeReader()
	defer w.commitLast()
	for ctx.Err() == nil {
		if w.uncommitted() && !time.Now().Before(w.commitAt) && !w.commit(ctx) {
			return
		}
		b, ok := w.collect(ctx)
		if !ok {
			continue
		}
		if w.outlived(ctx) {
			return
		}
		w.note(progress{next: b.records[0].Offset, oldest: b.records[0].Time})
		if err := w.o.Handler.Handle(ctx, b.records, b.logEnd); err != nil {
			if ctx.Err() == nil {
				w.fail(&fatalError{fmt.Errorf("handle %s partition %d from offset %d: %w",
					w.o.Topic, w.partition, b.records[0].Offset, err)})
			}
			w.cancel()
			return
		}
		if ctx.Err() != nil {
			return
		}
		w.handled = w.next
		w.note(progress{next: w.next})
	}
}

// outlived ends the generation, and says so, where the topic was made anew since the reader last met
// an error. It is asked before a batch is handled, and again before a commit, which would
// be of another log, and hide what has happened.
func (w *worker) outlived(ctx context.Context) bool {
	if !w.suspect.Swap(false) || !w.madeAnew(ctx) {
		return false
	}
	w.lose()
	return true
}

// lose ends the generation, of which nothing more may be committed.
func (w *worker) lose() {
	w.lost = true
	w.cancel()
}

// madeAnew reports whether the topic was deleted and made again under the reader, which goes on
// at its old offset then, in the middle of another log, when that is long enough. Kafka deletes
// a topic's commits with it: what was committed and is no more gives it away. An error of
// the reader is the time to look: it meets one when the topic goes. False also: ctx ended.
func (w *worker) madeAnew(ctx context.Context) bool {
	if !w.hasCommit {
		return false
	}
	var offsets map[int]int64
	if !w.retry(ctx, "look for the partition's commit", func(ctx context.Context) (err error) {
		offsets, err = w.committed(ctx, []int{w.partition})
		return err
	}) {
		return false
	}
	if _, found := offsets[w.partition]; found {
		return false
	}
	w.metrics.gaps.Inc()
	w.log.Error("the group's commit is gone, so the topic was made anew: joining again, to begin at its first record",
		zap.Int("partition", w.partition), zap.Int64("offset", w.next))
	return true
}

// note publishes the progress.
func (w *worker) note(p progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress = p
}

// collect makes a batch: until it is full, BatchWait passed since its first record, or
// the log's end was reached, as of the fetch, and nothing of a later fetch is here: waiting
// would only add latency, and under load the records that come meanwhile are the next batch.
// False: there is none to handle, and a commit may be due; call again unless ctx ended.
func (w *worker) collect(ctx context.Context) (batch, bool) {
	var b batch
	if w.reader == nil && !w.open(ctx) {
		return b, false
	}
	first := ctx
	if w.uncommitted() {
		var cancel context.CancelFunc
		first, cancel = context.WithDeadline(ctx, w.commitAt)
		defer cancel()
	}
	for len(b.records) == 0 {
		if !w.take(first, &b) {
			return b, false
		}
	}
	wait, cancel := context.WithTimeout(ctx, w.o.BatchWait)
	defer cancel()
	for len(b.records) < w.o.BatchRecords && b.bytes < w.o.BatchBytes && (w.next < b.logEnd || w.queued()) {
		if !w.take(wait, &b) {
			break
		}
	}
	return b, ctx.Err() == nil
}

// queued reports whether the reader has more at hand. While a batch is handled it goes on, in
// fetches of a record or two where few come at a time: one such fetch a batch would let a consumer
// that is slow for a moment fall behind by all that the reader keeps ready, and stay there.
func (w *worker) queued() bool { return w.reader.Stats().QueueLength > 0 }

// take waits for one record until wait ends, and adds it to b unless it was handled before. False:
// none came.
func (w *worker) take(wait context.Context, b *batch) bool {
	m, err := w.reader.FetchMessage(wait)
	if err != nil {
		if end := wait.Err(); end == nil || !errors.Is(err, end) {
			w.readFailed(err)
			if len(b.records) == 0 && w.reader != nil && !w.queued() {
				pause(wait, 100*time.Millisecond)
			}
		}
		return false
	}
	w.add(b, &m)
	return true
}

// add puts m into b, unless it was handled before, which the library's reader can hand
// out after it connected again.
func (w *worker) add(b *batch, m *kafka.Message) {
	switch {
	case m.Offset < w.next:
		w.log.Debug("passed over a record that was handled before", zap.Int("partition", w.partition), zap.Int64("offset", m.Offset))
		return
	case m.Offset > w.next:
		w.gap(w.partition, w.next, m.Offset)
	}
	w.next = m.Offset + 1
	b.logEnd = max(b.logEnd, m.HighWaterMark, w.next)
	b.bytes += len(m.Key) + len(m.Value)
	for i := range m.Headers {
		b.bytes += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	b.records = append(b.records, record(m))
}

// record returns m as a record. The bytes are m's, which the library allocated for it.
func record(m *kafka.Message) schema.Record {
	r := schema.Record{
		Topic: m.Topic, Partition: int32(m.Partition), Offset: m.Offset,
		Time: m.Time.UTC(), Key: m.Key, Value: m.Value,
	}
	if len(m.Headers) > 0 {
		r.Headers = make([]schema.Header, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = schema.Header(h)
		}
	}
	return r
}

// readFailed deals with an error of the reader. An offset outside the log means that the
// reader gave up: open replaces it. From anything else the reader recovers by itself, and has done
// so where something lies behind the error: those of a whole outage can lie before one record, when
// a batch took as long.
func (w *worker) readFailed(err error) {
	where := []zap.Field{zap.Int("partition", w.partition), zap.Int64("offset", w.next), zap.Error(err)}
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		w.closeReader()
		w.outside = true
	case w.queued():
		w.log.Debug("could not fetch, and could since", where...)
	default:
		w.setUp(false, err)
		w.log.Warn("could not fetch, trying again", where...)
	}
}

// open opens a reader at next, or where the log allows when the last one found next outside it.
// False: ctx ended.
func (w *worker) open(ctx context.Context) bool {
	if w.outside {
		next, ok := w.within(ctx, w.partition, w.next)
		if !ok {
			return false
		}
		w.outside = false
		if next != w.next {
			w.next, w.handled, w.safe = next, next, next
			w.hasCommit = false // of the log as it is now; madeAnew would tell of the same thing again
			w.note(progress{next: next})
		}
	}
	w.reader = kafka.NewReader(kafka.ReaderConfig{
		Brokers:               w.o.Conn.Brokers(),
		Dialer:                w.o.Conn.Dialer(),
		Topic:                 w.o.Topic,
		Partition:             w.partition,
		QueueCapacity:         queueCapacity,
		MinBytes:              1,
		MaxBytes:              fetchBytes,
		MaxWait:               fetchWait,
		ReadLagInterval:       -1,
		ReadBackoffMin:        50 * time.Millisecond,
		ReadBackoffMax:        time.Second,
		MaxAttempts:           3,
		OffsetOutOfRangeError: true,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			w.suspect.Store(true)
			w.log.Debug("kafka-go reports about a reader", zap.Int("partition", w.partition), zap.String("text", fmt.Sprintf(format, args...)))
		}),
	})
	// The only error is that of a closed reader or of one with a group.
	if err := w.reader.SetOffset(w.next); err != nil {
		panic("BUG: new reader refuses an offset: " + err.Error())
	}
	return true
}

// closeReader closes the reader in the background: it can be in a request to a broker
// that does not answer, and the next generation must not wait for that.
func (w *worker) closeReader() {
	if w.reader == nil {
		return
	}
	reader := w.reader
	w.reader = nil
	w.wg.Go(func() { _ = reader.Close() })
}

// uncommitted says whether anything was handled since the last commit.
func (w *worker) uncommitted() bool { return w.handled != w.safe }

// commit commits what was handled, and tries again until that succeeds or the generation is over.
// False: it is over.
func (w *worker) commit(ctx context.Context) bool {
	w.commitAt = time.Now().Add(commitEvery)
	return w.retry(ctx, "commit the offset", func(ctx context.Context) error {
		if w.outlived(ctx) {
			return nil
		}
		err := w.commits.commit(ctx, w.partition, w.handled)
		if !fenced(err) && !errors.Is(err, kafka.UnknownTopicOrPartition) {
			if err == nil {
				w.safe, w.hasCommit = w.handled, true
			}
			return err
		}
		// So is the generation when its topic is gone: the next one of that name has another log.
		w.log.Info("the generation was over before a commit: the records come again",
			zap.Int("partition", w.partition), zap.Int64("offset", w.handled), zap.Error(err))
		w.lose()
		return nil
	}) && ctx.Err() == nil
}

// commitLast commits what was handled and not committed when the generation ended: its coordinator takes
// that until the group has another one. It tries once; what is not taken comes again. That the topic was
// made anew can be why the generation ended, and another's worker the one who knows: as in madeAnew,
// only a commit that is still there says that it was not.
func (w *worker) commitLast() {
	if !w.uncommitted() || w.lost || !w.hasCommit {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastCommitTimeout)
	defer cancel()
	offsets, err := w.committed(ctx, []int{w.partition})
	_, found := offsets[w.partition]
	if found && err == nil {
		err = w.commits.commit(ctx, w.partition, w.handled)
	}
	if !found || err != nil {
		w.log.Info("the generation was over before a commit: the records come again",
			zap.Int("partition", w.partition), zap.Int64("from", w.safe), zap.Int64("to", w.handled), zap.Error(err))
	}
}

// fenced reports whether err says that the coordinator has gone on to another generation.
func fenced(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) ||
		errors.Is(err, kafka.RebalanceInProgress)
}
