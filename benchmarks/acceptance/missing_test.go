package acceptance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// missing is a scenario of two topics that callbacks go to, of which one is not there.
type missing struct {
	*scene
	gone, there route
	ledgers     []ledger.Entry // of the loads that have ended
}

// route is a topic and what goes to it.
type route struct {
	topic   string
	command string // in --mix
}

// missingBudget is the main journal's: a load of 4 KB bodies uses it up within seconds.
const missingBudget = 16 << 20

// parkedBudget is the parked journal's. It has room for the whole main journal and what comes
// before and after: a backlog for which there is no room here would stay in the main journal and
// hold up what frees its space, for all topics.
const parkedBudget = 64 << 20

// newMissing starts a stack with topics of its own, and deletes one of them before the first
// callback.
func newMissing(t *testing.T, alarmsGone bool) *missing {
	t.Helper()
	own := ownTopics(t)
	s := newScene(t, 16, func(o *stack.Options) {
		own(o)
		// A batch of so small a journal has room for several of the largest bodies only if these are small too.
		o.GatewayFlags = append(o.GatewayFlags, "--routes="+keepEverything(t), "--max-body-bytes=65536",
			fmt.Sprintf("--journal-max-bytes=%d", missingBudget), fmt.Sprintf("--parked-max-bytes=%d", parkedBudget))
	})
	s.routed = keptCommands
	topics := s.stack.Topics()
	m := &missing{
		scene: s,
		gone:  route{topic: topics.AlarmsRaw, command: alarms},
		there: route{topic: topics.CallbacksRaw, command: commandOther},
	}
	if !alarmsGone {
		m.gone, m.there = m.there, m.gone
	}
	if err := stack.DeleteTopic(t.Context(), s.stack.Kafka(), m.gone.topic); err != nil {
		t.Fatal(err)
	}
	return m
}

// begin starts a load to a route.
func (m *missing) begin(to route, perSecond int, more ...string) *run {
	m.t.Helper()
	return m.load(steady(perSecond, to.command, more...)...)
}

// end ends a load.
func (m *missing) end(r *run) tally {
	m.t.Helper()
	entries := r.end()
	m.ledgers = append(m.ledgers, entries...)
	return tallied(m.t, entries)
}

// parked is the name of the series that counts what is kept aside of the missing topic.
func (m *missing) parked() string {
	return fmt.Sprintf(`tidegate_gateway_parked_entries{topic="%s"}`, m.gone.topic)
}

func positive(v float64) bool { return v > 0 }
func zero(v float64) bool     { return v == 0 }

// Promise: one topic is missing. What goes to the other is delivered all the same: also with
// the journal nearly full of both, after the gateway was killed (-9) and started again, and
// while there is no more room for what the missing topic is owed. When the topic is made,
// everything that was answered 200 arrives, in order per app.
func TestProofTopicMissing(t *testing.T) {
	for name, alarmsGone := range map[string]bool{"the alarms": true, "the other callbacks": false} {
		t.Run(name, func(t *testing.T) {
			m := newMissing(t, alarmsGone)
			m.journalNearlyFull()
			m.parkedFull()
			m.made()
			m.proof("topic of "+name+" missing, journal and room for what is parked full, gateway killed (-9) meanwhile", m.ledgers)
		})
	}
}

// journalNearlyFull takes Kafka away with the topic missing until the journal has room for
// nothing but alarms, and restarts the gateway before Kafka comes back.
func (m *missing) journalNearlyFull() {
	perSecond := rate(m.t) / 2
	gone, there := m.begin(m.gone, perSecond, "--body-bytes=4000"), m.begin(m.there, perSecond, "--body-bytes=4000")
	m.reaches("callbacks are parked", m.parked(), positive)
	m.reaches("the other topic is delivered", fmt.Sprintf(`tidegate_gateway_delivered_total{topic="%s"}`, m.there.topic), positive)
	bringBack := m.takeKafkaAway()
	others := there
	if m.gone.command == commandOther {
		others = gone
	}
	others.answered(1, 503, journalFull)
	m.killAndStart()
	others.answered(1, 503, journalFull) // once more: what it recovered counts
	bringBack()
	there.answered(perSecond, 200, 0)
	m.t.Logf("journal nearly full: to the missing topic: %s; to the other: %s", m.end(gone), m.end(there))
	m.arrived(m.there.topic, m.ledgers)
	m.reaches("the journal holds nothing that could go", "tidegate_gateway_journal_entries", zero)
	if n := m.metric(m.parked()); n < float64(perSecond) {
		m.t.Errorf("%v callbacks are parked, want at least %d", n, perSecond)
	}
}

// parkedFull restarts the gateway over what is parked, uses up the room for more of it, and
// restarts it once more.
func (m *missing) parkedFull() {
	before := m.metric(m.parked())
	m.kill()
	m.restart()
	if after := m.metric(m.parked()); after < before { // what no checkpoint settled is parked again
		m.t.Errorf("%v callbacks are parked after the restart, %v before", after, before)
	}
	// A topic counts as missing after a grace period. What comes meanwhile has to find room too.
	m.saysSoon(refuses(m.gone.topic))
	gone, there := m.begin(m.gone, 100, "--body-bytes=60000"), m.begin(m.there, rate(m.t)/2)
	gone.answered(10, 503, parkedFull)
	there.answered(rate(m.t)/2, 200, 0)
	m.ended("no room to park", gone, there)
	m.kill()
	m.restart()
	gone, there = m.begin(m.gone, rate(m.t)/4), m.begin(m.there, rate(m.t)/2)
	m.saysSoon(refuses(m.gone.topic))
	gone.answered(10, 503, parkedFull)
	there.answered(rate(m.t)/2, 200, 0)
	m.ended("no room to park after a restart", gone, there)
	m.arrived(m.there.topic, m.ledgers)
}

// ended ends the loads of a phase, in which only the missing topic's callbacks were refused, but
// for also.
func (m *missing) ended(phase string, gone, there *run, also ...string) {
	m.t.Helper()
	goneTally, thereTally := m.end(gone), m.end(there)
	m.t.Logf("%s: to the missing topic: %s; to the other: %s", phase, goneTally, thereTally)
	goneTally.only(m.t, phase+": "+m.gone.topic, slices.Concat(slow, also, []string{fmt.Sprintf("503 %d", parkedFull)})...)
	thereTally.only(m.t, phase+": "+m.there.topic, slices.Concat(slow, also)...)
}

// made makes the topic under load.
func (m *missing) made() {
	perSecond := rate(m.t) / 2
	gone, there := m.begin(m.gone, perSecond), m.begin(m.there, perSecond)
	gone.answered(1, 503, parkedFull)
	if err := stack.CreateTopics(m.t.Context(), m.stack.Kafka(), stack.DefaultPartitions); err != nil {
		m.t.Fatal(err)
	}
	gone.answered(perSecond, 200, 0)
	m.reaches("nothing is parked", m.parked(), zero)
	gone.answered(perSecond, 200, 0)
	// While the topic returns, what comes for it waits in the main journal behind what is parked: so
	// small a journal may be full of it for a moment, for all.
	m.ended("the topic is made", gone, there, answerFull)
	m.row.Faults = 2 // Kafka, and the topic
}
