package forward

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

const (
	// clock is how often the loop looks at what waits for time: topics that refuse, records to
	// try again, room in the parked journal.
	clock = 100 * time.Millisecond

	// chunk is how many entries one reader deals with before the others have their turn.
	chunk = 512

	// gatherFor is the least time between two looks at what was synced, unless somebody waits for
	// a delivery: a loop that is woken by every sync spends more on waking than on forwarding.
	// An entry that comes alone goes out at once.
	gatherFor = 5 * time.Millisecond

	// checkpointEvery is the least time between two checkpoints, but for those at an end.
	checkpointEvery = 10 * time.Millisecond
)

// Run forwards until ctx ends; then it awaits outstanding answers for a bounded time, makes
// the last checkpoint and returns nil. An entry that this release cannot decode does not end it:
// delivery halts there (see Halted) and everything else goes on. An error means that the parked
// journal takes nothing more or lost what it had: the process stops. Run is called once.
func (f *Forwarder) Run(ctx context.Context) error {
	f.live.reader = f.journal.Reader(f.liveLSN + 1)
	defer f.closeReaders()
	defer close(f.gone)
	events := f.subscribe()
	tick := time.NewTicker(clock)
	defer tick.Stop()
	f.now = time.Now()
	f.review()
	for ctx.Err() == nil && f.fatal == nil {
		f.turn()
		f.await(ctx, events, tick.C)
	}
	f.finish(events)
	f.endDrains(ErrStopped, true)
	return f.fatal
}

// events are what wakes the loop.
type events struct {
	synced, parked, layout <-chan struct{}
}

func (f *Forwarder) subscribe() events {
	return events{synced: f.journal.Subscribe(), parked: f.parked.Subscribe(), layout: f.o.Producer.Subscribe()}
}

// turn does all that can be done now.
func (f *Forwarder) turn() {
	for moved := true; moved && f.fatal == nil; {
		f.now = time.Now()
		moved = f.readMail()
		moved = f.answerCall() || moved
		moved = f.settleParked() || moved
		f.parkRefusals()
		if moved && f.inTransition() {
			f.review()
		}
		f.lookAtPace()
		moved = f.catchUp(2*chunk) || moved // twice the live reader's, so that it arrives
		moved = f.readLive(chunk) || moved
		moved = f.unpark(chunk) || moved
		f.flush()
		f.checkpoint(false)
	}
	f.answerDrains()
	f.flush()
}

// await blocks until there may be something to do.
func (f *Forwarder) await(ctx context.Context, ev events, tick <-chan time.Time) {
	now, wait := time.Now(), time.Duration(0)
	switch {
	case f.pace.spent(now):
		wait = paceRest
	case f.live.waiting() || f.pass.waiting():
		wait = holdFor
	case f.unsaved:
		wait = checkpointEvery
	}
	synced := ev.synced
	if rest := gatherFor - now.Sub(f.readAt); rest > 0 && !f.journal.Awaited() {
		synced, wait = nil, min(rest, cmp.Or(wait, rest))
	}
	var alarm <-chan time.Time // nil: never
	if wait > 0 {
		f.alarm.Reset(wait)
		alarm = f.alarm.C
	}
	select {
	case <-ctx.Done():
	case <-f.mailbox.wake:
	case <-synced:
	case <-ev.parked:
	case <-f.drainWake:
	case call := <-f.calls:
		f.now = time.Now()
		call()
	case <-alarm:
	case <-ev.layout:
		f.now = time.Now()
		f.review()
	case <-tick:
		f.tick()
	}
}

// tick looks at what waits for time.
func (f *Forwarder) tick() {
	f.now = time.Now()
	f.live.failed, f.pass.failed, f.park.stuck = false, false, false
	if f.parkedFull.Load() && f.park.settled > f.park.fullAt {
		f.setParkedFull(false) // something went out: there may be room; the next append says
	}
	f.review()
}

