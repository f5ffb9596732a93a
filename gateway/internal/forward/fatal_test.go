package forward

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// raw appends bytes to a journal and waits until they are durable.
func raw(t *testing.T, j *journal.Journal, b []byte) journal.LSN {
	t.Helper()
	ticket, err := j.Append(false, func(dst []byte) []byte { return append(dst, b...) })
	if err != nil {
		t.Fatal(err)
	}
	durable(t, j, ticket)
	return ticket.LSN
}

// What a later release wrote, or nobody, is not passed over and ends nothing: what came before is
// delivered, nothing after it, callbacks are taken, and the journal keeps it all. After a restart
// it is the same; skipped, it lets the rest go out.
func TestEntryThatNobodyCanRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"of a newer release", []byte{99, 1, 2, 3}, entry.ErrVersion},
		{"of nobody", []byte{1, 0}, entry.ErrCorrupt},
		{"empty", nil, entry.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, kfake.SeedTopics(2, testTopic))
			r.start()
			r.append(testTopic, apps(4)...)
			r.drain() // the topic is known: what follows is not left lagging
			r.append(testTopic, apps(4)...)
			bad := raw(t, r.main, tt.payload)
			r.append(testTopic, apps(4)...)
			for range 2 {
				r.halts(HaltError{LSN: bad}, tt.want)
				if n := watermarks(r, testTopic); n != 8 {
					t.Errorf("%d records, want the 8 before it", n)
				}
				if s := r.main.Stats(); s.Settled != bad-1 || s.Entries < 5 {
					t.Errorf("settled up to %d, %d left; the entry is %d", s.Settled, s.Entries, bad)
				}
				r.stop()
				r.start()
			}
			r.halts(HaltError{LSN: bad}, tt.want)
			if got := r.skip(false, bad); string(got.Payload) != string(tt.payload) || got.ID != (schema.CallbackID{Journal: r.main.ID(), LSN: uint64(bad)}) || !errors.Is(got.Reason, tt.want) {
				t.Errorf("skipped %+v", got)
			}
			r.drain()
			if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
				t.Errorf("%d duplicates", n)
			}
			if h := r.forwarder.Halted(); h != nil || testutil.ToFloat64(r.forwarder.metrics.halted) != 0 {
				t.Errorf("halted %v after the skip", h)
			}
		})
	}
}

// Only the entry at which delivery halts can be skipped, and only by who has had it.
func TestSkipRefuses(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(4)...)
	bad := raw(t, r.main, []byte{99})
	next := raw(t, r.main, []byte{98})
	last := r.append(testTopic, apps(1)...)
	r.halts(HaltError{LSN: bad}, entry.ErrVersion)
	for name, row := range map[string]struct {
		parked bool
		lsn    journal.LSN
		want   string
	}{
		"delivered":         {false, 2, "LSN 2, but delivery is halted at LSN 5: layout version 99"},
		"a later one":       {false, next, "LSN 6, but delivery is halted at LSN 5"},
		"will be delivered": {false, last.LSN, "LSN 7, but"},
		"in no journal":     {false, 1000, "LSN 1000, but"},
		"not parked":        {true, bad, "there is no LSN 5"},
	} {
		if _, err := r.forwarder.Look(t.Context(), row.parked, row.lsn); !errors.Is(err, ErrNotSkippable) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: look: %v", name, err)
		}
		if err := r.forwarder.Skip(t.Context(), row.parked, row.lsn, sha256.Sum256([]byte{99})); !errors.Is(err, ErrNotSkippable) {
			t.Errorf("%s: skip: %v", name, err)
		}
	}
	if err := r.forwarder.Skip(t.Context(), false, bad, sha256.Sum256([]byte{98})); !errors.Is(err, ErrNotSkippable) {
		t.Errorf("with another content: %v", err)
	}
	r.halts(HaltError{LSN: bad}, entry.ErrVersion)
	r.skip(false, bad)
	r.halts(HaltError{LSN: next}, entry.ErrVersion)
	r.skip(false, next)
	r.drain()
	r.halt()
	r.cancel = nil
	if _, err := r.forwarder.Look(t.Context(), false, bad); !errors.Is(err, ErrStopped) {
		t.Errorf("look after Run: %v", err)
	}
}

