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

// Promise: the gateway killed (-9) under load: every callback answered 200 reaches Kafka.
func TestGatewayKilledUnderLoad(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=32", withoutAnswer, "--malformed=0.02")
	for range kills(t) {
		load.progress(perSecond)
		if err := s.stack.Gateway().Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.stack.Gateway().Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.stack.Ready(t.Context(), s.stack.Gateway()); err != nil {
			t.Fatal(err)
		}
	}
	load.progress(perSecond)
	if err := load.child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := load.entries()
	if n := count(entries, func(e *ledger.Entry) bool { return e.Failure != "" }); n == 0 {
		t.Error("no request met a killed gateway: the load was too low to prove anything")
	}
	// The contract's bound is what was delivered since the last checkpoint, which is written
	// every 100 ms, and one batch a lane; five times the interval, as the machine is shared. A
	// lane's batch is what came while its last request was under way: little with a broker
	// in memory, a second's worth and more where connecting takes as long.
	report := s.settled(entries)
	if bound := kills(t) * perSecond / 2; s.stack.Broker() != nil && report.Duplicates > bound {
		t.Errorf("%d duplicates after %d kills at %d/s, want at most %d", report.Duplicates, kills(t), perSecond, bound)
	}
	s.consumed(entries)
}

// Promise: the consumer killed (-9): each alarm one row, at least one event, all copies
// byte-identical, dead letters equal as a set.
func TestConsumerKilledUnderLoad(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=32", "--malformed=0.05")
	for range kills(t) {
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
	if err := load.child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := load.entries()
	s.settled(entries)
	s.consumed(entries)
}

// Promise: Kafka away under load, each app sending its next callback after the last
// answer: still 200, and afterwards everything is there, in order per app, no duplicate.
func TestKafkaAway(t *testing.T) {
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
	if err := load.child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := load.entries()
	for i := range entries {
		if !entries[i].Accepted() {
			t.Errorf("not answered 200: %s", entries[i].String())
		}
	}
	report := s.settled(entries)
	if report.Duplicates > 0 {
		t.Errorf("%d duplicates", report.Duplicates)
	}
	s.consumed(entries)
}

// A machine that stalls: nothing is lost, nothing comes twice under another id, and the
// gateway goes on by itself.
func TestStalledProcesses(t *testing.T) {
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
	load.failures(32, ledger.FailureTimeout) // each connection gave one request up
	if err := gateway.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := consumer.Resume(); err != nil {
		t.Fatal(err)
	}
	load.progress(perSecond)
	if err := load.child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries := load.entries()
	if n := count(entries, func(e *ledger.Entry) bool { return e.Failure == ledger.FailureTimeout }); n < 32 {
		t.Errorf("%d requests timed out, want at least 32", n)
	}
	s.settled(entries)
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
