package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// size returns the number in an environment variable, or its default.
func size(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a positive number", name, text)
	}
	return n
}

func rate(t *testing.T) int  { return size(t, "TIDEGATE_TEST_RATE", 400) }
func kills(t *testing.T) int { return size(t, "TIDEGATE_TEST_KILLS", 2) }

// outage is how long Kafka is away.
func outage(t *testing.T) time.Duration {
	t.Helper()
	return length(t, "TIDEGATE_TEST_OUTAGE", 6*time.Second)
}

// stall is how long a stalled process stands.
func stall(t *testing.T) time.Duration {
	t.Helper()
	return length(t, "TIDEGATE_TEST_STALL", time.Second)
}

// length returns the duration in an environment variable, or its default.
func length(t *testing.T, name string, def time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q: want a duration", name, text)
	}
	return d
}

// seed is what the moments of random faults are drawn by; it is printed, and in the row.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(size(t, "TIDEGATE_TEST_SEED", int(time.Now().UnixNano()%1_000_000_000))) //nolint:gosec // positive
	t.Logf("TIDEGATE_TEST_SEED=%d", n)
	return n
}

// cluster is how the tests and each binary reach a Kafka that is there.
type cluster struct {
	admin, gateway, consumer kafkaconn.Flags
}

// given returns the cluster of the environment, nil where there is none: then each
// scenario has an embedded broker.
func given(t *testing.T) *cluster {
	t.Helper()
	brokers := os.Getenv("TIDEGATE_TEST_BROKERS")
	if brokers == "" {
		return nil
	}
	var base kafkaconn.Flags
	parser, err := kong.New(&base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(strings.Fields(os.Getenv("TIDEGATE_TEST_KAFKA_FLAGS"))); err != nil {
		t.Fatalf("TIDEGATE_TEST_KAFKA_FLAGS: %v", err)
	}
	base.Brokers = strings.Split(brokers, ",")
	as := func(user string) kafkaconn.Flags {
		f, secrets := base, os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS")
		if secrets != "" {
			f.TLS, f.TLSCA = true, filepath.Join(secrets, "ca.pem")
			f.SASL, f.SASLUser, f.SASLPasswordFile = "scram-sha-512", user, filepath.Join(secrets, user+".password")
		}
		return f
	}
	return &cluster{admin: as("admin"), gateway: as("gateway"), consumer: as("consumer")}
}

// ownTopics returns what gives a scene topics of its own, which it may change and delete. The
// users of a Kafka with users may use the project's topics only: there the test is skipped.
func ownTopics(t *testing.T) func(*stack.Options) {
	t.Helper()
	if os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS") != "" {
		skip(t, "the users of this Kafka may use the four topics only, and the scenario has its own")
	}
	prefix := fmt.Sprintf("own-%d.", nextApp.Add(1))
	return func(o *stack.Options) {
		o.Kafka.TopicPrefix, o.KeepTopics = prefix, false
		o.GatewayKafka, o.ConsumerKafka = nil, nil // without users all reach Kafka alike
	}
}

// takeKafkaAway stops the scenario's whole Kafka and returns how to bring it back.
func (s *scene) takeKafkaAway() (bringBack func()) {
	s.t.Helper()
	s.row.Faults++
	if broker := s.stack.Broker(); broker != nil {
		broker.Stop()
		return func() {
			if err := broker.Start(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.kafkaScript("kill-all")
	return func() { s.kafkaScript("restart-all") }
}

// kafkaScript has the script of the cluster do something to its nodes, such as to kill one. It
// skips the test where there is none.
func (s *scene) kafkaScript(args ...string) {
	s.t.Helper()
	script := os.Getenv("TIDEGATE_TEST_KAFKA_SH")
	if script == "" {
		s.t.Skip("TIDEGATE_TEST_KAFKA_SH is not set: no nodes to stop")
	}
	if out, err := exec.Command(script, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", script, args, err, out)
	}
}

// bin returns a binary, and fails the test where it was not built.
func bin(t *testing.T, name string) string {
	t.Helper()
	path, err := stack.Bin(name)
	if err != nil {
		t.Fatal(err) // says: run make build first
	}
	return path
}