// A lane before the entry is stuck: the skip is remembered over a restart, with what was
// delivered behind the entry.
func TestSkipIsRemembered(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(8)...)
	r.drain()
	stuck := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.append(testTopic, apps(8)...)
	bad := raw(t, r.main, []byte{99})
	r.append(testTopic, apps(8)...)
	eventually(t, "delivery halts", func() bool { return len(r.forwarder.Halted()) > 0 })
	r.skip(false, bad)
	free := 0
	for _, d := range r.fetch(testTopic) {
		if d.partition == 1 && d.n == 0 {
			free++
		}
	}
	eventually(t, "the other partition goes on", func() bool { return r.cluster.PartitionInfo(testTopic, 1).HighWatermark == int64(3*free) })
	r.stop()
	if r.start(); r.main.Stats().Settled >= bad {
		t.Fatal("the partition is not stuck: the test shows nothing")
	}
	stuck.Remove()
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// An entry of the parked journal that nobody can read halts what is parked behind it, for it may
// be of any topic; what comes from the main journal goes on.
func TestParkedEntryThatNobodyCanRead(t *testing.T) {
	good := envelope{kind: kindTopic, id: schema.CallbackID{Journal: 1, LSN: 1}}
	for _, tt := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"too short", []byte{1}, ErrEnvelope},
		{"of a newer release", append([]byte{9}, make([]byte, 30)...), ErrEnvelope},
		{"of no kind", append([]byte{1, 7}, make([]byte, 30)...), ErrEnvelope},
		{"with an entry of nobody", good.append(nil, []byte{1}), entry.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, kfake.SeedTopics(2, testTopic))
			r.start()
			r.append(otherTopic, apps(4)...)
			eventually(t, "the topic is parked", func() bool { return parkedEntries(r, otherTopic) == 4 })
			bad := raw(t, r.parked, tt.payload)
			again := raw(t, r.parked, tt.payload)
			r.append(otherTopic, apps(3)...)
			eventually(t, "more of it is parked behind", func() bool { return parkedEntries(r, otherTopic) == 7 })
			r.stop()
			if err := r.cluster.CreateTopic(otherTopic, 2, nil); err != nil {
				t.Fatal(err)
			}
			r.start()
			r.append(otherTopic, apps(2)...)
			r.append(testTopic, apps(4)...)
			for range 2 {
				r.halts(HaltError{LSN: bad, Parked: true}, tt.want)
				if n := watermarks(r, otherTopic); n != 4 {
					t.Errorf("%d records of the parked topic, want the 4 before the entry", n)
				}
				if n := watermarks(r, testTopic); n != 4 {
					t.Errorf("%d records of the other topic, want 4", n)
				}
				if s := r.parked.Stats(); s.Settled >= bad {
					t.Errorf("parked is settled up to %d", s.Settled)
				}
				for _, c := range restored(r) {
					if c.LSN >= bad {
						t.Errorf("cursor %+v passes the entry, which may be of that stash", c)
					}
				}
			}
			if _, err := r.forwarder.Look(t.Context(), true, again); !errors.Is(err, ErrNotSkippable) {
				t.Errorf("the second one can be skipped first: %v", err)
			}
			r.skip(true, bad)
			r.halts(HaltError{LSN: again, Parked: true}, tt.want)
			r.skip(true, again)
			r.drain()
			r.inOrder(otherTopic, r.fetch(otherTopic))
			r.inOrder(testTopic, r.fetch(testTopic))
		})
	}
}

