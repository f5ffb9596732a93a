package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// Options configure a stack. The zero value of a field means what its comment says.
type Options struct {
	DataDir  string // broker/, journal/, tidegate.db; made where missing; required
	AppsFile string // of both binaries; required
	BinDir   string // where gateway and consumer are; empty: see Bin

	Kafka         kafkaconn.Flags  // no brokers: the embedded one, with this prefix; else a cluster that is there
	GatewayKafka  *kafkaconn.Flags // of the gateway, where it has a user of its own; nil: Kafka
	ConsumerKafka *kafkaconn.Flags // of the consumer; nil: Kafka
	KeepTopics    bool             // do not create topics: they are there
	Partitions    int              // of topics that are created; 0: DefaultPartitions

	GatewayListen string   // empty: a free port of the loopback
	GatewayFlags  []string // further flags of the gateway
	ConsumerFlags []string // further flags of the consumer

	Log          io.Writer                   // takes the children's lines, each behind its child's name; nil: nowhere
	LogFile      func(name string) io.Writer // where given, takes a child's lines instead of Log
	ReadyTimeout time.Duration               // for each part; 0: 30 s
}

// Stack is a running set of parts. All methods may be called from any goroutine.
type Stack struct {
	options  Options
	kafka    kafkaconn.Flags
	broker   *Broker // nil: a cluster that was there
	gateway  *Child
	consumer *Child

	gatewayListen, gatewayAdmin, consumerAdmin string
}

// Start brings everything up, each part when the one before is ready, and returns when all
// are. On an error nothing is left running. Errors: ErrNotBuilt, ErrNotReady, an error that
// wraps ErrExited when a child ended at its start.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := s.bringUp(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stop))
	}
	return s, nil
}

// prepare checks the options, finds the binaries and chooses the ports.
func prepare(o Options) (*Stack, error) {
	if o.DataDir == "" || o.AppsFile == "" {
		return nil, errors.New("start stack: DataDir and AppsFile are needed")
	}
	if o.Partitions < 0 || o.Partitions > 10_000 {
		return nil, fmt.Errorf("start stack: %d partitions", o.Partitions)
	}
	if o.Partitions == 0 {
		o.Partitions = DefaultPartitions
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = 30 * time.Second
	}
	var err error
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return nil, fmt.Errorf("start stack: %w", err)
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start stack: %w", err)
	}
	s := &Stack{options: o, kafka: o.Kafka, gatewayListen: o.GatewayListen}
	addresses, err := FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	s.gatewayListen = cmp.Or(s.gatewayListen, addresses[0])
	s.gatewayAdmin, s.consumerAdmin = addresses[1], addresses[2]
	return s, nil
}

// bringUp starts the parts in order.
func (s *Stack) bringUp(ctx context.Context) error {
	gateway, err := binIn(s.options.BinDir, "gateway")
	if err != nil {
		return err
	}
	consumer, err := binIn(s.options.BinDir, "consumer")
	if err != nil {
		return err
	}
	if len(s.kafka.Brokers) == 0 {
		s.broker, err = StartBroker(BrokerOptions{DataDir: filepath.Join(s.options.DataDir, "broker"), Log: s.logOf("broker", nil)})
		if err != nil {
			return err
		}
		s.kafka.Brokers = s.broker.Addrs()
	}
	if !s.options.KeepTopics {
		if err := CreateTopics(ctx, s.kafka, s.options.Partitions); err != nil {
			return err
		}
	}
	var mu sync.Mutex // of the children's common output
	s.gateway = NewChild(ChildOptions{
		Name: "gateway", Path: gateway, Args: s.gatewayArgs(), Log: s.logOf("gateway", &mu),
		Ready: s.GatewayAdminURL() + "/readyz",
	})
	s.consumer = NewChild(ChildOptions{
		Name: "consumer", Path: consumer, Args: s.consumerArgs(), Log: s.logOf("consumer", &mu),
		Ready: s.ConsumerAdminURL() + "/readyz",
	})
	for _, child := range []*Child{s.gateway, s.consumer} {
		if err := child.Start(); err != nil {
			return err
		}
		if err := s.Ready(ctx, child); err != nil {
			return err
		}
	}
	return nil
}

