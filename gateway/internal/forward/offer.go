package forward

import (
	"errors"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

// Tags of the producer's lanes: the LSN, and in the upper bits which journal's it is.
const (
	tagParked = 1 << 63 // of the parked journal
	tagSingle = 1 << 62 // and there a refused record
	tagLSN    = tagSingle - 1
)

// reply is what became of an entry that was offered to its lane.
type reply uint8

const (
	took    reply = iota
	wait          // not now; soon
	blocked       // not now; nobody knows when
)

// offered is an entry on its way into a lane.
type offered struct {
	lsn      journal.LSN // in the journal that it was read from
	at       int64       // when it was appended, Unix milliseconds
	topic    []byte
	callback schema.Callback // its ID is set
	payload  []byte
	err      error // why nobody can decode it; nothing but lsn is set then
}

// open decodes an entry of the main journal.
func (f *Forwarder) open(e journal.Entry) offered {
	id := schema.CallbackID{Journal: f.journal.ID(), LSN: uint64(e.LSN)}
	return decode(e, e.Payload, id)
}

func decode(e journal.Entry, payload []byte, id schema.CallbackID) offered {
	parsed, err := entry.Parse(payload)
	if err != nil {
		return offered{lsn: e.LSN, err: err}
	}
	parsed.Callback.ID = id
	return offered{lsn: e.LSN, at: e.Time.UnixMilli(), topic: parsed.Topic, callback: parsed.Callback, payload: payload}
}

// offer gives an entry of the main journal to its lane.
func (f *Forwarder) offer(l *lane, o *offered) reply {
	t := l.topic
	switch {
	case t.target != 0 || t.state == returning || t.pausing:
		return blocked
	case t.state == refused:
		if l.inflight > 0 {
			return blocked
		}
		return f.parkEntry(l, o)
	}
	r := f.add(l, o, uint64(o.lsn))
	if r == took {
		l.window.push(o.lsn, o.at)
		f.tookAt = f.now
	}
	return r
}

// add gives a record to the producer's lane.
func (f *Forwarder) add(l *lane, o *offered, tag uint64) reply {
	if l.out == nil {
		return blocked
	}
	f.headers, f.text = o.callback.AppendHeaders(f.headers[:0], f.text[:0])
	if !l.out.lane.Add(tag, f.key, o.callback.Body, f.headers) {
		l.full = true
		if l.out.lane.Stalled() {
			return blocked
		}
		return wait
	}
	l.inflight++
	f.pace.took()
	if !l.dirty {
		l.dirty = true
		f.dirty = append(f.dirty, l)
	}
	return took
}

// laneOf returns the lane of an entry, and leaves its key in f.key.
func (f *Forwarder) laneOf(o *offered) *lane {
	f.key = o.callback.AppendKey(f.key[:0])
	return f.topic(o.topic).lane(f.key)
}

// flush lets go what was added in this turn.
func (f *Forwarder) flush() {
	for _, l := range f.dirty {
		l.dirty = false
		if l.out != nil {
			l.out.lane.Flush()
		}
	}
	f.dirty = f.dirty[:0]
}

// fail notes what ends Run; the first one counts.
func (f *Forwarder) fail(what string, lsn journal.LSN, err error) {
	if f.fatal == nil {
		f.fatal = errors.Join(errors.New(what), err)
		f.o.Log.Error("forwarding cannot go on", zap.String("at", what), zap.Uint64("lsn", uint64(lsn)), zap.Error(err))
	}
}
