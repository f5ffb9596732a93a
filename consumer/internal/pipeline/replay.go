package pipeline

import (
	"context"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// Replayed is what became of one dead letter in a replay.
type Replayed struct {
	ID      int64   // of its row
	Outcome Outcome // OutcomeDeadLetter: it stays one, for Reason; none where Elsewhere
	AlarmID string  // "" where it cannot be read

	// Elsewhere: its row is not open any more. Another replay used it, or retention dropped it.
	Elsewhere bool

	// Reason and Message say why it stays a dead letter, or why Kafka refused its event.
	Reason  schema.Reason
	Message string
}

// replay is one call of Replay, or of Inspect.
type replay struct {
	results map[int64]Replayed // by the row's id
}

// note keeps the result of an item.
func (r *replay) note(it *item, result Replayed) {
	result.ID, result.AlarmID = it.letter.ID, it.id
	if it.dead != nil {
		result.Reason, result.Message = it.dead.Reason, it.dead.Message
	}
	r.results[result.ID] = result
}

// inOrder returns the results in the letters' order; there are fewer where the call ended early.
func (r *replay) inOrder(letters []store.DeadLetter) []Replayed {
	results := make([]Replayed, 0, len(letters))
	for i := range letters {
		if result, ok := r.results[letters[i].ID]; ok {
			results = append(results, result)
		}
	}
	return results
}

// Replay takes saved dead letters through the stages that Handle takes records through, and
// returns what became of each. When it returned without an error, every letter that can be
// used now has had its effect once, its row is closed, and Kafka answered its event; one that
// cannot stays as it is. Nothing is produced to the raw topic or the dead letters', and no
// partition's progress moves.
//
// A letter's row is closed in the transaction that saves its alarm, so it can be called again
// after any interruption: nothing is counted or told twice. A letter whose ReplayedAt is set,
// because a replay was interrupted before Kafka answered, has its saved event published again,
// byte for byte. Two replays at once share the letters between them.
//
// It blocks while the database or Kafka is away. An error means that ctx ended; the results are
// those of the letters that were through by then. Kafka knows no order between what is
// published here and what a running consumer publishes.
func (p *Pipeline) Replay(ctx context.Context, letters []store.DeadLetter) ([]Replayed, error) {
	r := &replay{results: make(map[int64]Replayed, len(letters))}
	for _, d := range p.decodeLetters(r, letters) {
		if err := p.o.After(StageDecode); err != nil {
			return r.inOrder(letters), err
		}
		if err := p.run(ctx, d); err != nil {
			return r.inOrder(letters), err
		}
	}
	return r.inOrder(letters), nil
}

// Inspect says what a replay would find in the letters themselves, without database or Kafka:
// an Outcome of OutcomeDeadLetter where the letter cannot be read now either, else none.
func (p *Pipeline) Inspect(letters []store.DeadLetter) []Replayed {
	r := &replay{results: make(map[int64]Replayed, len(letters))}
	for _, d := range p.decodeLetters(r, letters) {
		for i := range d.items {
			it := &d.items[i]
			if it.dead != nil {
				it.outcome = OutcomeDeadLetter
			}
			r.note(it, Replayed{Outcome: it.outcome})
		}
	}
	return r.inOrder(letters)
}

// decodeLetters decodes the letters, those of each partition in a part of its own.
func (p *Pipeline) decodeLetters(r *replay, letters []store.DeadLetter) []decoded {
	type partition struct {
		topic  string
		number int32
	}
	var parts []decoded
	partOf := make(map[partition]int)
	var w walker
	for i := range letters {
		record := &letters[i].Record
		key := partition{record.Topic, record.Partition}
		n, ok := partOf[key]
		if !ok {
			n = len(parts)
			partOf[key] = n
			parts = append(parts, decoded{topic: key.topic, partition: key.number, replay: r})
		}
		it := p.decodeOne(&w, record)
		it.letter = &letters[i]
		parts[n].items = append(parts[n].items, it)
	}
	return parts
}

// madeGood returns the rows of the dead letters that are none any more.
func madeGood(items []item) (ids []int64) {
	for i := range items {
		if it := &items[i]; it.letter != nil && it.letter.ReplayedAt.IsZero() && it.outcome != OutcomeDeadLetter {
			ids = append(ids, it.letter.ID)
		}
	}
	return ids
}

// settle is the end of a part of a replay, which Kafka has now: it marks the letters and notes
// their results. For fetched records it does nothing. It blocks while the database is away; an
// error means that ctx ended, and then the next replay publishes the same bytes again.
func (p *Pipeline) settle(ctx context.Context, r *replay, b published) error {
	if r == nil {
		return nil
	}
	var ids []int64
	for i := range b.items {
		if b.items[i].outcome != OutcomeDeadLetter {
			ids = append(ids, b.items[i].letter.ID)
		}
	}
	w := waiter{Pipeline: p}
	defer w.leave()
	for wait := firstBackoff; len(ids) > 0; wait = min(2*wait, maxBackoff) {
		err := p.o.Store.MarkPublished(ctx, ids)
		if err == nil {
			w.answered()
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.failed(ctx, err, wait)
	}
	for i := range b.items {
		it := &b.items[i]
		r.note(it, Replayed{Outcome: it.outcome})
	}
	return nil
}
