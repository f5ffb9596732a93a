package pipeline

import (
	"fmt"
	"slices"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// applied is the result of apply: what has to be written, and what to publish then.
type applied struct {
	loaded
	changes store.Changes
}

// application is apply at work on one batch.
type application struct {
	*Pipeline
	applied
	apps    *apps.Snapshot
	rows    map[string]int // alarm id → its new row in changes.Alarms
	counted map[string]int // alarm id → new deliveries of a row that exists
	touched map[int64]quota.Period
	offered []quota.Notice
}

// apply decides every record's outcome, in offset order: stage three. It does no I/O.
// Only new alarms go through the rules; repeats and redeliveries feed nothing. An item
// that decode shared with an earlier attempt is not changed: apply works on a copy.
//
// The error wraps errPanicked: the rules for the whole batch panicked, so that the batch
// has to be halved to find the record.
func (p *Pipeline) apply(l loaded) (_ applied, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("apply %d records: %w: %v", len(l.items), errPanicked, v)
		}
	}()
	a := application{
		Pipeline: p,
		applied:  applied{loaded: l},
		apps:     p.o.Apps(),
		rows:     make(map[string]int),
		counted:  make(map[string]int),
		touched:  make(map[int64]quota.Period),
	}
	a.items = slices.Clone(l.items)
	for i := range a.items {
		a.items[i] = a.one(a.items[i])
	}
	a.changes.Periods = a.touched
	a.changes.Notices = quota.Reduce(a.touched, a.offered, p.o.Now().UTC())
	if a.replay == nil {
		a.changes.Progress = a.moved()
	}
	a.changes.Replayed = madeGood(a.items)
	for id, n := range a.counted {
		a.changes.Deliveries = append(a.changes.Deliveries, store.Delivery{AlarmID: id, Count: n})
	}
	return a.applied, nil
}

// one decides one record. A panic on it is a dead letter; the period is as before then,
// because it is replaced last.
func (a *application) one(it item) (out item) {
	defer func() {
		if v := recover(); v != nil {
			out = a.refuse(a.panicked(it, "apply", v))
		}
	}()
	if it.dead != nil {
		return a.refuse(it)
	}
	handled := a.handled(&it)
	if saved, ok := a.known[it.id]; ok {
		return a.again(it, saved, handled)
	}
	if row, ok := a.rows[it.id]; ok {
		a.changes.Alarms[row].Deliveries++
		it.outcome = OutcomeRepeated
		return it
	}
	if it.letter != nil && handled {
		it.outcome = OutcomeRedelivered // its row is gone: too old
		return it
	}
	return a.fresh(it)
}

// handled says whether the record's effect was saved before: of a dead letter that a replay
// made it good, and not what the partition's progress says, which passed it by.
func (a *application) handled(it *item) bool {
	if it.letter != nil {
		return !it.letter.ReplayedAt.IsZero()
	}
	return a.begun && a.progress.Covers(it.record)
}

// refuse notes a dead letter. One that is replayed has its row.
func (a *application) refuse(it item) item {
	it.outcome = OutcomeDeadLetter
	if !it.unkept && it.letter == nil {
		a.changes.DeadLetters = append(a.changes.DeadLetters, *it.dead)
	}
	return it
}

// again decides a record whose alarm has a row. The record that made the row publishes
// the row's bytes again; of any other copy only the number is kept, once.
func (a *application) again(it item, saved store.Saved, handled bool) item {
	if saved.Topic == it.record.Topic && saved.Partition == it.record.Partition && saved.Offset == it.record.Offset {
		it.event = new(schema.EnrichedAlarm)
		if err := codec.Unmarshal(saved.Event, it.event); err != nil {
			return a.refuse(a.bury(it, schema.ReasonStoreRefused, fmt.Errorf("%w: alarm %s: %.200s", errUnreadable, it.id, err.Error()).Error()))
		}
		it.value = saved.Event
		it.outcome = OutcomeRedelivered
		return it
	}
	if handled {
		it.outcome = OutcomeRedelivered
		return it
	}
	a.counted[it.id]++
	it.outcome = OutcomeRepeated
	return it
}

// fresh takes a new alarm through the rules and encodes its event, for the only time.
func (a *application) fresh(it item) item {
	c := &it.callback
	period, ok := a.touched[c.AppID]
	if !ok {
		period = a.periods[c.AppID]
	}
	next, event, notices := period.Apply(quota.Alarm{
		ID: it.id, Callback: *c, Quota: it.alarm,
		Topic: it.record.Topic, Partition: it.record.Partition, Offset: it.record.Offset,
	}, a.app(c.AppID))
	value, err := codec.Marshal(&event)
	if err != nil {
		panic(fmt.Sprintf("encode alarm %s: %v", it.id, err)) // one makes it a dead letter
	}
	it.event, it.value, it.outcome = &event, value, OutcomeSaved
	a.rows[it.id] = len(a.changes.Alarms)
	a.changes.Alarms = append(a.changes.Alarms, store.Alarm{
		Event: event, EventBytes: value, VendorTime: it.alarm.EventTime, Deliveries: 1,
	})
	a.offered = append(a.offered, notices...)
	a.touched[c.AppID] = next
	return it
}

// app returns the facts of an app; one that is not in the apps file is not registered,
// never dropped.
func (a *application) app(id int64) *apps.App {
	if app := a.apps.Get(id); app != nil {
		return app
	}
	return a.apps.Unlisted(id)
}

// moved returns the partition's progress after this batch. The store sees to it that a
// batch that was saved before moves nothing back.
func (a *application) moved() store.Progress {
	p := store.Progress{Topic: a.topic, Partition: a.partition, Offset: a.last().Offset, LogEnd: a.logEnd}
	for i := range a.items {
		if t := a.items[i].record.Time; t.After(p.Newest) {
			p.Newest = t
		}
	}
	return p
}
