package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

const (
	replayRecords = 500                    // in one call of Produce, at most
	replayBytes   = 4 << 20                // of payload, the same
	replayTells   = time.Second            // between two reports
	replayLooks   = 200 * time.Millisecond // at topics and room, while Kafka has not answered
)

// replayRange says which of the callbacks that were delivered and are still kept. Zero: no
// limit; all that are set apply.
type replayRange struct {
	From  journal.LSN `json:"from"`
	To    journal.LSN `json:"to"`
	Since time.Time   `json:"since"`
	Until time.Time   `json:"until"`
}

// has reports whether the entry is in the range, by when its callback was received.
func (g *replayRange) has(e *journal.Entry) bool {
	at := receivedAt(e)
	return (g.From == 0 || e.LSN >= g.From) && (g.To == 0 || e.LSN <= g.To) &&
		(g.Since.IsZero() || !at.Before(g.Since)) && (g.Until.IsZero() || !at.After(g.Until))
}

// receivedAt is when the callback of an entry was received; of what cannot be read, when its batch began.
func receivedAt(e *journal.Entry) time.Time {
	if at, ok := entry.ReceivedAt(e.Payload); ok {
		return at
	}
	return e.Time
}

// replayOrder is what is asked of a replay.
type replayOrder struct {
	Range replayRange `json:"range"`
	Rate  int         `json:"rate"` // records per second; 0: unlimited
	Do    bool        `json:"do"`   // else only counted
}

// replayTopic is what of one topic is in the range.
type replayTopic struct {
	Callbacks int64       `json:"callbacks"`
	First     journal.LSN `json:"first"`
	Last      journal.LSN `json:"last"`
	Since     time.Time   `json:"since"` // when the first one came
	Until     time.Time   `json:"until"`
}

// replayReport says how a replay stands.
type replayReport struct {
	KeptFrom   journal.LSN             `json:"kept_from"` // first entry that is still there; 0: none
	KeptSince  time.Time               `json:"kept_since"`
	Settled    journal.LSN             `json:"settled"` // last entry that a replay may take: later ones are delivered anyway
	Topics     map[string]*replayTopic `json:"topics"`  // of what was counted, or delivered again
	Delivered  int64                   `json:"delivered"`
	Next       journal.LSN             `json:"next"`       // where to go on
	Unreadable int64                   `json:"unreadable"` // left out: nobody can decode them
	Refused    int64                   `json:"refused"`    // left out: Kafka refuses the records
	Closed     map[string]int64        `json:"closed"`     // left out, by topic: the topic refuses
	Done       bool                    `json:"done"`
	Error      string                  `json:"error,omitempty"` // of the last report
}

// replay delivers again what a journal still keeps. It goes past the forwarder, whose lanes and
// their order it does not touch: the records share only Kafka with those under way. It is for
// one goroutine.
type replay struct {
	order    replayOrder
	journal  *journal.Journal
	producer *produce.Producer   // may be nil unless order.Do
	tell     func(*replayReport) // called now and then, and at the end

	report  replayReport
	reader  *journal.Reader
	records []schema.Record
	entries []replayEntry // of records
	bytes   int
	began   time.Time
	told    time.Time
}

// replayEntry is an entry whose callback is in records.
type replayEntry struct {
	lsn journal.LSN
	at  time.Time
}

// errFreed ends a replay that the journal overtook.
var errFreed = errors.New("the journal needed the space of what was still to come")

// run does the replay. On an error report.Next is where another one goes on; what came before
// is in Kafka. Errors: ctx's, errFreed, of reading, of the producer.
func (r *replay) run(ctx context.Context) error {
	r.report.Topics, r.report.Closed = map[string]*replayTopic{}, map[string]int64{}
	r.report.Settled = r.journal.Stats().Settled
	e, ok, err := r.firstKept()
	if err != nil {
		return err
	}
	if ok && e.LSN <= r.report.Settled {
		r.report.KeptFrom, r.report.KeptSince = e.LSN, e.Time
	}
	r.report.Next = max(r.order.Range.From, r.report.KeptFrom)
	r.reader = r.journal.Reader(r.report.Next)
	defer r.reader.Close()
	r.began, r.told = time.Now(), time.Now()
	for more := true; more; {
		var err error
		if more, err = r.fill(ctx); err != nil {
			return err
		}
		if err := r.send(ctx); err != nil {
			return err
		}
		if time.Since(r.told) >= replayTells {
			r.told = time.Now()
			r.tell(&r.report)
		}
	}
	return nil
}

