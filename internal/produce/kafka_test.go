package produce

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

const testTopic = "t"

// cluster starts a broker in memory; it ends with the test.
func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatalf("start the cluster: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// producer starts a producer on c; it ends with the test.
func producer(t testing.TB, c *kfake.Cluster, change func(*Options)) *Producer {
	t.Helper()
	conn, err := kafkaconn.Open(kafkaconn.Flags{Brokers: c.ListenAddrs()}, "test")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Conn: conn, TopicGrace: 300 * time.Millisecond, RequestTimeout: 2 * time.Second}
	if tt, ok := t.(*testing.T); ok {
		o.Log = zaptest.NewLogger(tt)
	}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		p.Close()
		conn.Close()
	})
	return p
}

// consumed is one record as it was fetched.
type consumed struct {
	partition  int32
	key, value string
	headers    map[string]string
	time       time.Time
}

// consume fetches n records of a topic, in order per partition, by franz-go: a client that
// checks lengths, CRC and offsets, and shares no code with what is tested.
func consume(t testing.TB, c *kfake.Cluster, topic string, n int) []consumed {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var got []consumed
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records after 20 s, want %d", len(got), n)
		}
		for r := range fetches.RecordsAll() {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			got = append(got, consumed{r.Partition, string(r.Key), string(r.Value), headers, r.Timestamp})
		}
	}
	return got
}

// logEnd returns how many records a partition has.
func logEnd(c *kfake.Cluster, topic string, partition int32) int64 {
	return c.PartitionInfo(topic, partition).HighWatermark
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // a polling distance, not a wait
	}
}

// owner collects settlements.
type owner struct {
	settled chan Settlement
	room    chan struct{}
}

func newOwner() *owner {
	return &owner{settled: make(chan Settlement, 10000), room: make(chan struct{}, 1)}
}

func (o *owner) Settled(s Settlement) {
	s.Tags = append([]uint64(nil), s.Tags...)
	o.settled <- s
}

func (o *owner) Room(*Lane) { notify(o.room) }

// next returns the next settlement.
func (o *owner) next(t testing.TB) Settlement {
	t.Helper()
	select {
	case s := <-o.settled:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("no settlement within 20 s")
		panic("unreachable")
	}
}

// tags returns "outcome code: tags" for messages and comparison.
func (s Settlement) String() string {
	return fmt.Sprint([]string{"delivered", "record refused", "topic refused", "partition gone"}[s.Outcome], " ", s.Code, " ", s.Tags)
}

// addPartitions raises a topic's number of partitions.
func addPartitions(t testing.TB, c *kfake.Cluster, topic string, n int) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(c.ListenAddrs()...)}
	res, err := client.CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(n)}},
	})
	if err != nil || res.Errors[topic] != nil {
		t.Fatalf("add partitions: %v, %v", err, res)
	}
}
