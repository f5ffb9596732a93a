package forward

import (
	"slices"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// cursorOf returns the LSN up to which all of a lane's entries are settled.
func (f *Forwarder) cursorOf(l *lane) journal.LSN {
	if first, open := l.window.first(); open {
		return first - 1
	}
	if l.lagging {
		return f.position(l) - 1
	}
	return f.liveLSN
}

// checkpoint tells both journals how far everything is settled. Unless asked to do it now, it
// lets a little time pass between two.
func (f *Forwarder) checkpoint(now bool) {
	if f.unsaved = !now && f.now.Sub(f.saved) < checkpointEvery; f.unsaved {
		return
	}
	f.saved = f.now
	f.checkpointMain()
	f.checkpointParked()
}

func (f *Forwarder) checkpointMain() {
	settled := f.liveLSN
	for _, t := range f.order {
		for _, l := range t.lanes {
			settled = min(settled, f.cursorOf(l))
		}
	}
	cursors := skippedCursors(&f.skipped, f.cursors[:0], settled)
	for _, t := range f.order {
		for _, l := range t.lanes {
			if c := f.cursorOf(l); c > settled {
				cursors = append(cursors, journal.Cursor{Lane: l.cursor, LSN: c})
			}
		}
		cursors = t.oldCursors(cursors, settled)
	}
	f.cursors = cursors
	if settled == f.settled && len(cursors) == 0 {
		return
	}
	f.settled = settled
	f.journal.Checkpoint(settled, cursors)
}

// oldCursors appends the cursors of former numberings, and forgets those that are behind.
func (t *topic) oldCursors(cursors []journal.Cursor, settled journal.LSN) []journal.Cursor {
	t.skips = slices.DeleteFunc(t.skips, func(s skip) bool { return s.highest() <= settled })
	for i := range t.skips {
		s := &t.skips[i]
		for p, c := range s.cursors {
			if c > settled {
				cursors = append(cursors, journal.Cursor{Lane: cursorName(t.name, s.count, int32(p)), LSN: c})
			}
		}
	}
	return cursors
}

// checkpointParked does the same for the parked journal, whose lanes are the stashes. An empty
// stash is settled up to the tail, or up to where delivery halts: the entry there may be of it.
func (f *Forwarder) checkpointParked() {
	limit := f.park.limit()
	settled := limit
	for _, t := range f.order {
		for _, s := range []*stash{t.parked, t.single} {
			if s.count > 0 {
				settled = min(settled, s.open()-1)
			}
		}
	}
	cursors := skippedCursors(&f.park.skipped, f.cursors[:0], settled)
	for _, t := range f.order {
		for _, s := range []*stash{t.parked, t.single} {
			c := limit
			if s.count > 0 {
				c = min(c, s.open()-1)
			}
			if c > settled {
				cursors = append(cursors, journal.Cursor{Lane: s.cursor(), LSN: c})
			}
		}
	}
	f.cursors = cursors
	if settled == f.park.settled && len(cursors) == 0 {
		return
	}
	f.park.settled = settled
	f.parked.Checkpoint(settled, cursors)
}

// restore takes over the main journal's checkpoint: where the live reader begins, and what was
// settled ahead of there.
func (f *Forwarder) restore() {
	settled, cursors := f.journal.Restored()
	f.settled, f.liveLSN = settled, settled
	f.skipped = skippedIn(cursors)
	for _, c := range cursors {
		if c.Lane == skippedLane {
			continue
		}
		name, count, partition, ok := parseCursor(c.Lane)
		if !ok {
			f.o.Log.Warn("unknown cursor in the checkpoint, duplicates are possible", zap.String("lane", c.Lane))
			continue
		}
		t := f.topic([]byte(name))
		s := t.former(count)
		s.cursors[partition] = max(s.cursors[partition], c.LSN)
	}
}

// former returns the skip of a numbering, which is made when it is not there.
func (t *topic) former(count int32) *skip {
	for i := range t.skips {
		if t.skips[i].count == count {
			return &t.skips[i]
		}
	}
	t.skips = append(t.skips, skip{count: count, cursors: make([]journal.LSN, max(1, count))})
	return &t.skips[len(t.skips)-1]
}