// logOf returns where the lines of a part go. Children with the same mu share Log.
func (s *Stack) logOf(name string, mu *sync.Mutex) io.Writer {
	if s.options.LogFile != nil {
		return s.options.LogFile(name)
	}
	if s.options.Log == nil {
		return nil
	}
	if mu == nil {
		mu = &sync.Mutex{}
	}
	return &lines{mu: mu, out: s.options.Log, prefix: fmt.Sprintf("%-8s | ", name)}
}

func (s *Stack) gatewayArgs() []string {
	args := []string{
		"--listen=" + s.gatewayListen, "--admin-listen=" + s.gatewayAdmin, "--apps=" + s.options.AppsFile,
		"--journal-dir=" + s.JournalDir(), "--gateway-name=local",
	}
	return slices.Concat(args, KafkaFlags(s.kafkaOf(s.options.GatewayKafka)), s.options.GatewayFlags)
}

func (s *Stack) consumerArgs() []string {
	args := []string{"--admin-listen=" + s.consumerAdmin, "--apps=" + s.options.AppsFile, "--store=" + s.StoreURL()}
	return slices.Concat(args, KafkaFlags(s.kafkaOf(s.options.ConsumerKafka)), s.options.ConsumerFlags)
}

// kafkaOf returns a child's own connection, or the stack's.
func (s *Stack) kafkaOf(own *kafkaconn.Flags) kafkaconn.Flags {
	if own != nil {
		return *own
	}
	return s.kafka
}

// Ready waits until child is ready, for at most the stack's ReadyTimeout.
func (s *Stack) Ready(ctx context.Context, child *Child) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.ReadyTimeout)
	defer cancel()
	return child.Ready(ctx)
}

// Wait blocks until ctx ends (nil is returned) or a child exits unasked: then the error
// wraps ErrExited, the stack is over, and the caller stops it.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case err := <-s.gateway.Unasked():
		return err
	case err := <-s.consumer.Unasked():
		return err
	case <-ctx.Done():
		return nil
	}
}

// Stop ends the parts in order: gateway, consumer, broker. When ctx ends, what still runs
// is killed (ErrStopTimeout). All errors are returned. It may be called again.
func (s *Stack) Stop(ctx context.Context) error {
	var all error
	for _, child := range []*Child{s.gateway, s.consumer} {
		if child != nil {
			all = errors.Join(all, child.Stop(ctx))
		}
	}
	if s.broker != nil {
		s.broker.Stop()
	}
	return all
}

// Gateway returns the gateway's process.
func (s *Stack) Gateway() *Child { return s.gateway }

// Consumer returns the consumer's process.
func (s *Stack) Consumer() *Child { return s.consumer }

// Broker returns the embedded broker, nil where the stack uses a cluster that was there.
func (s *Stack) Broker() *Broker { return s.broker }

// Kafka returns how the stack's cluster is reached.
func (s *Stack) Kafka() kafkaconn.Flags { return s.kafka }

// Topics returns the names of the stack's topics.
func (s *Stack) Topics() schema.Topics { return schema.NewTopics(s.kafka.TopicPrefix) }

// GatewayURL returns where callbacks are posted.
func (s *Stack) GatewayURL() string { return "http://" + reachable(s.gatewayListen) + "/" }

// GatewayAdminURL returns the gateway's admin listener, without a slash at its end.
func (s *Stack) GatewayAdminURL() string { return "http://" + s.gatewayAdmin }

// ConsumerAdminURL returns the consumer's admin listener, without a slash at its end.
func (s *Stack) ConsumerAdminURL() string { return "http://" + s.consumerAdmin }

// JournalDir returns the gateway's journal folder.
func (s *Stack) JournalDir() string { return filepath.Join(s.options.DataDir, "journal") }

// StoreURL returns the consumer's --store.
func (s *Stack) StoreURL() string { return "sqlite:" + filepath.Join(s.options.DataDir, "tidegate.db") }

// reachable turns an address to listen on into one to connect to: ":8080" is every
// interface, and the loopback is one of them.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if address := net.ParseIP(host); host == "" || address != nil && address.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
