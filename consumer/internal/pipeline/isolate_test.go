package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

func TestDataThatTheStoreRefusesIsIsolated(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for bad := range n {
			t.Run(fmt.Sprintf("record %d of %d", bad+1, n), func(t *testing.T) {
				r := newRig(t, nil)
				r.store.save = func(c store.Changes) error {
					for _, a := range c.Alarms {
						if a.Event.QuotaUsed == int64(7000+bad) {
							return fmt.Errorf("value out of range: %w", store.ErrData)
						}
					}
					return nil
				}
				var records []schema.Record
				for i := range n {
					records = append(records, alarmOf(1400000001, 7000+i))
				}
				r.handle(t, batch(0, records...)...)
				r.outcomes(t, map[Outcome]int{OutcomeSaved: n - 1, OutcomeDeadLetter: 1})
				letter, ok := r.store.letters[fmt.Sprintf("im.alarms.raw/3/%d", bad)]
				if !ok || letter.Reason != schema.ReasonStoreRefused || !strings.Contains(letter.Message, "value out of range") {
					t.Errorf("letters %+v", r.store.letters)
				}
				if len(r.store.alarms) != n-1 || len(r.sink.to(topics.Alarms)) != n-1 || len(r.sink.to(topics.AlarmsDLQ)) != 1 {
					t.Errorf("%d rows, %d events", len(r.store.alarms), len(r.sink.to(topics.Alarms)))
				}
				if !r.StoreUp() {
					t.Error("a refusal of data is taken for a store that is away")
				}
			})
		}
	}
}

func TestDeadLetterThatTheStoreRefusesGoesToItsTopicOnly(t *testing.T) {
	r := newRig(t, nil)
	r.store.save = func(c store.Changes) error {
		if len(c.DeadLetters) > 0 {
			return store.ErrData
		}
		return nil
	}
	r.handle(t, batch(0, alarmOf(1400000001, 7100), rawRecord(1, 2, "x"), alarmOf(1400000001, 7200))...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 2, OutcomeDeadLetter: 1})
	dead := r.sink.to(topics.AlarmsDLQ)
	if len(dead) != 1 || len(r.store.letters) != 0 {
		t.Fatalf("%d records, %d rows", len(dead), len(r.store.letters))
	}
	if reason, _ := dead[0].Header(schema.HeaderDeadReason); string(reason) != "bad_json" {
		t.Errorf("reason %s, want the record's own", reason)
	}
	if r.logs.FilterMessage("database refused a dead letter: it goes to its topic only").Len() != 1 {
		t.Error("no line says so")
	}
	if p := r.store.progress[3]; p.Offset != 2 {
		t.Errorf("progress %+v", p)
	}
}

// Of a letter that is replayed no row is written, so that it has none to do without, and none of
// it goes to a topic: what fails once it is a dead letter again is not the data's fault.
func TestReplayedDeadLetterThatTheStoreRefusesWaits(t *testing.T) {
	r := newRig(t, nil)
	record := rawRecord(1, 2, "x")
	it := r.isolate(item{record: &record, dead: &schema.DeadLetter{}, letter: &store.DeadLetter{}}, store.ErrData)
	if !it.hopeless || it.unkept || r.logs.Len() != 0 {
		t.Errorf("hopeless %v, unkept %v, logs %v", it.hopeless, it.unkept, r.logs.All())
	}
}

// A store that calls everything the data's fault, an empty transaction too, is broken: the
// batch waits instead of pouring the topic into dead letters.
func TestStoreThatRefusesEvenNothingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		broken := true
		r.store.save = func(store.Changes) error {
			if broken {
				return store.ErrData
			}
			return nil
		}
		done := make(chan error, 1)
		go func() { done <- r.Handle(t.Context(), batch(0, alarmOf(1400000001, 7100)), 1) }()
		time.Sleep(time.Minute) // the bubble's clock
		synctest.Wait()
		if len(done) != 0 || r.StoreUp() || len(r.sink.records) != 0 {
			t.Fatalf("ended %d, up %v, %d published", len(done), r.StoreUp(), len(r.sink.records))
		}
		r.store.mu.Lock()
		broken = false
		r.store.mu.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestEventThatKafkaRefusesIsADeadLetter(t *testing.T) {
	r := newRig(t, nil)
	r.sink.refuse = func(p *schema.Record) error {
		if p.Topic == topics.Alarms && bytes.Contains(p.Value, []byte(`"quota_used":7200`)) {
			return &produce.RefusedError{Code: 10, Text: "too large"}
		}
		return nil
	}
	r.handle(t, batch(0, alarmOf(1400000001, 7100), alarmOf(1400000001, 7200), alarmOf(1400000001, 7300))...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 2, OutcomeDeadLetter: 1})
	letter := r.store.letters["im.alarms.raw/3/1"]
	if letter.Reason != schema.ReasonStoreRefused || !strings.Contains(letter.Message, "im.alarms refused the event") || !strings.Contains(letter.Message, "too large") {
		t.Errorf("letter %+v", letter)
	}
	if dead := r.sink.to(topics.AlarmsDLQ); len(dead) != 1 || !bytes.Contains(dead[0].Value, []byte("7200")) {
		t.Errorf("dead letters %+v", dead)
	}
}

