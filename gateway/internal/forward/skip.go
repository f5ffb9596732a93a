package forward

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

// skippedLane is the cursor that keeps an entry as skipped until everything before it is
// settled, one cursor for each such entry. No lane has the name: theirs hold a slash.
const skippedLane = "skipped"

// Skippable is an entry that is not delivered and may be given up here, once it is kept
// elsewhere.
type Skippable struct {
	LSN      journal.LSN
	Parked   bool
	ID       schema.CallbackID // zero where the envelope of a parked entry cannot be read
	Time     time.Time         // when its batch in that journal began
	Payload  []byte            // all of the entry, in its envelope when it is parked
	Callback []byte            // what of it entry.Parse reads, perhaps; nil as ID is zero
	Reason   error             // why it is not delivered
}

// Sum identifies the payload: who says it to Skip has had the entry.
func (s *Skippable) Sum() [sha256.Size]byte { return sha256.Sum256(s.Payload) }

// Look returns an entry that Skip would take: the one at which delivery halts, or a parked
// record that Kafka refuses. Errors: ErrNotSkippable for every other, ErrStopped after Run,
// ctx's, else of reading. It may be called from any goroutine while Run runs.
func (f *Forwarder) Look(ctx context.Context, parked bool, lsn journal.LSN) (s Skippable, err error) {
	if called := f.do(ctx, func() { s, _, err = f.look(parked, lsn) }); called != nil {
		return s, called
	}
	return s, err
}

// Skip settles an entry without delivering it. The caller has made it durable elsewhere, and
// proves by its Sum that it had it: ErrNotSkippable otherwise, and for what Look refuses. A
// crash within about a second may forget it: then delivery halts there again. Errors as Look.
func (f *Forwarder) Skip(ctx context.Context, parked bool, lsn journal.LSN, sum [sha256.Size]byte) (err error) {
	called := f.do(ctx, func() {
		s, from, looked := f.look(parked, lsn)
		switch {
		case looked != nil:
			err = looked
		case s.Sum() != sum:
			err = fmt.Errorf("LSN %d has other content than was kept: %w", lsn, ErrNotSkippable)
		case parked:
			f.skipParked(lsn, from)
		default:
			f.skipped = append(f.skipped, lsn)
			f.stand = nil
			f.publishHalts(nil)
			f.journal.Settle(lsn, false)
		}
	})
	if called != nil {
		return called
	}
	return err
}

// skipParked settles a parked entry: a refused record of a stash, or, without one, the entry
// that nobody can decode.
func (f *Forwarder) skipParked(lsn journal.LSN, from *stash) {
	f.park.skipped = append(f.park.skipped, lsn)
	f.unsaved = true
	if from == nil {
		f.park.broken = f.park.broken[1:]
		f.standParked()
		return
	}
	if from.full && from.held.lsn == lsn {
		from.full, from.next = false, lsn+1
	}
	from.count--
	from.topic.gauge.Dec()
}

// look finds an entry that may be skipped, and the stash that it is of, if any.
func (f *Forwarder) look(parked bool, lsn journal.LSN) (s Skippable, from *stash, err error) {
	j, stand := f.journal, f.stand
	if parked {
		j, stand = f.parked, f.park.stand
	}
	halted := stand != nil && stand.LSN == lsn
	if !parked && !halted {
		return s, nil, fmt.Errorf("LSN %d, %s: %w", lsn, standText(stand), ErrNotSkippable)
	}
	e, done, err := entryAt(j, lsn)
	if err != nil {
		return s, nil, err
	}
	defer done()
	s = skippable(j, parked, e)
	if halted {
		s.Reason = stand.Reason
		return s, nil, nil
	}
	from, s.Reason, err = f.refusedAt(e)
	return s, from, err
}

// refusedAt finds the stash of a parked record that Kafka refused and that waits there, and
// why it is there.
func (f *Forwarder) refusedAt(e journal.Entry) (from *stash, why, err error) {
	o, env := openParked(e)
	if o.err != nil || env.kind != kindRecord {
		return nil, nil, fmt.Errorf("LSN %d of the parked journal, %s: %w", e.LSN, standText(f.park.stand), ErrNotSkippable)
	}
	s := f.topic(o.Topic).single
	if s.window.open(e.LSN) {
		return nil, nil, fmt.Errorf("LSN %d of the parked journal is being tried at this moment: look again: %w", e.LSN, ErrNotSkippable)
	}
	_, ahead := slices.BinarySearch(s.ahead, e.LSN)
	if s.count == 0 || ahead || e.LSN < s.next || slices.Contains(f.park.skipped, e.LSN) {
		return nil, nil, fmt.Errorf("LSN %d of the parked journal is settled: %w", e.LSN, ErrNotSkippable)
	}
	return s, refusedReason(env), nil
}

func refusedReason(env envelope) error { return fmt.Errorf("kafka refused it with code %d", env.code) }

// standText says at which entry delivery stands.
func standText(stand *HaltError) string {
	if stand == nil {
		return "where delivery does not halt"
	}
	return "but delivery is " + stand.Error()
}

