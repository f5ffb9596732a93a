//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

const (
	// firstApp is the SdkAppid of the first app of an apps file that load writes.
	firstApp = 1400000001

	// backlogSpan is how long the vendor took for the backlog.
	backlogSpan = 6 * time.Hour

	// Where QuotaUsed runs in the backlog, of alarmQuota: through two steps.
	alarmQuota  = 100_000
	bottomUsed  = 70_500
	backlogRise = 20_000
)

// rawAlarm makes raw records as the gateway does. It is for one goroutine.
type rawAlarm struct {
	apps  int64
	topic string
}

// record returns the raw record of alarm i, which the vendor dates at: of the app whose turn it
// is, with used groups. No two i make the same alarm of an app.
func (a *rawAlarm) record(i int64, at time.Time, used int64) *kgo.Record {
	body := make([]byte, 0, 144)
	body = append(body, `{"CallbackCommand":"`+schema.CommandQuotaAlarm+`","QuotaUsed":`...)
	body = strconv.AppendInt(body, used, 10)
	body = append(body, `,"Quota":`+strconv.Itoa(alarmQuota)+`,"EventTime":"`...)
	body = strconv.AppendInt(body, at.UnixMilli(), 10)
	body = append(body, `"}`...)
	c := schema.Callback{
		ID: schema.CallbackID{Journal: 0x62656e6368, LSN: uint64(i) + 1}, Gateway: []byte("bench"), AppID: firstApp + i%a.apps,
		Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: at.Add(100 * time.Millisecond).UTC(), Authenticated: schema.AuthenticatedSign, Body: body,
	}
	r := c.Record(a.topic)
	headers := make([]kgo.RecordHeader, len(r.Headers))
	for j, h := range r.Headers {
		headers[j] = kgo.RecordHeader(h)
	}
	return &kgo.Record{Topic: a.topic, Key: r.Key, Value: r.Value, Headers: headers}
}

// newProducer returns a client that writes as the gateway does: acks=all, not compressed. The
// caller closes it.
func newProducer(f kafkaconn.Flags, options ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(f.Brokers...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	return client, nil
}

// fillBacklog makes the backlog where it is not made yet: alarms of the last hours, in turn of
// every app. It returns the connection with its prefix, and how long it took to make; 0: it was
// there.
func (b *bench) fillBacklog(ctx context.Context) (kafkaconn.Flags, time.Duration, error) {
	if b.backlog != "" {
		f := b.kafka
		f.TopicPrefix = b.backlog
		return f, 0, nil
	}
	begun := time.Now()
	f, err := b.topics(ctx, "backlog")
	if err != nil {
		return f, 0, err
	}
	client, err := newProducer(f, kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return f, 0, err
	}
	defer client.Close()
	made := rawAlarm{int64(b.Apps), schema.NewTopics(f.TopicPrefix).AlarmsRaw}
	var refused atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			refused.CompareAndSwap(nil, &err)
		}
	}
	from, step := begun.Add(-backlogSpan), backlogSpan/time.Duration(b.Backlog)
	for i := range b.Backlog {
		used := bottomUsed + i*backlogRise/b.Backlog
		client.Produce(ctx, made.record(i, from.Add(time.Duration(i)*step), used), done)
	}
	if err := client.Flush(ctx); err != nil {
		return f, 0, fmt.Errorf("fill the backlog: %w", err)
	}
	if err := refused.Load(); err != nil {
		return f, 0, fmt.Errorf("fill the backlog: %w", *err)
	}
	b.backlog = f.TopicPrefix
	return f, time.Since(begun), nil
}

// committed is how many records of the raw topic the group has committed, from their beginning.
func committed(ctx context.Context, f kafkaconn.Flags, group string) (int64, error) {
	client, err := newProducer(f)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return committedOf(ctx, client, group, schema.NewTopics(f.TopicPrefix).AlarmsRaw)
}

// records is how many records a topic that lost none has.
func records(ctx context.Context, f kafkaconn.Flags, topic string) (n int64, err error) {
	ends, err := stack.Ends(ctx, f, topic)
	for _, end := range ends[topic] {
		n += end
	}
	return n, err
}
