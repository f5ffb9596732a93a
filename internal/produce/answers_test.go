package produce

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What each answer leads to, by code. In each case 8 records are in the batch that is answered
// so, once, and then the broker is well.
func TestEveryClassOfAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer *kerr.Error
		named  []int32
		want   []string // settlements
		same   bool     // the second attempt is the first one, byte for byte
		fresh  bool     // the second attempt has a new producer id
		lost   []string // values that are not in the log
	}{
		{name: "7 timed out", answer: kerr.RequestTimedOut, same: true},
		{name: "13 network", answer: kerr.NetworkException, same: true},
		{name: "2 corrupt on the way", answer: kerr.CorruptMessage, same: true},
		{name: "5 no leader", answer: kerr.LeaderNotAvailable, same: true},
		{name: "6 not the leader", answer: kerr.NotLeaderForPartition, same: true},
		{name: "19 not enough replicas", answer: kerr.NotEnoughReplicas, same: true},
		{name: "20 not enough replicas after append", answer: kerr.NotEnoughReplicasAfterAppend, same: true},
		{name: "56 storage error", answer: kerr.KafkaStorageError, same: true},
		{name: "89 throttled", answer: kerr.ThrottlingQuotaExceeded, same: true},
		{name: "-1 unknown", answer: kerr.UnknownServerError, same: true},
		{name: "46 duplicate", answer: kerr.DuplicateSequenceNumber, lost: count(8)},
		{name: "45 out of order", answer: kerr.OutOfOrderSequenceNumber, fresh: true},
		{name: "47 epoch", answer: kerr.InvalidProducerEpoch, fresh: true},
		{name: "59 unknown producer", answer: kerr.UnknownProducerID, fresh: true},
		{name: "49 unknown mapping", answer: kerr.InvalidProducerIDMapping, fresh: true},
		{name: "90 fenced", answer: kerr.ProducerFenced, fresh: true},
		{name: "32 timestamp", answer: kerr.InvalidTimestamp},
		{name: "3 no such topic, for a moment", answer: kerr.UnknownTopicOrPartition, same: true},
		{name: "29 not authorised, for a moment", answer: kerr.TopicAuthorizationFailed, same: true},
		{name: "10 too large, the batch", answer: kerr.MessageTooLarge, want: []string{"delivered 0 [0 1 2 3]", "delivered 0 [4 5 6 7]"}},
		{name: "18 list too large", answer: kerr.RecordListTooLarge, want: []string{"delivered 0 [0 1 2 3]", "delivered 0 [4 5 6 7]"}},
		{name: "87 invalid, unnamed", answer: kerr.InvalidRecord, want: []string{"delivered 0 [0 1 2 3]", "delivered 0 [4 5 6 7]"}},
		{name: "87 invalid, named", answer: kerr.InvalidRecord, named: []int32{2, 3, 7}, want: []string{
			"delivered 0 [0 1]", "delivered 0 [2]", "delivered 0 [3]", "delivered 0 [4 5 6]", "delivered 0 [7]",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(1, testTopic))
			w := tap(c, func(n int, _ *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition {
				if n > 1 {
					return nil
				}
				return refusal(tt.answer, tt.named...)
			})
			p := producer(t, c, nil)
			o := newOwner()
			l := p.Lane(testTopic, 0, o)
			fill(t, l, 0, 8)
			var got []string
			for _, s := range o.through(t, 8) {
				got = append(got, s.String())
			}
			if tt.want == nil {
				tt.want = []string{"delivered 0 [0 1 2 3 4 5 6 7]"}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("settlements %q, want %q", got, tt.want)
			}
			compareAttempts(t, w, tt.same, tt.fresh)
			fill(t, l, 8, 1) // sequences go on
			o.through(t, 1)
			want := slices.DeleteFunc(count(9), func(v string) bool { return slices.Contains(tt.lost, v) })
			if got := values(t, c); !slices.Equal(got, want) {
				t.Errorf("the log has %v, want %v", got, want)
			}
		})
	}
}

// compareAttempts looks at the first two requests.
func compareAttempts(t *testing.T, w *wiretap, same, fresh bool) {
	t.Helper()
	if !same && !fresh {
		return
	}
	batches := w.seen(t)
	if len(batches) < 2 {
		t.Fatalf("%d attempts, want 2", len(batches))
	}
	if same && !bytes.Equal(w.batches[0], w.batches[1]) {
		t.Error("the second attempt differs from the first")
	}
	if fresh && (batches[0].ProducerID == batches[1].ProducerID || batches[1].FirstSequence != 0 || batches[1].NumRecords != 8) {
		t.Errorf("first attempt %d/%d, second %d/%d of %d", batches[0].ProducerID, batches[0].FirstSequence, batches[1].ProducerID, batches[1].FirstSequence, batches[1].NumRecords)
	}
}

