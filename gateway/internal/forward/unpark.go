package forward

import (
	"slices"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// unpark gives parked entries to their lanes, up to n of each topic, and reports whether it got
// any further.
func (f *Forwarder) unpark(n int) bool {
	moved := false
	for _, t := range f.order {
		switch {
		case t.count == 0 || t.target != 0:
		case t.state == returning:
			if t.parked.count == 0 {
				f.reopen(t)
				moved = true
				continue
			}
			moved = f.empties(t.parked, f.park.limit(), n) || moved
		case t.state == open && t.single.count > 0:
			moved = f.retrySingles(t.single, n) || moved
		}
	}
	return moved
}

// reopen lets a topic's entries come from the main journal again.
func (f *Forwarder) reopen(t *topic) {
	t.parked.close()
	t.parked.ahead = nil
	t.state = open
	f.publishRefusing()
	f.o.Log.Info("topic is open", zap.String("topic", t.name))
}

// retrySingles tries refused records again, one round through all of them when it is time.
func (f *Forwarder) retrySingles(s *stash, n int) bool {
	if s.reader == nil {
		if f.now.Before(s.retryAt) {
			return false
		}
		s.until = f.park.limit()
	}
	moved := f.empties(s, s.until, n)
	if s.next > s.until && s.window.len() == 0 {
		s.close()
		s.ahead = nil
		s.retryAt = f.now.Add(f.o.RecordRetry)
	}
	return moved
}

// empties gives the stash's entries to their lanes, in order, until a lane cannot take, n were
// read, or until was reached.
func (f *Forwarder) empties(s *stash, until journal.LSN, n int) bool {
	if s.back {
		return false
	}
	if s.reader == nil {
		s.reader = f.parked.Reader(s.next)
	}
	moved := false
	for range n {
		if f.fatal != nil || f.pace.spent(f.now) || s.next > until || !f.pickParked(s) {
			return moved
		}
		if s.held.lsn > until {
			s.next = s.held.lsn
			return moved
		}
		tag := uint64(s.held.lsn) | tagParked
		if s.kind == kindRecord {
			tag |= tagSingle
		}
		if f.add(f.laneOf(&s.held), &s.held, tag) != took {
			return moved
		}
		s.window.push(s.held.lsn, s.held.at)
		s.next, s.full, moved = s.held.lsn+1, false, true
	}
	return moved
}

// pickParked makes sure that there is an entry of the stash in its hand. False: none is left.
func (f *Forwarder) pickParked(s *stash) bool {
	for !s.full {
		e, ok, err := s.reader.Next()
		if err != nil {
			f.o.Log.Error("read the parked journal, trying again", zap.Error(err))
		}
		if err != nil || !ok {
			return false
		}
		var env envelope
		if s.held, env = openParked(e); s.held.err != nil && !f.passParked(s) {
			return false
		}
		_, ahead := slices.BinarySearch(s.ahead, e.LSN)
		s.full = s.held.err == nil && env.kind == s.kind && string(s.held.Topic) == s.topic.name && !ahead && !slices.Contains(f.park.skipped, e.LSN)
		if !s.full {
			s.next = max(s.next, e.LSN+1)
		}
	}
	return true
}

// passParked says what to do about a parked entry that nobody can decode: true when it was
// skipped, else the stash waits in front of it. One that loadParked did not find cannot be: this
// process wrote it.
func (f *Forwarder) passParked(s *stash) bool {
	lsn := s.held.lsn
	switch {
	case slices.Contains(f.park.skipped, lsn):
		return true
	case lsn > f.park.limit():
		s.close()
		s.next = max(s.next, lsn)
	default:
		f.fail("read the parked journal", lsn, s.held.err)
	}
	return false
}
