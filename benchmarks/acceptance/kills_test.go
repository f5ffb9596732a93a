package acceptance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/schema"
)

// mixedLoad sends at all ack levels, with room for those that wait for a broker in vain.
func (s *scene) mixedLoad(perSecond int) *run {
	s.t.Helper()
	mix := fmt.Sprintf("--mix=%s=4,%s=3,%s=4,%s=1", schema.CommandQuotaAlarm, commandDisk, commandMemory, commandBroker)
	return s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=128", withoutAnswer, "--malformed=0.02", mix)
}

// goOn lets everything go on for a while.
func (s *scene) goOn(d time.Duration) {
	s.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.t.Context().Done():
		s.t.Fatal(s.t.Context().Err())
	}
}

// The random moments of a kill.
const (
	soonest  = 50 * time.Millisecond // after the gateway was ready
	latest   = 1500 * time.Millisecond
	starting = 150 * time.Millisecond // after it was started: it may recover, take over or serve
)

// Promise: the gateway killed (-9) under load, at any moment and over and over, also while it
// recovers from the last kill: every callback answered 200 at ack level disk or broker reaches
// Kafka, in order per app, whatever was answered from memory between them.
func TestProofGatewayKilled(t *testing.T) {
	s := mixedScene(t, 64)
	perSecond, n := rate(t), kills(t)
	s.row.Seed = seed(t)
	random := rand.New(rand.NewPCG(s.row.Seed, 0))
	load := s.mixedLoad(perSecond)
	load.progress(perSecond / 2)
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	for len(s.row.Kills) < n {
		s.goOn(soonest + upTo(latest-soonest))
		s.kill()
		if len(s.row.Kills) < n && random.IntN(8) == 0 {
			if err := s.stack.Gateway().Start(); err != nil {
				t.Fatal(err)
			}
			s.goOn(upTo(starting))
			s.kill()
		}
		s.restart()
	}
	load.progress(perSecond / 2)
	entries := load.end()
	if n := count(entries, func(e *ledger.Entry) bool { return e.Failure != "" }); n == 0 {
		t.Error("no request met a killed gateway: the load was too low to prove anything")
	}
	s.proof(fmt.Sprintf("gateway killed (-9) %d times at random moments, ack levels mixed", len(s.row.Kills)), entries)
	if n <= rowsKept {
		s.consumed(entries)
	}
}

// rowsKept bounds the kills after which the consumer's rows are compared too, all at once in
// memory: more kills are about the gateway.
const rowsKept = 100

// Promise: each node of Kafka killed (-9) in turn under load: nothing is lost, nothing comes
// twice.
func TestProofKafkaNodesKilled(t *testing.T) {
	if given(t) == nil {
		skip(t, "the embedded broker has one node")
	}
	s := mixedScene(t, 64)
	perSecond := max(1, rate(t)/2) // it takes long: each node has to be in sync again
	load := s.mixedLoad(perSecond)
	load.progress(perSecond)
	for node := 1; node <= 3; node++ {
		s.kafkaScript("kill", fmt.Sprint(node))
		s.row.Faults++
		load.progress(perSecond * 3)
		s.kafkaScript("restart", fmt.Sprint(node))
		load.progress(perSecond)
	}
	entries := load.end()
	s.atMost(0)
	s.proof("Kafka killed (-9) node by node", entries)
	s.consumed(entries)
}

// Promise: the gateway and all of Kafka killed (-9) at once, the gateway again while Kafka is
// away, and again while it catches up: nothing is lost, and only what a kill leaves above the
// checkpoint comes twice.
func TestProofGatewayAndKafkaKilled(t *testing.T) {
	s := mixedScene(t, 64)
	perSecond := rate(t)
	load := s.mixedLoad(perSecond)
	load.progress(perSecond)
	bringBack := s.takeKafkaAway()
	s.kill()
	s.restart()
	load.progress(perSecond * 3)
	s.kill()
	s.restart()
	load.progress(perSecond)
	bringBack()
	s.kill()
	s.restart()
	load.progress(perSecond)
	entries := load.end()
	s.proof("gateway and Kafka killed (-9) at once, the gateway again before and after Kafka's return", entries)
	s.consumed(entries)
}