// skippable describes an entry; it copies what it keeps.
func skippable(j *journal.Journal, parked bool, e journal.Entry) Skippable {
	s := Skippable{LSN: e.LSN, Parked: parked, Time: e.Time, Payload: slices.Clone(e.Payload)}
	if !parked {
		s.ID, s.Callback = schema.CallbackID{Journal: j.ID(), LSN: uint64(e.LSN)}, s.Payload
	} else if env, inner, err := parseEnvelope(s.Payload); err == nil {
		s.ID, s.Callback = env.id, inner
	}
	return s
}

// entryAt reads one entry, which is valid until done is called. ErrNotSkippable: there is none.
func entryAt(j *journal.Journal, lsn journal.LSN) (e journal.Entry, done func(), err error) {
	reader := j.Reader(lsn)
	e, ok, err := reader.Next()
	switch {
	case err != nil:
		err = fmt.Errorf("read LSN %d: %w", lsn, err)
	case !ok || e.LSN != lsn:
		err = fmt.Errorf("there is no LSN %d: %w", lsn, ErrNotSkippable)
	default:
		return e, reader.Close, nil
	}
	reader.Close()
	return e, nil, err
}

// SkipStopped does what Look and Skip do in a journal that no forwarder uses: it finds the
// entry, has keep make it durable elsewhere, and settles it. Only Close of the journal makes
// that durable; before, a crash forgets it. Errors: keep's, ErrNotSkippable, else of reading;
// nothing is settled then.
func SkipStopped(j *journal.Journal, parked bool, lsn journal.LSN, keep func(Skippable) error) error {
	settled, cursors := j.Restored()
	if lsn <= settled {
		return fmt.Errorf("LSN %d is settled, as all up to %d is: %w", lsn, settled, ErrNotSkippable)
	}
	skipped := skippedIn(cursors)
	reader := j.Reader(settled + 1)
	defer reader.Close()
	for {
		e, ok, err := reader.Next()
		switch {
		case err != nil:
			return fmt.Errorf("read the journal: %w", err)
		case !ok || e.LSN > lsn:
			return fmt.Errorf("there is no LSN %d: %w", lsn, ErrNotSkippable)
		case slices.Contains(skipped, e.LSN):
			if e.LSN == lsn {
				return fmt.Errorf("LSN %d was skipped before: %w", lsn, ErrNotSkippable)
			}
			continue
		}
		s := skippable(j, parked, e)
		waits, why := whyStopped(parked, &e, cursors)
		s.Reason = why
		switch {
		case e.LSN < lsn && why != nil && !waits:
			return fmt.Errorf("LSN %d comes after LSN %d, which cannot be decoded: %w: %w", lsn, e.LSN, why, ErrNotSkippable)
		case e.LSN < lsn:
			continue
		case why == nil:
			return fmt.Errorf("LSN %d can be delivered, and will be: %w", lsn, ErrNotSkippable)
		}
		if err := keep(s); err != nil {
			return err
		}
		j.Checkpoint(settled, append([]journal.Cursor{{Lane: skippedLane, LSN: lsn}}, cursors...))
		return nil
	}
}

// whyStopped says why an entry of a stopped journal is not delivered; nil: it will be, or was.
// waits: it is a refused record, which holds up nobody.
func whyStopped(parked bool, e *journal.Entry, cursors []journal.Cursor) (waits bool, why error) {
	if !parked {
		_, err := entry.Parse(e.Payload)
		return false, err
	}
	o, env := openParked(*e)
	if o.err != nil || env.kind != kindRecord {
		return false, o.err
	}
	lane := stashCursor(string(o.Topic), env.kind)
	if slices.ContainsFunc(cursors, func(c journal.Cursor) bool { return c.Lane == lane && e.LSN <= c.LSN }) {
		return false, nil
	}
	return true, refusedReason(env)
}

// skippedIn returns the entries that cursors say were skipped.
func skippedIn(cursors []journal.Cursor) (skipped []journal.LSN) {
	for _, c := range cursors {
		if c.Lane == skippedLane {
			skipped = append(skipped, c.LSN)
		}
	}
	return skipped
}

// skippedCursors forgets the skipped entries that are behind and appends cursors for the rest.
func skippedCursors(skipped *[]journal.LSN, cursors []journal.Cursor, settled journal.LSN) []journal.Cursor {
	*skipped = slices.DeleteFunc(*skipped, func(lsn journal.LSN) bool { return lsn <= settled })
	for _, lsn := range *skipped {
		cursors = append(cursors, journal.Cursor{Lane: skippedLane, LSN: lsn})
	}
	return cursors
}

// do runs work in the loop's goroutine and returns when it is done. Errors: ctx's, ErrStopped;
// work was not run then.
func (f *Forwarder) do(ctx context.Context, work func()) error {
	done := make(chan struct{})
	select {
	case f.calls <- func() { defer close(done); work() }:
		<-done // the loop runs it at once
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.gone:
		return ErrStopped
	}
}

// answerCall runs what waits in do, if anything does.
func (f *Forwarder) answerCall() bool {
	select {
	case call := <-f.calls:
		call()
		return true
	default:
		return false
	}
}

// openParked decodes an entry of the parked journal; o.err says why it cannot be.
func openParked(e journal.Entry) (o offered, env envelope) {
	env, payload, err := parseEnvelope(e.Payload)
	if err != nil {
		return offered{lsn: e.LSN, err: err}, env
	}
	o.decode(e, payload, env.id)
	return o, env
}
