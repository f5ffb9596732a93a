package forward

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/benchmarks/rounds"
	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// clientRecords is how many records each client sends in its turn.
const clientRecords = 200_000

// clientLanes is the number of partitions.
const clientLanes = 3

// clientBatch is how many entries share a sync in the journal that is read: as many as a gateway
// has that takes some 20,000 callbacks a second.
const clientBatch = 16

// forwarderTurn is the name of the turn that the others are compared with. It is the last of a
// round, as it settles the entries.
const forwarderTurn = "forwarder"

// BenchmarkClients sends the same quota alarms of 64 apps to the same real Kafka
// (TIDEGATE_BENCH_BROKERS), all in-sync replicas answering, uncompressed, to a topic of three
// partitions. In a round the clients take turns, each from its making until the last
// record is answered:
//
//   - forwarder: a Forwarder from a journal on disk, by way of reading, checking and decoding
//     the entries, to all settled; without its pace, which is there to be slower.
//   - franz-go: kgo, idempotent as it is by default, with records that lie ready in memory.
//   - franz-go-journal: the least that a forwarder over kgo would do: read the journal, decode,
//     make a kgo.Record of each entry, produce.
//   - writer: kafka-go's Writer, with messages that lie ready in memory; it is not idempotent.
//
// x-franz-go and its like are the forwarder's records a second over the other's; us-cpu/record
// is what this process spent, the broker's part is not in it.
func BenchmarkClients(b *testing.B) {
	brokers := os.Getenv("TIDEGATE_BENCH_BROKERS")
	if brokers == "" {
		b.Skip("TIDEGATE_BENCH_BROKERS names no Kafka")
	}
	r := newClientsRig(b, strings.Split(brokers, ","))
	turns := []struct {
		name    string
		prepare func(b *testing.B, topic string) (send func())
	}{{"franz-go", r.franz}, {"franz-go-journal", r.franzJournal}, {"writer", r.writer}, {forwarderTurn, r.forwarder}}
	var f rounds.Figures
	for b.Loop() {
		took := map[string]time.Duration{}
		topic := r.topic(b)
		r.fill(b, topic)
		for n, turn := range turns {
			send := turn.prepare(b, topic)
			runtime.GC()
			cpu, began := rounds.CPU(), time.Now()
			pprof.Do(context.Background(), pprof.Labels("turn", turn.name), func(context.Context) { send() })
			took[turn.name], cpu = time.Since(began), rounds.CPU()-cpu
			f.Add(turn.name+"-records/s", clientRecords/took[turn.name].Seconds())
			f.Add(turn.name+"-us-cpu/record", float64(cpu.Microseconds())/clientRecords)
			r.taken(b, topic, int64(n+1)*clientRecords)
		}
		for _, turn := range turns[:len(turns)-1] {
			f.AddRatio("x-"+turn.name, took[turn.name].Seconds(), took[forwarderTurn].Seconds())
		}
		r.remove(b, topic)
	}
	f.Report(b.ReportMetric)
}

// clientsRig is what the clients share.
type clientsRig struct {
	brokers      []string
	main, parked *journal.Journal
	callbacks    []schema.Callback
	first        journal.LSN // of the present round's entries
	round        int
	run          string // makes topics of this run new
}

func newClientsRig(b *testing.B, brokers []string) *clientsRig {
	b.Helper()
	r := &clientsRig{brokers: brokers, run: strconv.FormatInt(time.Now().UnixMilli(), 36)}
	open := func(name string, budget int64, payload int) *journal.Journal {
		j, err := journal.Open(journal.Options{Dir: filepath.Join(b.TempDir(), name), MaxBytes: budget, MaxPayload: payload, Retain: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := j.Close(); err != nil {
				b.Error(err)
			}
		})
		return j
	}
	r.main, r.parked = open("main", 1<<30, 64<<10), open("parked", 64<<20, 64<<10+EnvelopeBytes)
	body := []byte(strings.Repeat(`{"CallbackCommand":"Group.CallbackAfterGroupFull","QuotaUsed":"9123"}`, 2)[:120])
	for _, app := range apps(64) {
		c := schema.Callback{Gateway: []byte("gateway-1"), AppID: app, Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: time.Now(), Body: body}
		c.Attributes[schema.AttributeClientIP] = []byte("127.0.0.1")
		c.Attributes[schema.AttributeRequestTime] = []byte("1763000000")
		r.callbacks = append(r.callbacks, c)
	}
	return r
}

