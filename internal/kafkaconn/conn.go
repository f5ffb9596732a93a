package kafkaconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	// RequestTimeout bounds every call on Client, connecting included. A produce request
	// tells the broker half of it, so that the broker gives up first.
	RequestTimeout = 10 * time.Second

	// metadataTTL bounds how old the cluster's layout may be: how long a moved leader, a new
	// topic or a new partition goes unseen. kafka-go draws each pause from [0, TTL).
	metadataTTL = 2 * time.Second

	dialTimeout = 5 * time.Second
)

// Conn is a configured connection to one cluster. Nothing is dialled before the first call
// on its Client or Dialer. All methods may be called from any goroutine.
type Conn struct {
	brokers  []string
	clientID string
	tls      *tls.Config
	sasl     sasl.Mechanism
	client   *kafka.Client

	mu      sync.Mutex                       // held while current is replaced
	current atomic.Pointer[watchedTransport] // never nil
}

// watchedTransport is a transport, the topics that it keeps the layout of, and where it asks
// for that. Immutable: a new topic, or a node of an unknown address, makes a new one.
type watchedTransport struct {
	*kafka.Transport
	topics []string // sorted
	nodes  []string // sorted: the given brokers, and the nodes that the cluster has named
	addr   net.Addr // of nodes
}

// Open checks f, reads its files and returns a Conn that presents itself as clientID. It
// does not connect. Errors are mistakes in f or files that cannot be read; the caller stops.
func Open(f Flags, clientID string) (*Conn, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	tlsConfig, err := f.TLSConfig()
	if err != nil {
		return nil, err
	}
	mechanism, err := f.mechanism()
	if err != nil {
		return nil, err
	}
	c := &Conn{brokers: f.addresses(), clientID: clientID, tls: tlsConfig, sasl: mechanism}
	c.current.Store(c.newTransport([]string{}, nil))
	c.client = &kafka.Client{Addr: kafka.TCP(c.brokers...), Timeout: RequestTimeout, Transport: roundTripper{c}}
	return c, nil
}

// newTransport returns a transport whose layout covers topics, and which asks the given brokers
// and named, the nodes of the cluster, for it. topics is never nil: nil means every topic of the
// cluster to kafka-go, which is much on a shared one, and hides those that we may not see.
func (c *Conn) newTransport(topics, named []string) *watchedTransport {
	nodes := append(slices.Clone(c.brokers), named...)
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	return &watchedTransport{topics: topics, nodes: nodes, addr: kafka.TCP(nodes...), Transport: &kafka.Transport{
		ClientID: c.clientID, TLS: c.tls, SASL: c.sasl,
		DialTimeout: dialTimeout, MetadataTTL: metadataTTL, MetadataTopics: topics,
	}}
}

// Client returns the client, always the same one. Each call on it ends after RequestTimeout
// at the latest. Its Metadata answers from a layout that is up to two seconds old, and
// only about topics that it was asked about by name.
func (c *Conn) Client() *kafka.Client { return c.client }

// Dialer returns a new dialer for readers and consumer groups, configured as Client is.
func (c *Conn) Dialer() *kafka.Dialer {
	return &kafka.Dialer{ClientID: c.clientID, Timeout: dialTimeout, DualStack: true, TLS: c.tls.Clone(), SASLMechanism: c.sasl}
}

// Brokers returns the addresses to start from: those that were given, and those that the
// cluster has named as its nodes since. The caller may keep and change the slice.
func (c *Conn) Brokers() []string { return slices.Clone(c.current.Load().nodes) }

// Close closes the connections that are idle, and the others once they are. Calls under
// way go on to their end; callers end them by their contexts first.
func (c *Conn) Close() { c.current.Load().CloseIdleConnections() }

