package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// moment is where in Handle something goes wrong.
type moment int

// The moments. A fault is met with another attempt; the end of the generation with an error,
// after which the records come again.
const (
	beginFails         moment = iota // the database is away, or says nothing of what it began
	saveFails                        // it went away before the commit
	saveAnswerIsLost                 // it went away behind the commit
	endBeforeBegin                   // the generation ends
	endInTransaction                 // while the transaction is open
	endBehindSave                    // saved, nothing published
	endWhilePublishing               // half is published
	endBehindPublish                 // all is published
	commitIsFenced                   // handled, and the offset stays where it was
	numMoments
)

var momentNames = [numMoments]string{
	"begin fails", "save fails", "save's answer is lost", "end before begin", "end in transaction",
	"end behind save", "end while publishing", "end behind publish", "commit is fenced",
}

var errGone = errors.New("connection refused")

// fault stands between the pipeline and what it needs, and has one batch go wrong so many
// times, at one moment.
type fault struct {
	storage
	sink *sink
	at   moment
	left int
	end  context.CancelFunc // ends the generation

	produced bool // there was something to publish
}

// now says whether it is to go wrong at this moment, which counts as done then.
func (f *fault) now(m moment) bool {
	if f.at != m || f.left == 0 {
		return false
	}
	f.left--
	return true
}

func (f *fault) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	if f.now(beginFails) {
		return nil, errGone
	}
	if f.now(endBeforeBegin) {
		f.end()
		return nil, ctx.Err()
	}
	tx, err := f.storage.Begin(ctx, topic, partition, ids, appIDs)
	if err != nil {
		return nil, err
	}
	return &faultTx{tx, f}, nil
}

// faultTx is a transaction of a fault.
type faultTx struct {
	store.Tx
	f *fault
}

func (tx *faultTx) Save(ctx context.Context, c store.Changes) error {
	switch {
	case tx.f.now(saveFails):
		tx.Rollback()
		return errGone
	case tx.f.now(endInTransaction):
		tx.f.end()
	}
	if err := tx.Tx.Save(ctx, c); err != nil {
		return err
	}
	switch {
	case tx.f.now(saveAnswerIsLost):
		return errGone
	case tx.f.now(endBehindSave):
		tx.f.end()
	}
	return nil
}

// Produce is the sink's, but that a producer takes nothing once its context is over.
func (f *fault) Produce(ctx context.Context, records []schema.Record) ([]error, error) {
	f.produced = true
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	some := records
	if f.at == endWhilePublishing {
		some = records[:len(records)/2]
	}
	if f.now(endWhilePublishing) || f.now(endBehindPublish) {
		if len(some) > 0 {
			_, _ = f.sink.Produce(ctx, some)
		}
		f.end()
		return nil, ctx.Err()
	}
	return f.sink.Produce(ctx, records)
}

// disturbed runs the consumer over all records. Batches for which hits is true go wrong at the
// moment, so many times each.
func (w *world) disturbed(t testing.TB, at moment, times int, hits func(batch int) bool) {
	t.Helper()
	s, closeStore := w.open()
	defer closeStore()
	for n := 0; w.offset < len(w.records); n++ {
		f := &fault{storage: s, sink: w.sink, at: at}
		if hits(n) {
			f.left = times
		}
		p := New(Options{Store: f, Producer: f, Apps: w.apps, Topics: topics, Group: testGroup, Now: now})
		next := w.records[w.offset:min(w.offset+w.batch, len(w.records))]
		for handled := false; !handled; {
			ctx, cancel := context.WithCancel(t.Context())
			f.end = cancel
			err := p.Handle(ctx, next, w.logEnd)
			if err != nil && ctx.Err() == nil {
				t.Fatalf("batch %d: %v", n, err)
			}
			handled = err == nil && !f.now(commitIsFenced)
			cancel()
		}
		if f.left != 0 && (f.produced || at < endBehindSave) { // a repeat publishes nothing
			t.Fatalf("batch %d went wrong %d times less than it was to", n, f.left)
		}
		w.offset += len(next)
	}
}