// topic makes a new topic for a round.
func (r *clientsRig) topic(b *testing.B) string {
	b.Helper()
	r.round++
	name := fmt.Sprintf("bench.%s.%d", r.run, r.round)
	res, err := r.client().CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: clientLanes, ReplicationFactor: -1}}})
	if err != nil || res.Errors[name] != nil {
		b.Fatalf("make topic: %v, %v", err, res)
	}
	eventually(b, "all partitions have leaders", func() bool {
		m, err := r.client().Metadata(context.Background(), &kafka.MetadataRequest{Topics: []string{name}})
		if err != nil || len(m.Topics) != 1 || len(m.Topics[0].Partitions) != clientLanes {
			return false
		}
		for _, p := range m.Topics[0].Partitions {
			if p.Error != nil || p.Leader.Host == "" {
				return false
			}
		}
		return true
	})
	return name
}

func (r *clientsRig) client() *kafka.Client { return &kafka.Client{Addr: kafka.TCP(r.brokers...)} }

// fill appends the entries, and waits until they are durable.
func (r *clientsRig) fill(b *testing.B, topic string) {
	b.Helper()
	r.first = r.main.Synced() + 1
	for i := range clientRecords {
		c := &r.callbacks[i%len(r.callbacks)]
		ticket, err := r.main.Append(false, func(dst []byte) []byte { return entry.Append(dst, topic, c) })
		if err != nil {
			b.Fatal(err)
		}
		if i%clientBatch == clientBatch-1 {
			durable(b, r.main, ticket)
		}
	}
	eventually(b, "all is durable", func() bool { s := r.main.Stats(); return s.Synced == s.Appended })
}

// taken fails unless Kafka has so many records of the topic.
func (r *clientsRig) taken(b *testing.B, topic string, want int64) {
	b.Helper()
	var ask []kafka.OffsetRequest
	for p := range clientLanes {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	res, err := r.client().ListOffsets(context.Background(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		b.Fatal(err)
	}
	total := int64(0)
	for _, p := range res.Topics[topic] {
		total += p.LastOffset
	}
	if total != want {
		b.Fatalf("%s has %d records, sent were %d", topic, total, want)
	}
}

// remove gives back what the round took on the broker's disk.
func (r *clientsRig) remove(b *testing.B, topic string) {
	b.Helper()
	if _, err := r.client().DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil {
		b.Fatal(err)
	}
}

// forwarder forwards what was filled in. It begins where the rounds before ended, as a process
// that starts has it from its checkpoint.
func (r *clientsRig) forwarder(b *testing.B, topic string) (send func()) {
	return func() {
		conn, err := kafkaconn.Open(kafkaconn.Flags{Brokers: r.brokers}, "bench")
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		p, err := produce.New(produce.Options{Conn: conn})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		f, err := New(Options{Journal: r.main, Parked: r.parked, Producer: p, Topics: []string{topic}, unpaced: true})
		if err != nil {
			b.Fatal(err)
		}
		f.settled, f.liveLSN = r.first-1, r.first-1
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = p.Run(ctx) }) // never an error
		wg.Go(func() {
			if err := f.Run(ctx); err != nil {
				b.Error(err)
			}
		})
		bound, done := context.WithTimeout(ctx, time.Minute)
		defer done()
		if err := f.Drain(bound); err != nil {
			b.Errorf("drain: %v", err)
		}
		cancel()
		wg.Wait()
	}
}

