package forward

import (
	"sync"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
)

// outlet is a partition of a topic as the producer sees it: its lane, and who hears of it.
type outlet struct {
	topic     *topic
	partition int32
	lane      *produce.Lane
	box       *mailbox
}

// Settled implements produce.Owner.
func (o *outlet) Settled(s produce.Settlement) { o.box.settled(o, s) }

// Room implements produce.Owner.
func (o *outlet) Room(*produce.Lane) { o.box.settled(o, produce.Settlement{}) }

// letter is one settlement, or, without tags, the news that a lane has room.
type letter struct {
	outlet   *outlet
	outcome  produce.Outcome
	code     int16
	text     string
	from, to int // its tags in the mail
}

// mail is a number of letters. Its slices are used again and again.
type mail struct {
	letters []letter
	tags    []uint64
}

// mailbox brings settlements from the producer's goroutines to the loop.
type mailbox struct {
	wake chan struct{} // capacity 1

	mu  sync.Mutex
	in  mail // guarded by mu
	out mail // owned by the loop
}

// settled puts a letter in. It is called by the lanes' goroutines.
func (b *mailbox) settled(o *outlet, s produce.Settlement) {
	b.mu.Lock()
	from := len(b.in.tags)
	b.in.tags = append(b.in.tags, s.Tags...)
	b.in.letters = append(b.in.letters, letter{o, s.Outcome, s.Code, s.Text, from, len(b.in.tags)})
	b.mu.Unlock()
	wake(b.wake)
}

// take returns all letters; they are valid until the next take.
func (b *mailbox) take() *mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.in, b.out = mail{b.out.letters[:0], b.out.tags[:0]}, b.in
	return &b.out
}

// readMail deals with all settlements that have come and reports whether there were any.
func (f *Forwarder) readMail() bool {
	m := f.mailbox.take()
	for i := range m.letters {
		c := &m.letters[i]
		if int(c.outlet.partition) >= len(c.outlet.topic.lanes) {
			continue // of a partition that was taken away; only news of room can come from there
		}
		l := c.outlet.topic.lanes[c.outlet.partition]
		l.full = false
		tags := m.tags[c.from:c.to]
		l.inflight -= len(tags)
		switch {
		case len(tags) == 0:
		case c.outcome == produce.Delivered:
			f.delivered(l, tags)
		case c.outcome == produce.RecordRefused:
			f.recordRefused(l, tags[0], c)
		default:
			f.handedBack(l, tags, c)
		}
	}
	return len(m.letters) > 0
}

// delivered settles records.
func (f *Forwarder) delivered(l *lane, tags []uint64) {
	now := f.now.UnixMilli()
	for _, tag := range tags {
		lsn := journal.LSN(tag & tagLSN)
		switch {
		case tag&tagParked == 0:
			at := l.window.finish(lsn)
			f.journal.Settle(lsn, true)
			f.metrics.delay.Observe(float64(now-at) / 1000)
		case tag&tagSingle == 0:
			l.topic.parked.settle(lsn)
		default:
			l.topic.single.settle(lsn)
		}
	}
	l.topic.delivered.Add(float64(len(tags)))
	l.topic.backoff = 0
}

// recordRefused keeps a record that Kafka will not take.
func (f *Forwarder) recordRefused(l *lane, tag uint64, c *letter) {
	r := refusal{lane: l, lsn: journal.LSN(tag & tagLSN), code: c.code}
	if tag&tagParked != 0 {
		r.from = l.topic.parked
		if tag&tagSingle != 0 {
			r.from = l.topic.single
		}
		r.from.moving++
	}
	l.topic.refusals.Inc()
	f.o.Log.Error("kafka refused a record, it is parked", zap.String("topic", l.topic.name), zap.Int32("partition", l.partition),
		zap.Uint64("lsn", uint64(r.lsn)), zap.Int16("code", c.code), zap.String("text", c.text))
	f.park.refusals = append(f.park.refusals, r)
}

// handedBack takes records back whose topic refuses, or whose partition is no more. What was
// parked stays in its stash's window until all lanes of the topic are idle; until then the stash
// gives nothing to the lane, which would come before it.
func (f *Forwarder) handedBack(l *lane, tags []uint64, c *letter) {
	cut := false
	for _, tag := range tags {
		switch {
		case tag&tagSingle != 0:
			l.topic.single.back = true
		case tag&tagParked != 0:
			l.topic.parked.back = true
		case !cut:
			cut = true
			lsn := journal.LSN(tag & tagLSN)
			l.window.cut(lsn)
			l.lag(lsn, f)
		}
	}
	if c.outcome == produce.TopicRefused {
		f.refuse(l.topic, c.code)
	}
	c.outlet.lane.Reopen()
}

// refuse parks a topic.
func (f *Forwarder) refuse(t *topic, code int16) {
	if t.state == refused {
		return
	}
	t.state = refused
	t.backoff = min(max(2*t.backoff, f.o.TopicRetryMin), f.o.TopicRetryMax)
	t.retryAt = f.now.Add(t.backoff)
	f.publishRefusing()
	f.o.Log.Error("topic refuses, its entries are parked", zap.String("topic", t.name), zap.Int16("code", code),
		zap.Duration("next_attempt", t.backoff))
}

// publishRefusing tells TopicRefused which topics are parked. One that is tried again is still
// among them: should it refuse once more, what receive took meanwhile would need room too.
func (f *Forwarder) publishRefusing() {
	refusing := map[string]bool{}
	for _, t := range f.order {
		if t.state != open {
			refusing[t.name] = true
		}
	}
	f.refusing.Store(&refusing)
}