// Every class is in the table, and what is not listed is tried again.
func TestClassify(t *testing.T) {
	seen := map[class]bool{}
	for code := kafka.Error(-1); code < 150; code++ {
		err := error(code)
		if code == 0 {
			err = nil
		}
		c, got := classify(fmt.Errorf("call: %w", err))
		if err == nil {
			c, got = classify(nil)
		}
		seen[c] = true
		if got != int16(code) {
			t.Errorf("code %d comes out as %d", code, got)
		}
		if _, listed := classes[code]; !listed && c != classBroker {
			t.Errorf("code %d is not listed and is %v", code, c)
		}
	}
	for c := range numClasses {
		if !seen[c] {
			t.Errorf("no code is %v", c)
		}
	}
	if c, _ := classify(fmt.Errorf("EOF")); c != classNetwork {
		t.Errorf("an error without a code is %v", c)
	}
}

// Single records that are refused settle alone, in their place, and use up no sequence.
func TestRefusedRecords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		code  *kerr.Error
		named bool
	}{{"by halves", kerr.MessageTooLarge, false}, {"by halves, invalid", kerr.InvalidRecord, false}, {"by name", kerr.InvalidRecord, true}} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(1, testTopic))
			tap(c, func(_ int, req *kmsg.ProduceRequest) *kmsg.ProduceResponseTopicPartition {
				var bad []int32
				for i, v := range recordValues(req.Topics[0].Partitions[0].Records) {
					if v == "3" || v == "11" {
						bad = append(bad, int32(i))
					}
				}
				switch {
				case bad == nil:
					return nil
				case tt.named:
					return refusal(tt.code, bad...)
				}
				return refusal(tt.code)
			})
			p := producer(t, c, nil)
			o := newOwner()
			l := p.Lane(testTopic, 0, o)
			fill(t, l, 0, 20)
			var order []uint64
			for _, s := range o.through(t, 20) {
				refused := slices.Equal(s.Tags, []uint64{3}) || slices.Equal(s.Tags, []uint64{11})
				if refused != (s.Outcome == RecordRefused) || refused && s.Code != tt.code.Code {
					t.Errorf("settlement %v", s)
				}
				order = append(order, s.Tags...)
			}
			if !slices.IsSorted(order) {
				t.Errorf("settled in the order %v", order)
			}
			want := slices.DeleteFunc(count(20), func(v string) bool { return v == "3" || v == "11" })
			if got := values(t, c); !slices.Equal(got, want) {
				t.Errorf("the log has %v, want %v", got, want)
			}
		})
	}
}

// recordValues returns the values in a raw batch.
func recordValues(raw []byte) (values []string) {
	b := &batch{buf: append(make([]byte, sizePrefix), raw...)}
	n := int(raw[offsetCount-sizePrefix+3]) // tests have fewer than 256 records
	b.tags = make([]uint64, n)
	for i := range n {
		one := b.pick(func(j int) bool { return i == j })
		var r kmsg.Record
		if err := r.ReadFrom(one.buf[recordsStart:]); err != nil {
			panic(err)
		}
		values = append(values, string(r.Value))
	}
	return values
}

// A topic's limit below ours is learnt: later batches fit at once.
func TestLearnsTheTopicsLimit(t *testing.T) {
	c := cluster(t)
	if err := c.CreateTopic(testTopic, 1, map[string]string{"max.message.bytes": "40000"}); err != nil {
		t.Fatal(err)
	}
	w := tap(c, nil)
	p := producer(t, c, func(o *Options) { o.MaxBatchBytes = 200_000 })
	o := newOwner()
	l := p.Lane(testTopic, 0, o)
	for i := range 2000 {
		for !l.Add(uint64(i), nil, bytes.Repeat([]byte("x"), 300), nil) {
			<-o.room
		}
	}
	l.Flush(0)
	o.through(t, 2000)
	if got := logEnd(c, testTopic, 0); got != 2000 {
		t.Errorf("%d records in the log", got)
	}
	refused := 0
	for _, raw := range w.batches {
		if len(raw) > 40000 {
			refused++
		}
	}
	// 200, 100 and 50 KB; then it is known.
	if refused > 3 {
		t.Errorf("%d of %d requests were too large", refused, len(w.batches))
	}
}
