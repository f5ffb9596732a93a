package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sys/unix"
)

// retention is how long topics of the embedded broker and those that CreateTopics makes
// keep their records. It is always set explicitly: journals may hold entries for hours.
const retention = 7 * 24 * time.Hour

// BrokerOptions configure an embedded broker.
type BrokerOptions struct {
	DataDir string    // topics, records and group offsets; made where missing
	Ports   []int     // one node each, on 127.0.0.1; nil: one node, a free port
	Log     io.Writer // the broker's warnings; nil: none
}

// Broker is an embedded Kafka broker that syncs every batch to its data folder before it
// answers. It can go away and come back, at the same addresses and with its data. All
// methods may be called from any goroutine.
type Broker struct {
	options BrokerOptions
	ports   []int

	mu      sync.Mutex
	cluster *kfake.Cluster // guarded by mu; nil: away
	lock    *os.File       // guarded by mu: held while the cluster runs
}

// StartBroker starts a broker. It serves when it returns.
func StartBroker(o BrokerOptions) (*Broker, error) {
	if o.DataDir == "" {
		return nil, errors.New("start broker: no data folder")
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	b := &Broker{options: o, ports: slices.Clone(o.Ports)}
	if len(b.ports) == 0 {
		b.ports = []int{0}
	}
	if err := b.Start(); err != nil {
		return nil, err
	}
	return b, nil
}

// Start brings a stopped broker back: same addresses, same data. ErrState where it runs.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		return fmt.Errorf("start broker: it runs: %w", ErrState)
	}
	lock, err := lockFolder(b.options.DataDir)
	if err != nil {
		return err
	}
	if b.cluster, err = b.newCluster(); err != nil {
		lock.Close()
		return err
	}
	b.lock = lock
	return nil
}

// lockFolder takes the folder for this process: two brokers that write the same files
// would destroy them. The lock goes with the process.
func lockFolder(folder string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(folder, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		file.Close()
		return nil, fmt.Errorf("start broker: %s is in use by another process: %w: %w", folder, ErrState, err)
	}
	return file, nil
}

// newCluster starts the nodes. Called with b.mu held.
func (b *Broker) newCluster() (*kfake.Cluster, error) {
	milliseconds := strconv.FormatInt(retention.Milliseconds(), 10)
	options := []kfake.Opt{
		kfake.NumBrokers(len(b.ports)), kfake.Ports(b.ports...),
		kfake.DataDir(b.options.DataDir), kfake.SyncWrites(), kfake.ClusterID("tidegate-local"),
		kfake.BrokerConfigs(map[string]string{"log.retention.ms": milliseconds, "log.retention.bytes": "-1"}),
	}
	if b.options.Log != nil {
		options = append(options, kfake.WithLogger(kfake.BasicLogger(b.options.Log, kfake.LogLevelWarn)))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	ports, err := portsOf(cluster.ListenAddrs())
	if err != nil {
		cluster.Close()
		return nil, err
	}
	b.ports = ports
	return cluster, nil
}

func portsOf(addresses []string) ([]int, error) {
	var ports []int
	for _, address := range addresses {
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// Stop takes the broker away: connections break, its addresses refuse. What it answered is
// on disk. It does nothing where the broker is away already.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster != nil {
		b.cluster.Close()
		b.lock.Close()
		b.cluster, b.lock = nil, nil
	}
}

// Addrs returns the nodes' addresses, which stay the same while the broker is away.
func (b *Broker) Addrs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	addresses := make([]string, len(b.ports))
	for i, port := range b.ports {
		addresses[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return addresses
}

// Fault installs faults in the running broker; they end with it. ErrState where it is away.
func (b *Broker) Fault(faults ...kfake.Fault) (*kfake.FaultHandle, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster == nil {
		return nil, fmt.Errorf("install faults: the broker is away: %w", ErrState)
	}
	return b.cluster.Fault(faults...), nil
}