// Each step fails at each record in turn: nothing tells that it did. Where a world
// costs little each record has its own, and it fails twice; over databases the steps fail at
// all batches of one.
func TestEachStepFailsAtEachRecord(t *testing.T) {
	for _, database := range stores {
		t.Run(database.name, func(t *testing.T) {
			if database.name != "memory" {
				eachStepFails(t, database.make, 2, false)
				return
			}
			for _, size := range []int{1, 4} {
				eachStepFails(t, database.make, size, true)
			}
		})
	}
}

// eachStepFails has every step fail with batches of a size: of each batch in a world of its own,
// or of all in one.
func eachStepFails(t *testing.T, fresh func(testing.TB) func() (storage, func()), size int, apart bool) {
	undisturbed := newWorld(t, fresh(t), size)
	undisturbed.process(t, 0)
	known := stateOf(t, undisturbed)
	undisturbed.known = &known // not to be read in a bubble
	for at := range numMoments {
		t.Run(fmt.Sprintf("%s, batches of %d", momentNames[at], size), func(t *testing.T) {
			if !apart {
				w := newWorld(t, fresh(t), size)
				w.disturbed(t, at, 1, func(int) bool { return true })
				w.sameAs(t, undisturbed)
				return
			}
			for nth := range (len(undisturbed.records) + size - 1) / size {
				synctest.Test(t, func(t *testing.T) { // attempts are apart
					w := newWorld(t, fresh(t), size)
					w.disturbed(t, at, 2, func(batch int) bool { return batch == nth })
					w.sameAs(t, undisturbed)
				})
			}
		})
	}
}

// outage has the database or Kafka away, or both, until their times.
type outage struct {
	storage
	sink         *sink
	store, kafka time.Time
}

func (o *outage) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	if time.Now().Before(o.store) {
		return nil, errGone
	}
	return o.storage.Begin(ctx, topic, partition, ids, appIDs)
}

// Produce waits for Kafka, as internal/produce does.
func (o *outage) Produce(ctx context.Context, records []schema.Record) ([]error, error) {
	time.Sleep(time.Until(o.kafka)) // the bubble's clock
	return o.sink.Produce(ctx, records)
}

// The database is away for a minute, then Kafka, then both, the one after the other and at the
// same time: the consumer goes on by itself within the longest wait between attempts, and
// nothing tells that they were away.
func TestAwayForAMinute(t *testing.T) {
	for _, database := range stores[:2] { // what waits for a network has no place in a bubble
		t.Run(database.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				undisturbed := newWorld(t, database.make(t), 2)
				undisturbed.process(t, 0)
				w := newWorld(t, database.make(t), 2)
				s, closeStore := w.open()
				o := &outage{storage: s, sink: w.sink}
				p := New(Options{Store: o, Producer: o, Apps: w.apps, Topics: topics, Group: testGroup, Now: now})
				for n := 0; w.offset < len(w.records); n++ {
					begun := time.Now()
					away := begun.Add(time.Minute)
					switch n % 4 {
					case 0:
						o.store = away
					case 1:
						o.kafka = away
					case 2:
						o.store, o.kafka = away, away
					case 3:
						o.store, o.kafka = away, away.Add(time.Minute)
					}
					next := w.records[w.offset:min(w.offset+w.batch, len(w.records))]
					if err := p.Handle(t.Context(), next, w.logEnd); err != nil {
						t.Fatal(err)
					}
					if late := time.Since(begun) - time.Minute; late < 0 || n%4 < 3 && late > maxBackoff*6/5 {
						t.Errorf("batch %d: went on %v after the minute", n, late)
					}
					w.offset += len(next)
				}
				closeStore()
				w.sameAs(t, undisturbed)
			})
		})
	}
}
