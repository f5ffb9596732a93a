package forward

import (
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// holdFor is how long a reader waits for a lane that is full but answers: long enough for a
// request that goes well, so that lanes lag only where something is wrong or slow.
const holdFor = 20 * time.Millisecond

// hand is a reader with the entry in its hand.
type hand struct {
	reader *journal.Reader
	held   offered // a view: valid until the reader's next call
	full   bool    // there is one
	since  time.Time
	failed bool // reading failed; tried again at the next turn of the clock
}

// pick makes sure that there is an entry in the hand. False: at the tail, or reading failed.
func (f *Forwarder) pick(h *hand) bool {
	if h.full {
		return true
	}
	if h.failed {
		return false
	}
	e, ok, err := h.reader.Next()
	if err != nil {
		f.o.Log.Error("read the journal, trying again", zap.Error(err))
		h.failed = true
	}
	if err != nil || !ok {
		return false
	}
	f.open(&h.held, e)
	h.full, h.since = true, time.Time{}
	return true
}

// waiting reports whether the hand waits for its entry's lane. An entry that nobody can decode
// has none.
func (h *hand) waiting() bool { return h.full && h.held.err == nil }

// patient reports whether the hand goes on waiting for its entry's lane.
func (h *hand) patient(now time.Time) bool {
	if h.since.IsZero() {
		h.since = now
	}
	return now.Sub(h.since) < holdFor
}

// readLive gives up to n entries to their lanes and reports whether it got any further. It stands
// still at an entry that nobody can decode: passing over it would lose it.
func (f *Forwarder) readLive(n int) bool {
	moved := false
	defer func() {
		if moved {
			f.readAt = f.now
		}
	}()
	for range n {
		if f.fatal != nil || f.pace.spent(f.now) || f.resting() || !f.pick(&f.live) {
			break
		}
		o := &f.live.held
		switch {
		case f.wasSkipped(o.lsn):
		case o.err != nil:
			f.halt(o)
			return moved
		case !f.deal(o):
			return moved
		}
		f.liveLSN, f.live.full, moved = o.lsn, false, true
	}
	return moved
}

// deal gives the live reader's entry to its lane, which lags when it cannot take; false: it
// waits a moment for the lane.
func (f *Forwarder) deal(o *offered) bool {
	l := f.laneOf(o)
	if l.lagging {
		f.over++
		return true
	}
	if l.topic.settledAhead(o.lsn, f.key) {
		return true
	}
	switch r := f.offer(l, o); {
	case r == wait && f.live.patient(f.now):
		return false
	case r != took:
		l.lag(o.lsn, f)
	default:
		f.over = 0
	}
	return true
}

const (
	// restAfter is how many entries of lagging lanes in a row the live reader passes over before
	// it asks whether to rest: all that it reads then, the pass reads again.
	restAfter = chunk

	// restWithin is how far it may be ahead of the pass to rest, in entries: waiting for a pass
	// that has a long way to go would hold up the other lanes.
	restWithin = 32 << 10

	// restFor bounds one rest, and restStride is how many entries follow it: where a lane is slow
	// there may be others' entries behind what it is owed, and they wait as long as the rest.
	restFor    = clock
	restStride = 4096
)

// resting reports whether the live reader has nothing to win: while Kafka is away it would only
// find out that lane after lane is full; and where it has met nothing but lagging lanes for a
// while it waits a moment for them, if one of them goes on and the pass is near.
func (f *Forwarder) resting() bool {
	if !f.o.Producer.Up() {
		return f.anyLagging()
	}
	if f.over < restAfter {
		f.rests = time.Time{}
		return false
	}
	if f.rests.IsZero() {
		f.rests = f.now
	}
	switch {
	case f.pass.running && f.liveLSN >= f.pass.lsn+restWithin || !f.anyMoving():
		f.over = 0 // asked again after as many
	case f.now.Sub(f.rests) >= restFor:
		f.over = restAfter - restStride
	default:
		return true
	}
	return false
}

// anyMoving reports whether a lane that lags may soon take entries.
func (f *Forwarder) anyMoving() bool {
	for _, t := range f.order {
		if t.state != open || t.target != 0 {
			continue
		}
		for _, l := range t.lanes {
			if l.lagging && l.out != nil && !l.out.lane.Stalled() {
				return true
			}
		}
	}
	return false
}

// anyLagging reports whether a lane lags.
func (f *Forwarder) anyLagging() bool {
	for _, t := range f.order {
		for _, l := range t.lanes {
			if l.lagging {
				return true
			}
		}
	}
	return false
}

// pass is the catch-up reader's way through a part of the journal.
type pass struct {
	hand
	running bool
	lsn     journal.LSN // the last entry that it has dealt with
}

// position returns the first entry of a lagging lane that may be left to take.
func (f *Forwarder) position(l *lane) journal.LSN {
	if l.inPass {
		return max(l.next, f.pass.lsn+1)
	}
	return l.next
}

// catchUp goes on with the pass, or begins one, by up to n entries, and reports whether it
// got any further.
func (f *Forwarder) catchUp(n int) bool {
	if !f.pass.running && !f.beginPass() {
		return false
	}
	moved := false
	for range n {
		if f.fatal != nil || f.pace.spent(f.now) {
			return moved
		}
		if f.pass.lsn >= f.liveLSN || !f.anyInPass() {
			f.endPass()
			return true
		}
		if !f.pick(&f.pass.hand) {
			if !f.pass.failed {
				// The rest was set aside as corrupt: nothing is left to take.
				f.pass.lsn = f.liveLSN
				continue
			}
			return moved
		}
		if !f.catch(&f.pass.held) {
			return moved
		}
		f.pass.full, moved = false, true
	}
	return moved
}

// catch deals with one entry of the pass; false: it waits for its lane, or stands at an entry
// that nobody can decode.
func (f *Forwarder) catch(o *offered) bool {
	if o.lsn > f.liveLSN {
		f.pass.lsn = f.liveLSN // the live reader's business
		return true
	}
	switch {
	case f.wasSkipped(o.lsn):
		f.pass.lsn = o.lsn
		return true
	case o.err != nil:
		f.halt(o)
		return false
	}
	l := f.laneOf(o)
	if l.inPass && o.lsn >= l.next && !l.topic.settledAhead(o.lsn, f.key) {
		switch r := f.offer(l, o); {
		case r == wait && f.pass.patient(f.now):
			return false
		case r != took:
			l.inPass, l.next = false, o.lsn
		}
	}
	f.pass.lsn = o.lsn
	return true
}

// beginPass begins a pass at the smallest position of the lanes that can take again.
func (f *Forwarder) beginPass() bool {
	var from journal.LSN
	for _, t := range f.order {
		for _, l := range t.lanes {
			if l.lagging && f.canTake(l) && (from == 0 || l.next < from) {
				from = l.next
			}
		}
	}
	if from == 0 {
		return false
	}
	f.pass.reader = f.journal.Reader(from)
	f.pass.running, f.pass.full, f.pass.lsn = true, false, from-1
	for _, t := range f.order {
		for _, l := range t.lanes {
			l.inPass = l.lagging && l.next >= from
		}
	}
	return true
}

// canTake reports whether a lagging lane is worth a pass.
func (f *Forwarder) canTake(l *lane) bool {
	t := l.topic
	switch {
	case t.target != 0 || t.state == returning || t.pausing:
		return false
	case t.state == refused:
		return l.inflight == 0 && !f.park.stuck
	}
	return l.out != nil && !l.full
}

func (f *Forwarder) anyInPass() bool {
	for _, t := range f.order {
		for _, l := range t.lanes {
			if l.inPass {
				return true
			}
		}
	}
	return false
}

// endPass lets the lanes that lasted rejoin the live reader.
func (f *Forwarder) endPass() {
	done := f.pass.lsn >= f.liveLSN
	for _, t := range f.order {
		for _, l := range t.lanes {
			if l.inPass && done {
				l.lagging = false
			}
			l.inPass = false
		}
	}
	f.over = 0 // lanes are back, so look again
	// Closed, because a reader keeps its segment from being freed.
	f.pass.reader.Close()
	f.pass.hand, f.pass.running = hand{}, false
}
