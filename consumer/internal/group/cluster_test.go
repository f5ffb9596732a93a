package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

const (
	testTopic = "im.alarms.raw"
	testGroup = "tidegate"
	patience  = 30 * time.Second // for what must happen; never waited for when it does
)

// cluster is a broker in memory and a client to fill it.
type cluster struct {
	*kfake.Cluster
	t      *testing.T
	client *kgo.Client
}

func newCluster(t *testing.T, partitions int32) *cluster {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := &cluster{Cluster: k, t: t}
	c.connect()
	if partitions > 0 {
		c.create(partitions)
	}
	return c
}

// connect makes a new client: one that knew a topic that was deleted goes on to ask for
// its id.
func (c *cluster) connect() {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	c.client = client
}

func (c *cluster) create(partitions int32) {
	c.t.Helper()
	if err := c.CreateTopic(testTopic, partitions, nil); err != nil {
		c.t.Fatal(err)
	}
}

// produce appends n records to a partition; their values count from 0 in each call.
func (c *cluster) produce(partition int32, n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{
			Topic: testTopic, Partition: partition, Key: []byte("1400000001"), Value: []byte(strconv.Itoa(i)),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("x")}, {Key: "empty", Value: nil}},
		}
	}
	if err := c.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		c.t.Fatalf("produce: %v", err)
	}
}

// grow gives the topic more partitions, before the first produce: a producer would not know them.
func (c *cluster) grow(total int32) {
	c.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = testTopic, total
	req.Topics = append(req.Topics, topic)
	req.TimeoutMillis = 5000
	res, err := req.RequestWith(c.t.Context(), c.client)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		c.t.Fatalf("add partitions: %v %+v", err, res)
	}
}

// committed returns the group's offset of a partition, -1 for none.
func (c *cluster) committed(partition int32) int64 {
	if info := c.GroupInfo(testGroup); info != nil {
		if commit, ok := info.Commits[testTopic][partition]; ok {
			return commit.Offset
		}
	}
	return -1
}

// awaitCommit waits until the group's offset of a partition is want.
func (c *cluster) awaitCommit(partition int32, want int64) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("commit of offset %d in partition %d", want, partition), func() bool {
		return c.committed(partition) == want
	})
}

// awaitMembers waits until the group is stable with so many members.
func (c *cluster) awaitMembers(n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	info, err := c.WaitGroupStable(ctx, testGroup, n)
	if err != nil {
		c.t.Fatalf("group did not become stable with %d members: %v: %+v", n, err, info)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("did not happen in %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// recorder is a handler that remembers what it got, and does what handle says.
type recorder struct {
	handle func(ctx context.Context, records []schema.Record) error // nil: nothing

	mu      sync.Mutex
	offsets map[int32][]int64
	batches [][]schema.Record
}

func (r *recorder) Handle(ctx context.Context, records []schema.Record, logEnd int64) error {
	if last := records[len(records)-1].Offset; logEnd <= last {
		return fmt.Errorf("log end %d is not beyond the batch's last offset %d", logEnd, last)
	}
	r.mu.Lock()
	if r.offsets == nil {
		r.offsets = make(map[int32][]int64)
	}
	for i := range records {
		r.offsets[records[i].Partition] = append(r.offsets[records[i].Partition], records[i].Offset)
	}
	r.batches = append(r.batches, records)
	r.mu.Unlock()
	if r.handle != nil {
		return r.handle(ctx, records)
	}
	return nil
}

// holding returns a recorder that keeps the batch with that offset until its generation ends, and what is
// closed when it has it.
func holding(offset int64) (*recorder, chan struct{}) {
	held := make(chan struct{})
	return &recorder{handle: func(ctx context.Context, records []schema.Record) error {
		if records[len(records)-1].Offset == offset {
			close(held)
			<-ctx.Done()
		}
		return ctx.Err()
	}}, held
}

// oneByOne produces to partition 0 until r has had from, from+1 ... to records, each a batch.
func (c *cluster) oneByOne(r *recorder, from, to int) {
	c.t.Helper()
	for n := from; n <= to; n++ {
		c.produce(0, 1)
		eventually(c.t, "the record is handed over", func() bool { return len(r.of(0)) == n })
	}
}

// of returns the offsets of a partition, in the order in which they came.
func (r *recorder) of(partition int32) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.offsets[partition])
}

// member is a running Group.
type member struct {
	t    *testing.T
	g    *Group
	reg  *prometheus.Registry
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan error
}

// start runs a member of the group; change may be nil.
func (c *cluster) start(h handler, change func(*Options)) *member {
	c.t.Helper()
	conn, err := kafkaconn.Open(kafkaconn.Flags{Brokers: c.ListenAddrs()}, "test")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	core, logs := observer.New(zap.InfoLevel)
	m := &member{t: c.t, reg: prometheus.NewRegistry(), logs: logs, done: make(chan error, 1)}
	o := Options{
		Conn: conn, Group: testGroup, Topic: testTopic, Handler: h,
		SessionTimeout: 10 * time.Second, Heartbeat: 50 * time.Millisecond, Poll: 100 * time.Millisecond,
		Log: zap.New(core), Metrics: m.reg,
	}
	if change != nil {
		change(&o)
	}
	if m.g, err = New(o); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	go func() { m.done <- m.g.Run(ctx) }()
	c.t.Cleanup(func() { m.end() })
	return m
}

// end stops the member and returns what Run returned.
func (m *member) end() error {
	m.t.Helper()
	m.stop()
	return m.wait()
}

// wait waits for Run to return by itself.
func (m *member) wait() error {
	m.t.Helper()
	select {
	case err := <-m.done:
		m.done <- err
		return err
	case <-time.After(patience):
		m.t.Fatal("Run did not return")
		return errors.New("unreachable")
	}
}

// value returns the sum of a metric's series; false: it has none.
func (m *member) value(name string) (float64, bool) {
	m.t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		m.t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, s := range f.GetMetric() {
			sum, found = sum+s.GetGauge().GetValue()+s.GetCounter().GetValue(), true
		}
	}
	return sum, found
}

// span returns the numbers from, from+1 ... to-1.
func span(from, to int64) []int64 {
	var s []int64
	for i := from; i < to; i++ {
		s = append(s, i)
	}
	return s
}