// firstKept returns LSN and time of receipt of the first entry that is still there, if there is one.
func (r *replay) firstKept() (journal.Entry, bool, error) {
	reader := r.journal.Reader(1)
	defer reader.Close()
	e, ok, err := reader.Next()
	if err != nil {
		return e, false, fmt.Errorf("read the journal: %w", err)
	}
	return journal.Entry{LSN: e.LSN, Time: receivedAt(&e)}, ok, nil
}

// fill reads the next records; false: these are the last ones.
func (r *replay) fill(ctx context.Context) (more bool, err error) {
	r.records, r.entries, r.bytes = r.records[:0], r.entries[:0], 0
	for read := 0; len(r.records) < r.chunk() && r.bytes < replayBytes && read < 100*replayRecords; read++ {
		e, ok, err := r.reader.Next()
		switch {
		case err != nil:
			return false, fmt.Errorf("read the journal at LSN %d: %w", r.report.Next, err)
		case !ok || e.LSN > r.report.Settled || r.order.Range.To != 0 && e.LSN > r.order.Range.To:
			return false, nil
		case r.order.Range.has(&e):
			r.take(&e)
		}
		if len(r.records) == 0 {
			r.report.Next = e.LSN + 1
		}
	}
	return true, ctx.Err()
}

// chunk is how many records go at once: a tenth of a second's.
func (r *replay) chunk() int {
	if r.order.Rate == 0 {
		return replayRecords
	}
	return min(max(1, r.order.Rate/10), replayRecords)
}

// take copies an entry's callback into records, the same as the forwarder has made of it.
func (r *replay) take(e *journal.Entry) {
	payload := slices.Clone(e.Payload)
	read, err := entry.Parse(payload)
	if err != nil {
		r.report.Unreadable++
		return
	}
	read.Callback.ID = schema.CallbackID{Journal: r.journal.ID(), LSN: uint64(e.LSN)}
	r.records = append(r.records, read.Callback.Record(string(read.Topic)))
	r.entries = append(r.entries, replayEntry{e.LSN, receivedAt(e)})
	r.bytes += len(payload)
}

// send delivers what fill read, or only counts it, and keeps the rate.
func (r *replay) send(ctx context.Context) error {
	if len(r.records) == 0 {
		return nil
	}
	next := r.entries[len(r.entries)-1].lsn + 1
	if r.order.Do {
		if err := r.deliver(ctx); err != nil {
			return err
		}
	}
	for i := range r.records {
		r.count(i)
	}
	r.report.Next = next
	if !r.order.Do {
		return nil
	}
	if r.report.Delivered += int64(len(r.records)); r.order.Rate == 0 {
		return nil
	}
	due := r.began.Add(time.Duration(float64(r.report.Delivered) / float64(r.order.Rate) * float64(time.Second)))
	return r.pause(ctx, time.Until(due))
}

func (r *replay) count(i int) {
	t := r.report.Topics[r.records[i].Topic]
	if t == nil {
		t = &replayTopic{First: r.entries[i].lsn, Since: r.entries[i].at}
		r.report.Topics[r.records[i].Topic] = t
	}
	t.Callbacks++
	t.Last, t.Until = r.entries[i].lsn, r.entries[i].at
}

