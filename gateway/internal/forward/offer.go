package forward

import (
	"errors"
	"time"

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
	entry.Entry             // its callback's ID is set
	lsn         journal.LSN // in the journal that it was read from
	at          int64       // when its batch began, Unix milliseconds
	payload     []byte
	err         error // why nobody can decode it; nothing but lsn is set then
}

// open decodes an entry of the main journal into o.
func (f *Forwarder) open(o *offered, e journal.Entry) {
	o.decode(e, e.Payload, schema.CallbackID{Journal: f.journal.ID(), LSN: uint64(e.LSN)})
}

// decode decodes payload into o, in place: an entry is some hundred bytes of views, and each
// copy of it costs as much as a field to decode.
func (o *offered) decode(e journal.Entry, payload []byte, id schema.CallbackID) {
	if err := o.Decode(payload); err != nil {
		*o = offered{lsn: e.LSN, err: err}
		return
	}
	o.Callback.ID = id
	o.lsn, o.at, o.payload, o.err = e.LSN, e.Time.UnixMilli(), payload, nil
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
	}
	return r
}

// add gives a record to the producer's lane.
func (f *Forwarder) add(l *lane, o *offered, tag uint64) reply {
	if l.out == nil {
		return blocked
	}
	f.headers, f.text = o.Callback.AppendHeaders(f.headers[:0], f.text[:0])
	if !l.out.lane.Add(tag, f.key, o.Callback.Body, f.headers) {
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
	f.key = o.Callback.AppendKey(f.key[:0])
	return f.topic(o.Topic).lane(f.key)
}

const (
	// lingerFor is the least time between two requests of a lane whose batch is not nearly full.
	// Nobody waits for these deliveries, and a request costs us and the broker more than a hundred
	// more records in one that goes anyway.
	lingerFor = 50 * time.Millisecond

	// lingerAwaited is the same while somebody waits for a delivery.
	lingerAwaited = 5 * time.Millisecond
)

// flush lets go what was added in this turn.
func (f *Forwarder) flush() {
	linger := lingerFor
	if f.journal.Awaited() {
		linger = lingerAwaited
	}
	for _, l := range f.dirty {
		l.dirty = false
		if l.out != nil {
			l.out.lane.Flush(linger)
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
