package forward

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

// stash is what is parked of one topic and kind. Owned by the loop.
type stash struct {
	topic *topic
	kind  kind
	count int // entries that are not settled

	next   journal.LSN   // in the parked journal: no entry before it is left to take
	window window        // taken and not settled
	ahead  []journal.LSN // settled although not before next, after a rewind; in order
	moving int           // taken, refused, and on their way to the parked journal's end
	back   bool          // a lane gave back some of what was taken: nothing more is taken before a rewind

	reader  *journal.Reader // while it is being emptied
	held    offered         // a view of the reader
	full    bool
	until   journal.LSN // single records: a round ends here
	retryAt time.Time   // single records: when the next round begins
}

// cursor is the stash's name in the parked journal's checkpoint.
func (s *stash) cursor() string { return stashCursor(s.topic.name, s.kind) }

func stashCursor(topic string, k kind) string { return topic + "/" + k.String() }

// open returns the first entry that is not settled; the stash is not empty.
func (s *stash) open() journal.LSN {
	if first, ok := s.window.first(); ok {
		return min(first, s.next)
	}
	return s.next
}

// rewind takes back what was taken and not settled. What is known to be settled ahead stays
// known: the round that ends passed over it.
func (s *stash) rewind() {
	if first, ok := s.window.first(); ok {
		s.next = min(s.next, first)
	}
	s.ahead = append(s.ahead, s.window.clear()...)
	slices.Sort(s.ahead)
	s.ahead = slices.DeleteFunc(s.ahead, func(lsn journal.LSN) bool { return lsn < s.next })
	s.back = false
	s.close()
}

// close ends a round.
func (s *stash) close() {
	if s.reader != nil {
		s.reader.Close()
	}
	s.reader, s.full = nil, false
}

// stash returns the topic's stash of a kind.
func (t *topic) stash(k kind) *stash {
	if k == kindRecord {
		return t.single
	}
	return t.parked
}

// parking is the state of appending to the parked journal.
type parking struct {
	waiting  []parkedEntry // appended and not synced, in the order of their parked LSNs
	refusals []refusal     // refused records to append
	tail     journal.LSN   // the last entry of the parked journal that is known
	settled  journal.LSN   // what its last checkpoint said
	fullAt   journal.LSN   // and when its room was last found to be used up
	stuck    bool          // even the reserve is used up; until the clock's next turn

	broken  []journal.LSN // entries that nobody can decode and nobody skipped, in order
	stand   *HaltError    // the first of them: delivery halts there; nil: there is none
	skipped []journal.LSN // above settled
}

// parkedEntry is an entry on its way into the parked journal.
type parkedEntry struct {
	lane *lane  // of the main journal; or else
	from *stash // of the parked journal: it moves to the end
	lsn  journal.LSN
	to   journal.LSN // where it is in the parked journal
}

// refusal is a record that Kafka refused.
type refusal struct {
	lane *lane
	from *stash // nil: of the main journal
	lsn  journal.LSN
	code int16
}

// maxParking bounds the entries that are appended and not synced.
const maxParking = 8192

// parkEntry appends an entry of the main journal to the parked one.
func (f *Forwarder) parkEntry(l *lane, o *offered) reply {
	if len(f.park.waiting) >= maxParking {
		return wait
	}
	env := envelope{kind: kindTopic, id: o.Callback.ID}
	to, r := f.appendParked(l.topic.parked, env, o.payload)
	if r == took {
		l.window.push(o.lsn, o.at)
		f.park.waiting = append(f.park.waiting, parkedEntry{lane: l, lsn: o.lsn, to: to})
	}
	return r
}

// appendParked appends to the parked journal and counts. What was accepted already may use the
// reserve: from the moment that only the reserve is left, receive refuses the topic.
func (f *Forwarder) appendParked(s *stash, env envelope, payload []byte) (journal.LSN, reply) {
	fill := func(dst []byte) []byte { return env.append(dst, payload) }
	ticket, err := f.parked.TryAppend(false, fill)
	if errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrBusy) {
		f.setParkedFull(true)
		ticket, err = f.parked.TryAppend(true, fill)
	}
	switch {
	case errors.Is(err, journal.ErrBusy):
		return 0, wait
	case errors.Is(err, journal.ErrFull):
		f.park.stuck = true
		return 0, blocked
	case err != nil:
		f.fail("append to the parked journal", 0, err)
		return 0, blocked
	}
	if s.count == 0 {
		s.next = ticket.LSN
	}
	s.count++
	s.topic.gauge.Inc()
	f.park.tail = max(f.park.tail, ticket.LSN)
	return ticket.LSN, took
}