// A record that Kafka refuses waits in the parked journal, holds up nobody, and can be skipped.
func TestSkipOfARefusedRecord(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(1, testTopic))
	r.start()
	tooLarge := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.MessageTooLarge, Count: 2})
	first := r.append(testTopic, apps(1)...)
	eventually(t, "the first is parked", func() bool { return parkedEntries(r, testTopic) == 1 })
	tooLarge.Remove()
	tooLarge = r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testTopic, Err: kerr.MessageTooLarge, Count: 2})
	second := r.append(testTopic, apps(1)...)
	eventually(t, "the second is parked", func() bool { return parkedEntries(r, testTopic) == 2 && r.parked.Stats().Unsynced == 0 })
	tooLarge.Remove()
	got := r.skip(true, 1)
	if got.ID.LSN != uint64(first.LSN) || got.Reason.Error() != "kafka refused it with code 10" || len(got.Callback) != len(got.Payload)-EnvelopeBytes {
		t.Errorf("skipped %+v", got)
	}
	if n := parkedEntries(r, testTopic); n != 1 {
		t.Errorf("%d entries count as parked after the skip", n)
	}
	if _, err := r.forwarder.Look(t.Context(), true, 1); !errors.Is(err, ErrNotSkippable) {
		t.Errorf("it can be skipped twice: %v", err)
	}
	r.stop()
	r.start() // what is left is tried at once
	r.drain()
	records := r.fetch(testTopic)
	if len(records) != 1 || records[0].id != (schema.CallbackID{Journal: r.main.ID(), LSN: uint64(second.LSN)}).String() {
		t.Errorf("delivered %+v, want the second one only", records)
	}
}

// SkipStopped finds the same entries without a forwarder, and the next one honours it.
func TestSkipStopped(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(4)...)
	r.drain()
	r.stop()
	r.open()
	before := r.append(testTopic, apps(1)...)
	bad := raw(t, r.main, []byte{99})
	next := raw(t, r.main, []byte{98})
	r.append(testTopic, apps(3)...)
	parked := raw(t, r.parked, []byte{97})
	keepNothing := func(Skippable) error { t.Error("was to be kept"); return nil }
	for name, row := range map[string]struct {
		j      *journal.Journal
		lsn    journal.LSN
		want   string
		parked bool
	}{
		"delivered":        {r.main, 2, "is settled", false},
		"to be delivered":  {r.main, before.LSN, "will be", false},
		"behind the halt":  {r.main, next, "which cannot be decoded: layout version 99", false},
		"in no journal":    {r.main, 1 << 40, "", false},
		"in a jump":        {r.main, 5, "there is no LSN 5", false},
		"not in parked":    {r.parked, 1000, "", true},
		"before in parked": {r.parked, 0, "is settled", true},
	} {
		if err := SkipStopped(row.j, row.parked, row.lsn, keepNothing); !errors.Is(err, ErrNotSkippable) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("disk full")
	if err := SkipStopped(r.main, false, bad, func(Skippable) error { return full }); !errors.Is(err, full) {
		t.Errorf("keeping failed: %v", err)
	}
	for _, row := range []struct {
		j      *journal.Journal
		lsn    journal.LSN
		parked bool
		want   byte
	}{{r.main, bad, false, 99}, {r.parked, parked, true, 97}} {
		var kept Skippable
		if err := SkipStopped(row.j, row.parked, row.lsn, func(s Skippable) error { kept = s; return nil }); err != nil || len(kept.Payload) != 1 || kept.Payload[0] != row.want {
			t.Fatalf("kept %+v: %v", kept, err)
		}
	}
	r.stop()
	r.open()
	if err := SkipStopped(r.main, false, bad, keepNothing); !errors.Is(err, ErrNotSkippable) || !strings.Contains(err.Error(), "skipped before") {
		t.Errorf("skipped twice: %v", err)
	}
	r.run()
	r.halts(HaltError{LSN: next}, entry.ErrVersion)
	r.skip(false, next)
	r.drain()
	r.inOrder(testTopic, r.fetch(testTopic))
}

// halts waits until delivery stands at the entry, for that reason, and Drain says so.
func (r *rig) halts(want HaltError, reason error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := r.forwarder.Drain(ctx)
	h, ok := errors.AsType[*HaltError](err)
	if !ok || h.LSN != want.LSN || h.Parked != want.Parked || !errors.Is(err, reason) {
		r.t.Fatalf("drain: %v, want a halt at %+v because of: %v", err, want, reason)
	}
	if all := r.forwarder.Halted(); len(all) != 1 || all[0] != h || testutil.ToFloat64(r.forwarder.metrics.halted) != 1 {
		r.t.Errorf("halted %v, drain: %v", all, h)
	}
}