// finish ends Run, also after a fatal error: no new entries, but the answers that are due. It
// looks before it waits: the turn that ended Run may have taken the wake-up and left its mail.
func (f *Forwarder) finish(ev events) {
	timeout := time.After(f.o.StopTimeout)
	for {
		f.now = time.Now()
		f.readMail()
		f.parkRefusals()
		f.settleParked()
		if !f.outstanding() {
			break
		}
		select {
		case <-timeout:
			f.o.Log.Warn("stopped before all answers were in, duplicates are possible")
			f.checkpoint(true)
			return
		case <-f.mailbox.wake:
		case <-ev.parked:
		}
	}
	f.checkpoint(true)
}

// outstanding reports whether anything is on its way to Kafka or to the parked journal.
func (f *Forwarder) outstanding() bool {
	for _, t := range f.order {
		if t.inflight() > 0 {
			return true
		}
	}
	return len(f.park.waiting) > 0
}

func (f *Forwarder) closeReaders() {
	f.live.reader.Close()
	if f.pass.reader != nil {
		f.pass.reader.Close()
	}
	for _, t := range f.order {
		t.parked.close()
		t.single.close()
	}
}

// topic returns the topic of that name, which begins to be watched if it is new.
func (f *Forwarder) topic(name []byte) *topic {
	if t := f.topics[string(name)]; t != nil {
		return t
	}
	t := &topic{name: string(name)}
	t.delivered = f.metrics.delivered.WithLabelValues(t.name)
	t.refusals = f.metrics.refused.WithLabelValues(t.name)
	t.gauge = f.metrics.parked.WithLabelValues(t.name)
	t.parked, t.single = &stash{topic: t, kind: kindTopic}, &stash{topic: t, kind: kindRecord}
	t.newLanes(0)
	f.topics[t.name] = t
	f.order = append(f.order, t)
	t.target = f.o.Producer.Topic(t.name).Partitions
	if t.target > 0 {
		f.renumber(t)
	}
	return t
}

// inTransition reports whether a topic waits for its lanes to become idle.
func (f *Forwarder) inTransition() bool {
	for _, t := range f.order {
		if t.target != 0 || t.state == refused || t.parked.back || t.single.back {
			return true
		}
	}
	return false
}

// review looks at what the cluster says of each topic, and takes the steps that are due.
func (f *Forwarder) review() {
	for _, t := range f.order {
		now := f.o.Producer.Topic(t.name)
		if t.target = 0; now.Partitions > 0 && now.Partitions != t.count {
			t.target = now.Partitions
		}
		if now.Refused {
			f.refuse(t, now.Code)
		}
		t.pausing = t.state == refused && t.count > 0 && now.Partitions > 0 && !f.now.Before(t.retryAt)
		if !t.idle() || t.parked.moving+t.single.moving > 0 {
			continue
		}
		if t.target != 0 {
			f.renumber(t)
		}
		for _, s := range []*stash{t.parked, t.single} {
			if s.back {
				s.rewind() // a partition went and came again: what it gave back goes out anew
			}
		}
		if t.pausing {
			f.takeUp(t)
		}
	}
}

// takeUp begins to deliver what was parked of a topic. Its lanes are idle.
func (f *Forwarder) takeUp(t *topic) {
	t.parked.rewind()
	t.single.rewind()
	t.state, t.pausing = returning, false
	f.publishRefusing()
	f.o.Log.Info("topic answers, its parked entries go out", zap.String("topic", t.name), zap.Int("entries", t.parked.count))
}

// renumber replaces a topic's lanes, which are idle, by those of its new count.
func (f *Forwarder) renumber(t *topic) {
	t.parked.rewind()
	t.single.rewind()
	old := skip{count: t.count}
	var lowest journal.LSN // of the lanes that lag; 0: none
	for _, l := range t.lanes {
		c := f.cursorOf(l)
		old.cursors = append(old.cursors, c)
		if l.lagging && (lowest == 0 || c+1 < lowest) {
			lowest = c + 1
		}
	}
	for p := int32(len(t.outlets)); p < t.target; p++ {
		o := &outlet{topic: t, partition: p, box: &f.mailbox}
		o.lane = f.o.Producer.Lane(t.name, p, o)
		t.outlets = append(t.outlets, o)
	}
	t.newLanes(t.target)
	t.target = 0
	if lowest == 0 {
		return
	}
	t.skips = append(t.skips, old)
	for _, l := range t.lanes {
		l.lag(lowest, f)
	}
}
