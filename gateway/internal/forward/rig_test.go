package forward

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

const testTopic = "im.alarms.raw"

// rig is a forwarder between real journals, on a file system in memory, and a broker in memory.
type rig struct {
	t       testing.TB
	cluster *kfake.Cluster
	disk    *vfs.Mem
	log     *zap.Logger

	ackDeadline time.Duration // of both journals; short, as the close of a journal that lost its disk lasts that long
	mainBytes   int64         // budget of the main journal
	parkedBytes int64         // budget of the parked journal; 0: plenty
	parkedFS    vfs.FS        // of the parked journal; nil: the disk
	produce     func(*produce.Options)
	forward     func(*Options)

	*life
	seq map[string]int // per topic and app: how many entries were appended
}

// life is what ends with a process.
type life struct {
	main, parked *journal.Journal
	conn         *kafkaconn.Conn
	producer     *produce.Producer
	forwarder    *Forwarder
	metrics      *prometheus.Registry
	cancel       context.CancelFunc
	ended        chan error
	produced     chan error
}

// newRig makes the outer world: disk and broker.
func newRig(t testing.TB, opts ...kfake.Opt) *rig {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := &rig{t: t, cluster: c, disk: vfs.NewMem(), log: zap.NewNop(), seq: map[string]int{}, ackDeadline: 200 * time.Millisecond, mainBytes: 64 << 20}
	if tt, ok := t.(*testing.T); ok && testing.Verbose() {
		r.log = zaptest.NewLogger(tt)
	}
	t.Cleanup(func() {
		if r.life != nil {
			r.stop()
		}
	})
	return r
}

// start begins a life of the gateway's inner half.
func (r *rig) start() {
	r.t.Helper()
	r.open()
	r.run()
}

// open opens the journals.
func (r *rig) open() {
	r.t.Helper()
	l := &life{metrics: prometheus.NewRegistry(), ended: make(chan error, 1), produced: make(chan error, 1)}
	l.main = r.journal("/main", r.mainBytes, 256<<10)
	budget := r.parkedBytes
	if budget == 0 {
		budget = 64 << 20
	}
	l.parked = r.journal("/parked", budget, 256<<10+EnvelopeBytes)
	r.life = l
}

func (r *rig) journal(dir string, budget int64, payload int) *journal.Journal {
	r.t.Helper()
	var fsys vfs.FS = r.disk
	if dir == "/parked" && r.parkedFS != nil {
		fsys = r.parkedFS
	}
	j, err := journal.Open(journal.Options{Dir: dir, FS: fsys, MaxBytes: budget, MaxPayload: payload, Retain: -1, AckDeadline: r.ackDeadline, SegmentBytes: 4 << 20, Log: r.log.Named(dir)})
	if err != nil {
		r.t.Fatalf("open %s: %v", dir, err)
	}
	return j
}

// run starts producer and forwarder.
func (r *rig) run() {
	r.t.Helper()
	l, ctx := r.life, r.prepare()
	go func() { l.ended <- l.forwarder.Run(ctx) }()
}

// prepare starts the producer and makes the forwarder that goes with it.
func (r *rig) prepare() context.Context {
	r.t.Helper()
	l := r.life
	var err error
	if l.conn, err = kafkaconn.Open(kafkaconn.Flags{Brokers: r.cluster.ListenAddrs()}, "test"); err != nil {
		r.t.Fatal(err)
	}
	po := produce.Options{Conn: l.conn, Log: r.log, TopicGrace: 300 * time.Millisecond, RequestTimeout: 2 * time.Second}
	if r.produce != nil {
		r.produce(&po)
	}
	if l.producer, err = produce.New(po); err != nil {
		r.t.Fatal(err)
	}
	fo := Options{Journal: l.main, Parked: l.parked, Producer: l.producer, Log: r.log, Metrics: l.metrics, TopicRetryMin: 100 * time.Millisecond}
	if r.forward != nil {
		r.forward(&fo)
	}
	if l.forwarder, err = New(fo); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.produced <- l.producer.Run(ctx) }()
	return ctx
}

// stop ends a life in order.
func (r *rig) stop() {
	r.t.Helper()
	if r.cancel != nil { // else it was opened only
		r.halt()
	}
	for name, j := range map[string]*journal.Journal{"main": r.main, "parked": r.parked} {
		if err := j.Close(); err != nil {
			r.t.Errorf("close %s: %v", name, err)
		}
	}
	r.life = nil
}

// halt ends forwarder and producer.
func (r *rig) halt() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("run: %v", err)
	}
	if err := <-r.produced; err != nil {
		r.t.Errorf("run producer: %v", err)
	}
	r.producer.Close()
	r.conn.Close()
}

// kill ends a life as kill -9 does: what was written to the disk so far is all that is left.
func (r *rig) kill() {
	r.t.Helper()
	r.die()
	r.disk.Revive()
}