// kgoClient makes a client that is as willing as the others: uncompressed, and with room for
// more records than it can have in flight.
func (r *clientsRig) kgoClient(b *testing.B, topic string) *kgo.Client {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(50_000))
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// template is the record of an app's callbacks; they differ in their ids only, which are as long.
func (r *clientsRig) template(i int) schema.Record {
	c := r.callbacks[i%len(r.callbacks)]
	c.ID = schema.CallbackID{Journal: r.main.ID(), LSN: uint64(r.first)}
	return c.Record("")
}

func (r *clientsRig) franz(b *testing.B, topic string) (send func()) {
	var headers [][]kgo.RecordHeader
	for i := range r.callbacks {
		headers = append(headers, kgoHeaders(r.template(i).Headers))
	}
	records := make([]*kgo.Record, clientRecords)
	for i := range records {
		t := r.template(i)
		records[i] = &kgo.Record{Key: t.Key, Value: t.Value, Headers: headers[i%len(headers)]}
	}
	return func() {
		client := r.kgoClient(b, topic)
		defer client.Close()
		answered := &promises{}
		for _, record := range records {
			client.Produce(context.Background(), record, answered.take)
		}
		answered.await(b, client)
	}
}

// franzJournal makes a record of each entry with memory of its own, as kgo keeps records until
// they are answered and the reader's views do not last.
func (r *clientsRig) franzJournal(b *testing.B, topic string) (send func()) {
	return func() {
		client := r.kgoClient(b, topic)
		defer client.Close()
		answered := &promises{}
		reader := r.main.Reader(r.first)
		defer reader.Close()
		var headers []schema.Header
		for {
			e, ok, err := reader.Next()
			if err != nil {
				b.Fatal(err)
			}
			if !ok {
				break
			}
			parsed, err := entry.Parse(append([]byte(nil), e.Payload...))
			if err != nil {
				b.Fatal(err)
			}
			c := &parsed.Callback
			c.ID = schema.CallbackID{Journal: r.main.ID(), LSN: uint64(e.LSN)}
			headers, _ = c.AppendHeaders(headers[:0], make([]byte, 0, 192))
			client.Produce(context.Background(), &kgo.Record{Key: c.AppendKey(nil), Value: c.Body, Headers: kgoHeaders(headers)}, answered.take)
		}
		answered.await(b, client)
	}
}

func kgoHeaders(headers []schema.Header) []kgo.RecordHeader {
	list := make([]kgo.RecordHeader, len(headers))
	for i, h := range headers {
		list[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return list
}

// promises counts what kgo promises.
type promises struct {
	n      atomic.Int64
	failed atomic.Pointer[error]
}

func (a *promises) take(_ *kgo.Record, err error) {
	a.n.Add(1)
	if err != nil {
		a.failed.Store(&err)
	}
}

func (a *promises) await(b *testing.B, client *kgo.Client) {
	b.Helper()
	if err := client.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := a.failed.Load(); err != nil {
		b.Fatal(*err)
	}
	if n := a.n.Load(); n != clientRecords {
		b.Fatalf("%d answers, sent were %d", n, clientRecords)
	}
}

// writer has no order to keep within a key beyond that of one call, so it may have several
// batches of a partition filled at once: a call brings enough for all lanes.
func (r *clientsRig) writer(b *testing.B, topic string) (send func()) {
	messages := make([]kafka.Message, clientRecords)
	headers := make([][]kafka.Header, len(r.callbacks))
	for i := range messages {
		t := r.template(i)
		if i < len(headers) {
			for _, h := range t.Headers {
				headers[i] = append(headers[i], kafka.Header{Key: h.Key, Value: h.Value})
			}
		}
		messages[i] = kafka.Message{Key: t.Key, Value: t.Value, Headers: headers[i%len(headers)]}
	}
	return func() {
		w := &kafka.Writer{
			Addr: kafka.TCP(r.brokers...), Topic: topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
			BatchSize: 1000, BatchBytes: 512 << 10, BatchTimeout: 5 * time.Millisecond,
		}
		for len(messages) > 0 {
			n := min(len(messages), 20_000)
			if err := w.WriteMessages(context.Background(), messages[:n]...); err != nil {
				b.Fatal(err)
			}
			messages = messages[n:]
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
