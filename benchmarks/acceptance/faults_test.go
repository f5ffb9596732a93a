package acceptance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// withoutAnswer bounds what the sender gives an answer, a little over the vendor's 2 s.
const withoutAnswer = "--timeout=3s"

// count says how many entries pass.
func count(entries []ledger.Entry, pass func(*ledger.Entry) bool) int {
	n := 0
	for i := range entries {
		if pass(&entries[i]) {
			n++
		}
	}
	return n
}

// Promise: the consumer killed (-9): each alarm one row, at least one event, all copies
// byte-identical, dead letters equal as a set.
func TestProofConsumerKilled(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=32", "--malformed=0.05")
	n := min(kills(t), consumerKills)
	for range n {
		// A killed member is missed only after its session's timeout, so there is a backlog for
		// its successor to be killed over.
		load.progress(perSecond)
		before := len(s.rows(0))
		s.eventually("the consumer works", func() error {
			if now := len(s.rows(0)); now <= before {
				return fmt.Errorf("%d rows, %d before", now, before)
			}
			return nil
		})
		if err := s.stack.Consumer().Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.stack.Consumer().Start(); err != nil {
			t.Fatal(err)
		}
	}
	load.progress(perSecond)
	entries := load.end()
	s.row.Faults = n
	s.atMost(0)
	s.proof("consumer killed (-9)", entries)
	s.consumed(entries)
}

// consumerKills bounds the kills of the consumer, each of which takes a session's timeout.
const consumerKills = 3

// Promise: Kafka away under load, each app sending its next callback after the last
// answer: still 200, and afterwards everything is there, in order per app, no duplicate.
func TestProofKafkaKilled(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--sequential", "--connections=64", withoutAnswer)
	load.progress(perSecond)
	bringBack := s.takeKafkaAway()
	began := time.Now()
	load.progress(int(outage(t).Seconds() * float64(perSecond)))
	t.Logf("Kafka was away for %s", time.Since(began).Round(time.Millisecond))
	bringBack()
	load.progress(perSecond)
	entries := load.end()
	for i := range entries {
		if !entries[i].Accepted() {
			t.Errorf("not answered 200: %s", entries[i].String())
		}
	}
	s.atMost(0)
	s.proof("Kafka killed whole (-9), each app sending after its last answer", entries)
	s.consumed(entries)
}

// A machine that stalls (SIGSTOP): nothing is lost, nothing comes twice under another id, and the
// gateway goes on by itself.
func TestProofStalledProcesses(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=32", "--timeout=1s")
	load.progress(perSecond)
	gateway, consumer := s.stack.Gateway(), s.stack.Consumer()
	if err := consumer.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Pause(); err != nil {
		t.Fatal(err)
	}
	load.failures(32*max(1, int(stall(t).Seconds())), ledger.FailureTimeout) // each connection gives one request up in a second
	if err := gateway.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := consumer.Resume(); err != nil {
		t.Fatal(err)
	}
	load.progress(perSecond)
	entries := load.end()
	if n := count(entries, func(e *ledger.Entry) bool { return e.Failure == ledger.FailureTimeout }); n < 32 {
		t.Errorf("%d requests timed out, want at least 32", n)
	}
	s.row.Faults = 1
	s.atMost(0)
	s.proof(fmt.Sprintf("gateway and consumer stalled (SIGSTOP) for %s", stall(t)), entries)
	s.consumed(entries)
}

// Readiness and liveness of the gateway do not depend on Kafka.
func TestGatewayIsReadyWithoutKafka(t *testing.T) {
	s := newScene(t, 1, nil)
	bringBack := s.takeKafkaAway()
	defer bringBack()
	load := s.load("--requests=50", "--connections=4")
	for _, e := range load.entries() {
		if !e.Accepted() {
			t.Errorf("not answered 200: %s", e.String())
		}
	}
	for _, path := range []string{"/readyz", "/livez"} {
		response, err := http.Get(s.stack.GatewayAdminURL() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}
