package acceptance

import (
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

func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TIDEGATE_TEST_OUTAGE")
	if text == "" {
		return 6 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("TIDEGATE_TEST_OUTAGE=%q: want a duration", text)
	}
	return d
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

// takeKafkaAway stops the scenario's whole Kafka and returns how to bring it back.
func (s *scene) takeKafkaAway() (bringBack func()) {
	s.t.Helper()
	if broker := s.stack.Broker(); broker != nil {
		broker.Stop()
		return func() {
			if err := broker.Start(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	script := os.Getenv("TIDEGATE_TEST_KAFKA_SH")
	if script == "" {
		s.t.Skip("a Kafka that is there, and no TIDEGATE_TEST_KAFKA_SH to stop it with")
	}
	run := func(what string) {
		if out, err := exec.Command(script, what).CombinedOutput(); err != nil {
			s.t.Fatalf("%s %s: %v\n%s", script, what, err, out)
		}
	}
	run("kill-all")
	return func() { run("restart-all") }
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