// Of dead letters that come up after the batch was saved, too, only the one that the database
// refuses has no row.
func TestLateDeadLetterThatTheStoreRefusesTakesNoOtherWithIt(t *testing.T) {
	r := newRig(t, nil)
	r.sink.refuse = func(p *schema.Record) error {
		if p.Topic == topics.Alarms {
			return &produce.RefusedError{Code: 10, Text: "too large"}
		}
		return nil
	}
	r.store.save = func(c store.Changes) error {
		for _, letter := range c.DeadLetters {
			if bytes.Contains(letter.Record.Value, []byte("7200")) {
				return store.ErrData
			}
		}
		return nil
	}
	r.handle(t, batch(0, alarmOf(1400000001, 7100), alarmOf(1400000001, 7200), alarmOf(1400000001, 7300))...)
	r.outcomes(t, map[Outcome]int{OutcomeDeadLetter: 3})
	if len(r.store.letters) != 2 || len(r.sink.to(topics.AlarmsDLQ)) != 3 || r.logs.FilterMessage("database refused a dead letter: it is in its topic only").Len() != 1 {
		t.Errorf("%d rows, %d records, logs %v", len(r.store.letters), len(r.sink.to(topics.AlarmsDLQ)), r.logs.All())
	}
}

func TestDeadLetterThatKafkaRefusesDoesNotHoldUpThePartition(t *testing.T) {
	r := newRig(t, nil)
	r.sink.refuse = func(p *schema.Record) error {
		if p.Topic == topics.AlarmsDLQ {
			return &produce.RefusedError{Code: 87}
		}
		return nil
	}
	r.handle(t, batch(0, rawRecord(1, 1, "x"), alarmOf(1400000001, 7100))...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 1, OutcomeDeadLetter: 1})
	if len(r.store.letters) != 1 || r.logs.FilterMessage("kafka refused a dead letter: it is in the database only").Len() != 1 {
		t.Errorf("%d rows, logs %v", len(r.store.letters), r.logs.All())
	}
}

func TestLateDeadLettersWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.sink.refuse = func(p *schema.Record) error {
			if p.Topic == topics.Alarms {
				return &produce.RefusedError{Code: 10}
			}
			return nil
		}
		fails := 3
		r.store.save = func(c store.Changes) error {
			if len(c.DeadLetters) > 0 && fails > 0 {
				fails--
				return errors.New("disk is busy")
			}
			return nil
		}
		r.handle(t, batch(0, alarmOf(1400000001, 7100))...)
		if fails != 0 || len(r.store.letters) != 1 {
			t.Errorf("%d failures left, %d rows", fails, len(r.store.letters))
		}
	})
}

func TestLateDeadLettersThatTheStoreRefusesGoToTheirTopicOnly(t *testing.T) {
	r := newRig(t, nil)
	r.sink.refuse = func(p *schema.Record) error {
		if p.Topic == topics.Alarms {
			return &produce.RefusedError{Code: 10}
		}
		return nil
	}
	r.store.save = func(c store.Changes) error {
		if len(c.DeadLetters) > 0 {
			return store.ErrData
		}
		return nil
	}
	r.handle(t, batch(0, alarmOf(1400000001, 7100))...)
	if len(r.store.letters) != 0 || len(r.sink.to(topics.AlarmsDLQ)) != 1 {
		t.Errorf("%d rows, %d records", len(r.store.letters), len(r.sink.to(topics.AlarmsDLQ)))
	}
}

// The zero Snapshot has no time zone for an app that is not listed, on which the rules
// panic.
func TestPanicOfTheRulesOnARecordIsADeadLetter(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Apps = func() *apps.Snapshot { return new(apps.Snapshot) } })
	r.handle(t, batch(0, alarmOf(1400000009, 7100), rawRecord(1, 2, "x"))...)
	r.outcomes(t, map[Outcome]int{OutcomeDeadLetter: 2})
	letter := r.store.letters["im.alarms.raw/3/0"]
	if letter.Reason != schema.ReasonPanic || !strings.Contains(letter.Message, "panic in apply") {
		t.Errorf("letter %+v", letter)
	}
	if r.logs.FilterMessage("panic on a record, which becomes a dead letter").Len() != 1 {
		t.Error("no line holds the stack")
	}
}

func TestPanicOfTheRulesOnABatchIsIsolated(t *testing.T) {
	calls := 0
	good := snapshot(t)
	r := newRig(t, func(o *Options) {
		o.Apps = func() *apps.Snapshot {
			if calls++; calls <= 2 { // the batch of three, and its first half
				panic("no apps")
			}
			return good
		}
	})
	r.handle(t, batch(0, alarmOf(1400000001, 7100), alarmOf(1400000001, 7200), alarmOf(1400000001, 7300))...)
	if got := r.store.letters["im.alarms.raw/3/0"]; got.Reason != schema.ReasonPanic {
		t.Errorf("letters %+v", r.store.letters)
	}
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 2, OutcomeDeadLetter: 1})
}

func TestStoredEventThatCannotBeReadIsADeadLetter(t *testing.T) {
	r := newRig(t, nil)
	records := batch(0, alarmOf(1400000001, 7100))
	r.handle(t, records...)
	for id, a := range r.store.alarms {
		a.EventBytes = []byte("{")
		r.store.alarms[id] = a
	}
	r.handle(t, records...)
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 1, OutcomeDeadLetter: 1})
	if got := r.store.letters["im.alarms.raw/3/0"]; got.Reason != schema.ReasonStoreRefused || !strings.Contains(got.Message, "stored event cannot be read") {
		t.Errorf("letter %+v", got)
	}
}
