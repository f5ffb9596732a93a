//go:build linux

package main

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// kafkaAlone is the baseline of latencies: raw records on the same schedule, each written as
// the gateway writes, and read as the enriched topic is, and nothing else. The way of a callback
// has that twice.
func (b *bench) kafkaAlone(ctx context.Context) error {
	f, err := b.topics(ctx, "alone")
	if err != nil {
		return err
	}
	topic := schema.NewTopics(f.TopicPrefix).AlarmsRaw
	client, err := newProducer(f, kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := stack.Ends(ctx, f, topic)
	if err != nil {
		return err
	}
	n := int64(b.Rate * b.Turn.Seconds())
	sent := make([]time.Time, n)
	var mu sync.Mutex // guards sent and took
	took := newLatencies()
	reading := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, b.Turn+afterwards)
	defer cancel()
	go func() {
		left := n
		reading <- stack.Follow(ctx, f, ends, func(r *schema.Record) bool {
			at := time.Now()
			if c, err := schema.ParseCallback(r); err == nil && c.ID.LSN <= uint64(n) {
				mu.Lock()
				took.note(at.Sub(sent[c.ID.LSN-1]))
				mu.Unlock()
			}
			left--
			return left > 0
		})
	}()
	made := rawAlarm{int64(b.Apps), topic}
	schedule := drive.Schedule{Begin: time.Now(), Rate: b.Rate}
	for i := range n {
		if err := wait(ctx, time.Until(schedule.Due(i))); err != nil {
			return err
		}
		r := made.record(i, time.Now(), bottomUsed+i)
		mu.Lock()
		sent[i] = time.Now()
		mu.Unlock()
		client.Produce(ctx, r, nil)
	}
	if err := <-reading; err != nil {
		return err
	}
	b.add(took.sample(variantKafka, 0))
	return nil
}