// skip does what somebody does who keeps the entry elsewhere.
func (r *rig) skip(parked bool, lsn journal.LSN) Skippable {
	r.t.Helper()
	s, err := r.forwarder.Look(r.t.Context(), parked, lsn)
	if err == nil {
		err = r.forwarder.Skip(r.t.Context(), parked, lsn, s.Sum())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// restored returns the cursors that a restart of the parked journal would find. The journal is
// reopened for it.
func restored(r *rig) []journal.Cursor {
	r.t.Helper()
	r.stop()
	r.open()
	_, cursors := r.parked.Restored()
	r.run()
	return cursors
}

// A checkpoint of another make is no reason to stop: at worst something goes out again.
func TestCursorsOfAnotherMake(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(8)...)
	r.drain()
	r.halt()
	r.cancel = nil
	r.main.Checkpoint(r.main.Stats().Settled, []journal.Cursor{{Lane: "what is this", LSN: 3}, {Lane: "t/-1/0", LSN: 9}, {Lane: "t/1/0/0", LSN: 1 << 40}})
	r.stop()
	r.start()
	r.append(testTopic, apps(8)...)
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}

// The metrics have the names that the documents give them, and say what happened.
func TestMetrics(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(2, testTopic))
	r.start()
	r.append(testTopic, apps(5)...)
	r.append(otherTopic, apps(3)...)
	eventually(t, "the topics are delivered and parked", func() bool {
		return watermarks(r, testTopic) == 5 && parkedEntries(r, otherTopic) == 3
	})
	eventually(t, "the metrics say so", func() bool {
		return testutil.CollectAndCompare(r.forwarder.metrics.delivered, strings.NewReader(`
# HELP tidegate_gateway_delivered_total Entries that Kafka has taken (acks=all).
# TYPE tidegate_gateway_delivered_total counter
tidegate_gateway_delivered_total{topic="im.alarms.raw"} 5
tidegate_gateway_delivered_total{topic="im.callbacks.raw"} 0
`)) == nil
	})
	names := map[string]bool{}
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		names[family.GetName()] = true
		if family.GetName() == "tidegate_gateway_delivery_seconds" && family.Metric[0].Histogram.GetSampleCount() != 5 {
			t.Errorf("%d deliveries were timed, want 5", family.Metric[0].Histogram.GetSampleCount())
		}
		if family.GetName() == "tidegate_gateway_kafka_up" && family.Metric[0].Gauge.GetValue() != 1 {
			t.Error("kafka_up is 0 after deliveries")
		}
	}
	for _, name := range []string{"parked_entries", "delivered_total", "delivery_seconds", "kafka_up", "forward_halted"} {
		if !names["tidegate_gateway_"+name] {
			t.Errorf("there is no tidegate_gateway_%s", name)
		}
	}
}

// While Kafka is away the forwarder holds two batches of each lane and no more, however much
// the journal takes.
func TestMemoryIsBoundedWhileAway(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(4, testTopic))
	r.produce = small
	away := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	r.start()
	for range 300 {
		r.append(testTopic, apps(64)...)
	}
	if err := away.Wait(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	r.halt() // the state is ours to look at now
	r.cancel = nil
	for _, l := range r.forwarder.topics[testTopic].lanes {
		if n := l.window.len(); n == 0 || n > 20 {
			t.Errorf("partition %d holds %d entries, want up to two batches of 10", l.partition, n)
		}
		if !l.lagging {
			t.Errorf("partition %d does not lag", l.partition)
		}
	}
}

// Letters reach the loop in the order in which each lane sent them, with their tags.
func TestMailbox(t *testing.T) {
	b := mailbox{wake: make(chan struct{}, 1)}
	o := &outlet{box: &b}
	for round := range 3 {
		tags := []uint64{uint64(round), 7}
		o.Settled(produce.Settlement{Tags: tags, Outcome: produce.TopicRefused, Code: 3})
		tags[0], tags[1] = 99, 99 // the lane uses its slice again
		o.Room(nil)
		<-b.wake
		m := b.take()
		if len(m.letters) != 2 || m.letters[0].code != 3 || m.letters[1].from != m.letters[1].to {
			t.Fatalf("round %d: letters %+v", round, m.letters)
		}
		if got := m.tags[m.letters[0].from:m.letters[0].to]; len(got) != 2 || got[0] != uint64(round) || got[1] != 7 {
			t.Errorf("round %d: tags %v", round, got)
		}
		if again := b.take(); len(again.letters) != 0 {
			t.Errorf("round %d: %d letters came twice", round, len(again.letters))
		}
	}
}