// die ends a life at once: nothing reaches the disk any more.
func (r *rig) die() {
	r.t.Helper()
	r.disk.Cut()
	l := r.life
	r.life = nil
	l.cancel()
	<-l.ended
	<-l.produced
	l.producer.Close()
	l.conn.Close()
	_ = l.main.Close() // errors are what is to be expected of the dead
	_ = l.parked.Close()
}

// callback returns an app's next callback for a topic; its body says which one it is.
func (r *rig) callback(topic string, app int64) *schema.Callback {
	key := topic + strconv.FormatInt(app, 10)
	r.seq[key]++
	return &schema.Callback{
		Gateway: []byte("gw"), AppID: app, Command: []byte(schema.CommandQuotaAlarm),
		ReceivedAt: time.UnixMilli(1_700_000_000_000).UTC(), Body: []byte(strconv.Itoa(r.seq[key] - 1)),
	}
}

// append appends one entry for each app and returns the last ticket.
func (r *rig) append(topic string, apps ...int64) (last journal.Ticket) {
	r.t.Helper()
	for _, app := range apps {
		last = r.appendCallback(topic, r.callback(topic, app))
	}
	return last
}

func (r *rig) appendCallback(topic string, c *schema.Callback) journal.Ticket {
	r.t.Helper()
	var ticket journal.Ticket
	eventually(r.t, "the journal takes an entry", func() bool {
		var err error
		ticket, err = r.main.Append(false, func(dst []byte) []byte { return entry.Append(dst, topic, c) })
		if err != nil && !errors.Is(err, journal.ErrBusy) {
			r.t.Fatalf("append: %v", err)
		}
		return err == nil
	})
	return ticket
}

// synced waits until an entry is durable.
func (r *rig) synced(ticket journal.Ticket) {
	r.t.Helper()
	durable(r.t, r.main, ticket)
}

// durable waits longer than a journal's deadline does.
func durable(t testing.TB, j *journal.Journal, ticket journal.Ticket) {
	t.Helper()
	if err := j.Wait(ticket, journal.Disk); err != nil {
		eventually(t, "the entry is durable", func() bool { return j.Stats().Synced >= ticket.LSN })
	}
}

// drain waits until all is delivered.
func (r *rig) drain() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.forwarder.Drain(ctx); err != nil {
		r.t.Fatalf("drain: %v; journal %+v, parked %+v", err, r.main.Stats(), r.parked.Stats())
	}
}

// delivered is one record as it was fetched.
type delivered struct {
	partition int32
	id        string
	app       string
	n         int
}

// fetch returns all records of a topic, in order per partition.
func (r *rig) fetch(topic string) (got []delivered) {
	r.t.Helper()
	want := int64(0)
	for _, p := range r.cluster.PartitionInfos(topic) {
		want += p.HighWatermark
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for int64(len(got)) < want {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("fetched %d of %d records in 30 s", len(got), want)
		}
		for rec := range fetches.RecordsAll() {
			got = append(got, r.read(rec))
		}
	}
	return got
}

// read checks a record against the contract and returns what tests look at.
func (r *rig) read(rec *kgo.Record) delivered {
	r.t.Helper()
	record := schema.Record{Key: rec.Key, Value: rec.Value}
	for _, h := range rec.Headers {
		record.Headers = append(record.Headers, schema.Header{Key: h.Key, Value: h.Value})
	}
	c, err := schema.ParseCallback(&record)
	if err != nil {
		r.t.Fatalf("record at %d/%d breaks the contract: %v", rec.Partition, rec.Offset, err)
	}
	n, err := strconv.Atoi(string(c.Body[:min(len(c.Body), 12)]))
	if err != nil {
		n = -1
	}
	return delivered{rec.Partition, c.ID.String(), string(rec.Key), n}
}

// inOrder fails unless each app's records are there from its first to its last, in order;
// duplicates (equal ids) are passed over and counted.
func (r *rig) inOrder(topic string, got []delivered) (duplicates int) {
	r.t.Helper()
	next, seen := map[string]int{}, map[string]bool{}
	for _, d := range got {
		if seen[d.id] {
			duplicates++
			continue
		}
		seen[d.id] = true
		if d.n != next[d.app] {
			r.t.Fatalf("%s, app %s: record %d came where %d was due", topic, d.app, d.n, next[d.app])
		}
		next[d.app]++
	}
	for app, n := range next {
		if want := r.seq[topic+app]; n != want {
			r.t.Errorf("%s, app %s: %d records, want %d", topic, app, n, want)
		}
	}
	total := 0
	for key, n := range r.seq {
		if len(key) > len(topic) && key[:len(topic)] == topic && next[key[len(topic):]] != n {
			r.t.Errorf("%s: %d records, want %d", key, next[key[len(topic):]], n)
		}
		total += n
	}
	if total == 0 {
		r.t.Fatal("nothing was appended: the test shows nothing")
	}
	return duplicates
}

// apps returns n app ids.
func apps(n int) (list []int64) {
	for i := range n {
		list = append(list, 1_400_000_001+int64(i))
	}
	return list
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // a polling distance, not a wait
	}
}