// Watch adds topics to those whose layout is kept. Requests that go to a partition's leader
// fail for topics that are not watched; Client does it by itself for the topics that a
// request names.
func (c *Conn) Watch(topics ...string) {
	if c.current.Load().covers(topics) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	all := append(slices.Clone(old.topics), topics...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == len(old.topics) {
		return
	}
	c.current.Store(c.newTransport(all, old.nodes))
	old.CloseIdleConnections()
}

// learn takes over the addresses of the cluster's nodes, as used has told them. kafka-go asks
// for the layout where it first asked and nowhere else: once all brokers that were given are
// replaced by others it would know for ever what it knew then. The old transport stays until a
// new one has the layout, so that nobody takes "not known yet" for "no such topic".
func (c *Conn) learn(ctx context.Context, used *watchedTransport, told *metadata.Response) {
	var named []string
	for _, b := range told.Brokers {
		named = append(named, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	if !slices.ContainsFunc(named, func(node string) bool { return !slices.Contains(used.nodes, node) }) {
		return
	}
	next := c.newTransport(used.topics, named)
	if _, err := next.RoundTrip(ctx, next.addr, &metadata.Request{TopicNames: used.topics}); err != nil {
		next.CloseIdleConnections() // the next question will tell of the same nodes
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current.CompareAndSwap(used, next) {
		next.CloseIdleConnections()
		return
	}
	used.CloseIdleConnections()
}

// covers reports whether every one of topics is watched.
func (w *watchedTransport) covers(topics []string) bool {
	for _, t := range topics {
		if _, found := slices.BinarySearch(w.topics, t); !found {
			return false
		}
	}
	return true
}

// roundTripper sends requests by the transport of the moment, after it made sure that the
// topics they name are watched, and learns from the answers where the cluster is.
type roundTripper struct{ c *Conn }

// RoundTrip implements kafka.RoundTripper. It knows better than its caller to which address.
func (r roundTripper) RoundTrip(ctx context.Context, _ net.Addr, req kafka.Request) (kafka.Response, error) {
	switch m := req.(type) {
	case *rawproduce.Request:
		for i := range m.Topics {
			r.c.Watch(m.Topics[i].Topic)
		}
	default:
		r.c.Watch(topicsOf(req)...)
	}
	t := r.c.current.Load()
	res, err := t.RoundTrip(ctx, t.addr, req)
	if told, ok := res.(*metadata.Response); ok && err == nil {
		r.c.learn(ctx, t, told)
	}
	if errors.Is(err, protocol.ErrNoTopic) {
		// Or the layout is not known, which kafka-go does not tell apart; a question about it does.
		if _, unknown := t.RoundTrip(ctx, t.addr, &metadata.Request{TopicNames: t.topics}); unknown != nil {
			return nil, unknown
		}
	}
	return res, err
}

// topicsOf returns the topics that a request is about, as far as their layout matters to
// it. Creating a topic counts: kafka-go then waits until the layout shows it.
func topicsOf(req protocol.Message) (topics []string) {
	switch m := req.(type) {
	case *metadata.Request:
		return m.TopicNames
	case *createtopics.Request:
		for i := range m.Topics {
			topics = append(topics, m.Topics[i].Name)
		}
	case *listoffsets.Request:
		for i := range m.Topics {
			topics = append(topics, m.Topics[i].Topic)
		}
	case *fetch.Request:
		for i := range m.Topics {
			topics = append(topics, m.Topics[i].Topic)
		}
	}
	return topics
}

// InitProducerID asks the cluster for a new producer id, once. Errors that wrap
// kafka.Error 14 or 15 are usual for seconds on a young cluster: the caller asks again,
// as it does after errors of the network.
func (c *Conn) InitProducerID(ctx context.Context) (id int64, epoch int16, err error) {
	// Both -1: "none yet". kafka-go would send 0, 0, which brokers take for a real one.
	res, err := c.client.InitProducerID(ctx, &kafka.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
	if err != nil {
		return 0, 0, fmt.Errorf("init producer id: %w", err)
	}
	if res.Error != nil {
		return 0, 0, fmt.Errorf("init producer id: %w", res.Error)
	}
	return int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch), nil
}

// askPause is the time between two questions of AskProducerID.
const askPause = 200 * time.Millisecond

// AskProducerID asks conn, a Conn, for a producer id until the answer is one that stays, and
// returns its error: a young cluster refuses for seconds. When ctx ends first, that is the
// last refusal. For `check`: the id is thrown away.
func AskProducerID(ctx context.Context, conn interface {
	InitProducerID(ctx context.Context) (id int64, epoch int16, err error)
},
) error {
	for {
		_, _, err := conn.InitProducerID(ctx)
		var passing interface{ Temporary() bool }
		if err == nil || !errors.As(err, &passing) || !passing.Temporary() {
			return err
		}
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
			return err
		}
	}
}
