package produce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/schema"
)

// keyedRecords returns n records of as many keys, their values numbered per key.
func keyedRecords(n, keys int) []schema.Record {
	records := make([]schema.Record, n)
	for i := range records {
		records[i] = schema.Record{
			Topic: testTopic, Key: []byte("key-" + strconv.Itoa(i%keys)), Value: []byte(strconv.Itoa(i / keys)),
			Headers: []schema.Header{{Key: "ce_id", Value: []byte(strconv.Itoa(i))}, {Key: "none"}},
		}
	}
	return records
}

// ordered fails unless each key's values count up from 0, and each key is in its partition.
func ordered(t *testing.T, got []consumed, partitions int32) {
	t.Helper()
	next := map[string]int{}
	for _, r := range got {
		if want := strconv.Itoa(next[r.key]); r.value != want {
			t.Fatalf("key %s: value %s came where %s was due", r.key, r.value, want)
		}
		next[r.key]++
		if want := PartitionOf([]byte(r.key), partitions); r.partition != want {
			t.Fatalf("key %s is in partition %d, want %d", r.key, r.partition, want)
		}
	}
}

func TestProduce(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(3, testTopic))
	p := producer(t, c, nil)
	before := time.Now()
	refused, err := p.Produce(t.Context(), keyedRecords(2500, 50))
	if err != nil || refused != nil {
		t.Fatalf("Produce: %v, %v", refused, err)
	}
	got := consume(t, c, testTopic, 2500)
	ordered(t, got, 3)
	for _, r := range got[:10] {
		if r.headers["ce_id"] == "" || r.time.Before(before.Truncate(time.Millisecond)) || r.time.After(time.Now()) {
			t.Errorf("record %+v: headers or time are wrong", r)
		}
	}
	if !p.Up() {
		t.Error("not up after a good answer")
	}
}

// Several callers share the lanes: each gets its own records' ends, in its own order.
func TestProduceByManyCallers(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, testTopic))
	p := producer(t, c, func(o *Options) { o.MaxBatchRecords = 7 })
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for i := range 20 {
				key := []byte(fmt.Sprint("caller-", caller))
				two := []schema.Record{{Topic: testTopic, Key: key, Value: []byte(strconv.Itoa(2 * i))}, {Topic: testTopic, Key: key, Value: []byte(strconv.Itoa(2*i + 1))}}
				if refused, err := p.Produce(context.Background(), two); refused != nil || err != nil {
					t.Errorf("Produce: %v, %v", refused, err)
				}
			}
		})
	}
	wg.Wait()
	ordered(t, consume(t, c, testTopic, 8*40), 2)
}

// One refused record does not hold up the others, and is named.
func TestProduceNamesTheRefusedRecord(t *testing.T) {
	c := cluster(t)
	if err := c.CreateTopic(testTopic, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	p := producer(t, c, nil)
	records := keyedRecords(20, 1)
	records[7].Value = make([]byte, 3000)
	refused, err := p.Produce(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range refused {
		var refusal *RefusedError
		if i == 7 != errors.As(e, &refusal) {
			t.Errorf("record %d: %v", i, e)
		}
		if i == 7 && refusal.Code != kerr.MessageTooLarge.Code {
			t.Errorf("refused with code %d", refusal.Code)
		}
	}
	if got := consume(t, c, testTopic, 19); len(got) != 19 {
		t.Errorf("%d records are there", len(got))
	}
}

// A missing topic holds the call up; it goes on by itself when somebody makes the topic.
func TestProduceWaitsForATopic(t *testing.T) {
	c := cluster(t)
	p := producer(t, c, nil)
	done := make(chan error, 1)
	go func() {
		_, err := p.Produce(t.Context(), keyedRecords(10, 3))
		done <- err
	}()
	eventually(t, "the topic counts as missing", func() bool { return p.Topic(testTopic).Refused })
	if err := c.CreateTopic(testTopic, 2, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ordered(t, consume(t, c, testTopic, 10), 2)
}

// A call that is given up says so; Close ends the calls that wait.
func TestProduceEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), p *Producer){
		"context": func(cancel func(), _ *Producer) { cancel() },
		"close":   func(_ func(), p *Producer) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(1, testTopic))
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			p := producer(t, c, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := p.Produce(ctx, keyedRecords(1, 1))
				done <- err
			}()
			if err := h.Wait(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			end(cancel, p)
			if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
				t.Errorf("Produce ended with %v", err)
			}
		})
	}
}

// Partitions are added while callers produce: no key's records pass each other.
func TestProduceWhilePartitionsAreAdded(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, testTopic))
	p := producer(t, c, nil)
	const rounds, keys = 60, 16
	for i := range rounds {
		records := make([]schema.Record, keys)
		for k := range records {
			records[k] = schema.Record{Topic: testTopic, Key: []byte(fmt.Sprint("key-", k)), Value: []byte(strconv.Itoa(i))}
		}
		if _, err := p.Produce(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		if i == rounds/2 {
			addPartitions(t, c, testTopic, 5)
			eventually(t, "the new count is seen", func() bool { return p.Topic(testTopic).Partitions == 5 })
		}
	}
	got := consume(t, c, testTopic, rounds*keys)
	later := slices.DeleteFunc(slices.Clone(got), func(r consumed) bool { return r.partition < 2 })
	if len(later) == 0 {
		t.Error("no record went to a new partition")
	}
	seen := map[string]int{}
	for _, r := range got {
		seen[r.key]++
	}
	for key, n := range seen {
		if n != rounds {
			t.Errorf("key %s: %d records, want %d", key, n, rounds)
		}
	}
}
