package pipeline

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// published is the result of publish: Kafka answered every event and dead letter.
type published struct{ items []item }

// publish produces the events of the batch's alarms, then its dead letters: stage five.
// It blocks while Kafka is away. An event that Kafka refuses for good becomes a dead
// letter, in the table first. An error means that ctx ended.
func (p *Pipeline) publish(ctx context.Context, s saved) (published, error) {
	if err := p.publishEvents(ctx, &s); err != nil {
		return published{}, err
	}
	if err := p.publishDead(ctx, &s); err != nil {
		return published{}, err
	}
	return published{s.items}, nil
}

// publishEvents produces the stored bytes of every event of the batch, in offset order.
func (p *Pipeline) publishEvents(ctx context.Context, s *saved) error {
	var records []schema.Record
	var from []int // records[i] is the event of items[from[i]]
	for i := range s.items {
		if it := &s.items[i]; it.event != nil {
			records = append(records, p.eventRecord(it))
			from = append(from, i)
		}
	}
	refused, err := p.produce(ctx, records)
	if err != nil {
		return err
	}
	var letters []schema.DeadLetter
	for i, why := range refused {
		if why == nil {
			continue
		}
		it := p.bury(s.items[from[i]], schema.ReasonStoreRefused,
			fmt.Sprintf("%s refused the event: %v", p.o.Topics.Alarms, why))
		it.outcome = OutcomeDeadLetter
		s.items[from[i]] = it
		if it.letter == nil {
			letters = append(letters, *it.dead)
		}
	}
	if len(letters) == 0 {
		return nil
	}
	return p.keep(ctx, s, letters)
}

// eventRecord is the record of an item's event. It goes on with the trace of the callback that
// made the alarm's row, if that had one: only that callback's record publishes the event, so
// that every copy has the same.
func (p *Pipeline) eventRecord(it *item) schema.Record {
	r := it.event.Record(p.o.Topics.Alarms, it.value)
	if trace := it.callback.Attributes[schema.AttributeTraceparent]; len(trace) > 0 {
		r.Headers = append(r.Headers, schema.Header{Key: schema.AttributeTraceparent.Header(), Value: trace})
	}
	return r
}

// publishDead produces the batch's dead letters, but none that is being replayed: that one is in
// the topic already. One that Kafka refuses even so is in the table, or was logged when the
// database refused it: it must not hold up the partition.
func (p *Pipeline) publishDead(ctx context.Context, s *saved) error {
	var records []schema.Record
	var from []int
	for i := range s.items {
		if it := &s.items[i]; it.dead != nil && it.letter == nil {
			records = append(records, it.dead.DeadRecord(p.o.Topics.AlarmsDLQ, p.o.MaxRecordBytes))
			from = append(from, i)
		}
	}
	refused, err := p.produce(ctx, records)
	if err != nil {
		return err
	}
	for i, why := range refused {
		if why != nil {
			r := s.items[from[i]].record
			p.log.Error("kafka refused a dead letter: it is in the database only", zap.String("topic", r.Topic),
				zap.Int32("partition", r.Partition), zap.Int64("offset", r.Offset), zap.Error(why))
		}
	}
	return nil
}

// produce is Produce, but for no records, and with an error only when ctx ended.
func (p *Pipeline) produce(ctx context.Context, records []schema.Record) ([]error, error) {
	if len(records) == 0 {
		return nil, nil
	}
	refused, err := p.o.Producer.Produce(ctx, records)
	if err != nil {
		return nil, fmt.Errorf("produce %d records to %s: %w", len(records), records[0].Topic, err)
	}
	return refused, nil
}

// keep saves dead letters that only came up after the batch was saved, in a transaction
// of their own, and blocks while the database is away. An error means that ctx ended.
func (p *Pipeline) keep(ctx context.Context, s *saved, letters []schema.DeadLetter) error {
	w := waiter{Pipeline: p}
	defer w.leave()
	for wait := firstBackoff; ; wait = min(2*wait, maxBackoff) {
		err := p.keepOnce(ctx, s, letters)
		switch {
		case err == nil:
			w.answered()
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, store.ErrData) && len(letters) > 1:
			w.answered()
			half := len(letters) / 2
			if err := p.keep(ctx, s, letters[:half]); err != nil {
				return err
			}
			return p.keep(ctx, s, letters[half:])
		case errors.Is(err, store.ErrData):
			p.log.Error("database refused a dead letter: it is in its topic only", zap.String("topic", letters[0].Record.Topic),
				zap.Int32("partition", letters[0].Record.Partition), zap.Int64("offset", letters[0].Record.Offset), zap.Error(err))
			return nil
		}
		w.failed(ctx, err, wait)
	}
}

func (p *Pipeline) keepOnce(ctx context.Context, s *saved, letters []schema.DeadLetter) error {
	tx, err := p.o.Store.Begin(ctx, s.topic, s.partition, nil, nil)
	if err != nil {
		return fmt.Errorf("begin the transaction of %d dead letters: %w", len(letters), err)
	}
	defer tx.Rollback()
	return tx.Save(ctx, store.Changes{DeadLetters: letters, Progress: s.changes.Progress})
}