// setParkedFull tells receive.
func (f *Forwarder) setParkedFull(full bool) {
	if f.parkedFull.Swap(full) != full {
		f.o.Log.Warn("parked journal's room changed", zap.Bool("full", full))
	}
	if full {
		f.park.fullAt = f.park.settled
	}
}

// settleParked settles what has been synced in the parked journal.
func (f *Forwarder) settleParked() bool {
	if len(f.park.waiting) == 0 {
		return false
	}
	synced := f.parked.Stats().Synced
	n := 0
	for _, e := range f.park.waiting {
		if e.to > synced {
			break
		}
		n++
		if e.from != nil {
			e.from.settle(e.lsn)
			e.from.moving--
			continue
		}
		e.lane.window.finish(e.lsn)
		f.journal.Settle(e.lsn, false)
	}
	f.park.waiting = slices.Delete(f.park.waiting, 0, n)
	return n > 0
}

// settle notes that an entry of the stash was delivered or moved on.
func (s *stash) settle(lsn journal.LSN) {
	s.window.finish(lsn)
	if s.count--; s.count < 0 {
		panic("BUG: more was settled than was parked")
	}
	s.topic.gauge.Dec()
}

// parkRefusals appends the records that Kafka refused; what finds no room waits.
func (f *Forwarder) parkRefusals() {
	for len(f.park.refusals) > 0 && !f.park.stuck && f.fatal == nil {
		if !f.parkRefusal(f.park.refusals[0]) {
			return
		}
		f.park.refusals = slices.Delete(f.park.refusals, 0, 1)
	}
}

func (f *Forwarder) parkRefusal(r refusal) bool {
	payload, id, ok := f.reread(r)
	if !ok {
		return false
	}
	s := r.lane.topic.single
	to, reply := f.appendParked(s, envelope{kind: kindRecord, code: r.code, id: id}, payload)
	if reply != took {
		return false
	}
	if s.retryAt.IsZero() {
		s.retryAt = f.now.Add(f.o.RecordRetry)
	}
	f.park.waiting = append(f.park.waiting, parkedEntry{lane: r.lane, from: r.from, lsn: r.lsn, to: to})
	return true
}

// reread fetches a refused entry again from the journal that it is of.
func (f *Forwarder) reread(r refusal) (payload []byte, id schema.CallbackID, ok bool) {
	from := f.journal
	if r.from != nil {
		from = f.parked
	}
	reader := from.Reader(r.lsn)
	defer reader.Close()
	e, ok, err := reader.Next()
	if err != nil || !ok || e.LSN != r.lsn {
		f.fail("read a refused entry again", r.lsn, fmt.Errorf("found %v, LSN %d: %w", ok, e.LSN, err))
		return nil, id, false
	}
	// The copy outlives the reader.
	payload, id = slices.Clone(e.Payload), schema.CallbackID{Journal: f.journal.ID(), LSN: uint64(r.lsn)}
	if r.from != nil {
		env, inner, err := parseEnvelope(payload)
		if err != nil {
			f.fail("read a refused entry again", r.lsn, err)
			return nil, id, false
		}
		payload, id = inner, env.id
	}
	return payload, id, true
}

// loadParked finds out what is parked, and what of it nobody can decode. Topics that have
// entries there begin as returning.
func (f *Forwarder) loadParked() error {
	settled, cursors := f.parked.Restored()
	done := map[string]journal.LSN{}
	for _, c := range cursors {
		done[c.Lane] = c.LSN
	}
	f.park.settled, f.park.tail, f.park.skipped = settled, settled, skippedIn(cursors)
	reader := f.parked.Reader(settled + 1)
	defer reader.Close()
	for {
		e, ok, err := reader.Next()
		if err != nil {
			return err
		}
		if !ok {
			f.standParked()
			return nil
		}
		f.park.tail = e.LSN
		if slices.Contains(f.park.skipped, e.LSN) {
			continue
		}
		o, env := openParked(e)
		if o.err != nil {
			f.park.broken = append(f.park.broken, e.LSN)
			continue
		}
		f.found(f.topic(o.Topic).stash(env.kind), e.LSN, done)
	}
}

// found counts one entry of the parked journal that a former process left.
func (f *Forwarder) found(s *stash, lsn journal.LSN, done map[string]journal.LSN) {
	if lsn <= done[s.cursor()] {
		return
	}
	if s.count == 0 {
		s.next = lsn
	}
	s.count++
	s.topic.gauge.Inc()
	if s.kind == kindTopic {
		s.topic.state = returning
	}
}
