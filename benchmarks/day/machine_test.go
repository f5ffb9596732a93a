package day

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tidegate/tidegate/benchmarks/day/clock"
	"github.com/tidegate/tidegate/benchmarks/day/plan"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// machine is everything that runs: the binaries and what they need.
type machine struct {
	t      *testing.T
	plan   *plan.Plan
	clock  *clock.Clock
	folder string
	kafka  kafkaconn.Flags
	topics schema.Topics
	from   stack.Position // where the topics ended before the day

	storeURL   string
	shared     bool // more than one consumer may have it
	db         *sql.DB
	relay      *relay
	gateway    *stack.Child
	gatewayURL string
	consumers  []*stack.Child // those that run, or stand
	born       int            // how many there ever were
	faults     map[string]int
}

// session is how long a consumer may be silent before others get its partitions: the shortest
// that brokers permit as they come.
const session = 6 * time.Second

// patience bounds every wait for something that must come.
const patience = 90 * time.Second

// newMachine builds the binaries and starts everything but consumers.
func newMachine(t *testing.T, p *plan.Plan) *machine {
	t.Helper()
	m := &machine{t: t, plan: p, folder: t.TempDir(), faults: map[string]int{}}
	began := time.Now()
	if err := clock.Build(m.folder, "github.com/tidegate/tidegate/gateway", "github.com/tidegate/tidegate/consumer"); err != nil {
		t.Fatal(err)
	}
	t.Logf("binaries built in %s", time.Since(began).Round(time.Second))
	var err error
	if m.clock, err = clock.New(m.folder, p.Waves[0].At); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.clock.Close() })
	t.Setenv(clock.Variable, m.clock.Path())
	m.openKafka()
	m.openStore()
	m.relay = newRelay(t, m.clock, os.Getenv("TIDEGATE_TEST_ALERTMANAGER"))
	m.write("apps.yaml", p.AppsFile())
	m.write("notify.yaml", fmt.Sprintf("channels:\n  - {name: oncall, type: alertmanager, url: %q}\nrules: []\ndefault: [oncall]\n", m.relay.url()))
	m.startGateway()
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.folder, name) }

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// openKafka takes the cluster that is given, or an embedded broker, and makes topics there that
// keep what is dated long ago.
func (m *machine) openKafka() {
	t := m.t
	t.Helper()
	if brokers := os.Getenv("TIDEGATE_TEST_BROKERS"); brokers != "" {
		m.kafka.Brokers = strings.Split(brokers, ",")
	} else {
		broker, err := stack.StartBroker(stack.BrokerOptions{DataDir: m.path("broker")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(broker.Stop)
		m.kafka.Brokers = broker.Addrs()
	}
	m.kafka.TopicPrefix = "day-" + strings.ToLower(rand.Text()[:8]) + "."
	m.topics = schema.NewTopics(m.kafka.TopicPrefix)
	if err := stack.CreateTopics(t.Context(), m.kafka, stack.DefaultPartitions); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(m.kafka.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, topic := range m.topics.All() {
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = "retention.ms", kmsg.StringPtr("-1")
		resource.Configs = append(resource.Configs, config)
		request.Resources = append(request.Resources, resource)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // new topics are not known everywhere at once
		if err = keep(t.Context(), client, request); err == nil {
			m.from, err = stack.Ends(t.Context(), m.kafka, m.topics.All()...)
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// keep changes the topics' settings.
func keep(ctx context.Context, client *kgo.Client, request *kmsg.IncrementalAlterConfigsRequest) error {
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, r := range answer.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("keep %s: %w", r.ResourceName, err)
		}
	}
	return nil
}

// openStore takes the PostgreSQL that is given, in a schema of its own, or a file for SQLite.
func (m *machine) openStore() {
	t := m.t
	t.Helper()
	server := os.Getenv("TIDEGATE_TEST_POSTGRES")
	if server == "" {
		m.storeURL = "sqlite:" + m.path("tidegate.db")
		m.open("sqlite", "file:"+m.path("tidegate.db")+"?mode=ro&_pragma=busy_timeout(5000)")
		return
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("TIDEGATE_TEST_POSTGRES is no URL")
	}
	query := u.Query()
	own := "day_" + strings.ToLower(rand.Text())
	query.Set("search_path", own)
	u.RawQuery = query.Encode()
	m.storeURL, m.shared = u.String(), true
	password, err := os.ReadFile(query.Get("password_file"))
	if err != nil {
		t.Fatal(err)
	}
	query.Del("password_file")
	query.Set("password", strings.TrimSpace(string(password)))
	u.RawQuery = query.Encode()
	m.open("pgx", u.String())
	if _, err := m.db.Exec("CREATE SCHEMA " + own); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := m.db.Exec("DROP SCHEMA " + own + " CASCADE"); err != nil {
			t.Error(err)
		}
	})
}

func (m *machine) open(driver, name string) {
	m.t.Helper()
	var err error
	if m.db, err = sql.Open(driver, name); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.db.Close() })
}

// child returns a binary that is not started; its lines go to a file of its own.
func (m *machine) child(binary, name, admin string, args ...string) *stack.Child {
	m.t.Helper()
	log, err := os.Create(m.path(name + ".log"))
	if err != nil {
		m.t.Fatal(err)
	}
	c := stack.NewChild(stack.ChildOptions{
		Name: name, Path: m.path(binary), Log: log, Ready: "http://" + admin + "/readyz",
		Args: append(append(args, "--admin-listen="+admin, "--apps="+m.path("apps.yaml")), stack.KafkaFlags(m.kafka)...),
	})
	m.t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			m.t.Error(err)
		}
		log.Close()
		if m.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			m.t.Logf("the end of %s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return c
}

func (m *machine) startGateway() {
	m.t.Helper()
	free, err := stack.FreeAddresses(2)
	if err != nil {
		m.t.Fatal(err)
	}
	m.gatewayURL = "http://" + free[0] + "/"
	m.gateway = m.child("gateway", "gateway", free[1], "--listen="+free[0], "--journal-dir="+m.path("journal"), "--gateway-name=day")
	m.start(m.gateway)
}

// start starts a child and waits until it is ready.
func (m *machine) start(c *stack.Child) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	if err := c.Ready(ctx); err != nil {
		m.t.Fatal(err)
	}
}

// add starts one more consumer, without waiting for it.
func (m *machine) add() *stack.Child {
	m.t.Helper()
	free, err := stack.FreeAddresses(1)
	if err != nil {
		m.t.Fatal(err)
	}
	m.born++
	c := m.child("consumer", fmt.Sprintf("consumer-%d", m.born), free[0], "--store="+m.storeURL,
		"--notify="+m.path("notify.yaml"), "--session-timeout="+session.String(), "--group="+m.kafka.TopicPrefix+"day")
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.consumers = append(m.consumers, c)
	return c
}