// pause waits, and gives room that the journal needs meanwhile.
func (r *replay) pause(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); ctx.Err() == nil; {
		left := time.Until(end)
		if left <= 0 {
			return r.makeRoom()
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(left, replayLooks)):
		}
		if err := r.makeRoom(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// makeRoom lets the reader's place in the journal go while its room is short: new callbacks
// come first, and a reader keeps its segment from being used for them. errFreed: what was still
// to be read is gone.
func (r *replay) makeRoom() error {
	s := r.journal.Stats()
	if s.Bytes < s.LimitBytes/10*9 {
		return nil
	}
	r.reader.Close() // it goes on where it was, if that is still there
	e, ok, err := r.firstKept()
	if err != nil || !ok {
		return err
	}
	next := r.report.Next
	if n := len(r.entries); n > 0 {
		next = max(next, r.entries[n-1].lsn+1)
	}
	if freed := e.LSN > r.report.KeptFrom && e.LSN > next && next <= r.report.Settled; freed {
		return fmt.Errorf("it is kept from LSN %d on now: %w", e.LSN, errFreed)
	}
	return nil
}

// deliver returns when Kafka has answered for all records. Those that it refuses, and those of
// topics that refuse, are left out, counted, and taken off records.
func (r *replay) deliver(ctx context.Context) error {
	for {
		r.leaveOut(func(i int) bool {
			topic := r.records[i].Topic
			closed := r.producer.Topic(topic).Refused
			if closed {
				r.report.Closed[topic]++
			}
			return closed
		})
		again, err := r.produce(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// produce sends the records once; again: it was ended because a topic refuses, which would have
// held it up for ever.
func (r *replay) produce(ctx context.Context) (again bool, err error) {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	var refused []error
	done := make(chan error, 1)
	go func() {
		var err error
		refused, err = r.producer.Produce(sending, r.records)
		done <- err
	}()
	tick := time.NewTicker(replayLooks)
	defer tick.Stop()
	var freed error
	for {
		select {
		case err := <-done:
			switch {
			case err == nil:
				r.leaveOut(func(i int) bool {
					left := refused != nil && refused[i] != nil
					if left {
						r.report.Refused++
					}
					return left
				})
				return false, nil
			case freed != nil:
				return false, freed
			case ctx.Err() == nil && again:
				return true, nil
			}
			return false, fmt.Errorf("deliver LSN %d and on: %w", r.report.Next, err)
		case <-tick.C:
			if slices.ContainsFunc(r.records, func(record schema.Record) bool { return r.producer.Topic(record.Topic).Refused }) {
				again = true
				cancel()
			}
			if freed == nil {
				if freed = r.makeRoom(); freed != nil {
					cancel()
				}
			}
		}
	}
}

// leaveOut removes the records that left says yes to, and their entries.
func (r *replay) leaveOut(left func(i int) bool) {
	n := 0
	for i := range r.records {
		if !left(i) {
			r.records[n], r.entries[n] = r.records[i], r.entries[i]
			n++
		}
	}
	r.records, r.entries = r.records[:n], r.entries[:n]
}

// lines say the report for a person.
func (r *replayReport) lines(order *replayOrder) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	g := &order.Range
	if r.KeptFrom == 0 {
		say("nothing that was delivered is kept")
	} else {
		say("kept from LSN %d on, since %s; delivered or parked up to LSN %d", r.KeptFrom, r.KeptSince.UTC().Format(time.RFC3339), r.Settled)
	}
	if g.From != 0 && g.From < r.KeptFrom || !g.Since.IsZero() && g.Since.Before(r.KeptSince) {
		say("what was asked for before that is freed already")
	}
	if g.To > r.Settled || g.From > r.Settled {
		say("later ones are left to normal delivery")
	}
	verb := "would be delivered again"
	if order.Do {
		verb = "delivered again"
	}
	total := int64(0)
	for _, name := range slices.Sorted(maps.Keys(r.Topics)) {
		t := r.Topics[name]
		total += t.Callbacks
		say("%s: %d callbacks, LSN %d to %d, taken %s to %s", name, t.Callbacks, t.First, t.Last, t.Since.UTC().Format(time.RFC3339), t.Until.UTC().Format(time.RFC3339))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Closed)) {
		say("%s: %d callbacks left out, because the topic refuses", name, r.Closed[name])
	}
	if r.Refused > 0 {
		say("%d callbacks left out, because Kafka refuses the records", r.Refused)
	}
	if r.Unreadable > 0 {
		say("%d entries left out, because this release cannot decode them", r.Unreadable)
	}
	say("%d callbacks %s", total, verb)
	return lines
}
