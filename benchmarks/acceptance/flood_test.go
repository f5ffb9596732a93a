package acceptance

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// floodTimes is how much more the flooding app sends than all others together.
const floodTimes = 20

// limitRate writes a rate limit of the app's other callbacks into the apps file; 0 takes it
// out again. A running gateway reads it by itself.
func limitRate(t *testing.T, appsFile string, app int64, perSecond int) {
	t.Helper()
	text, err := os.ReadFile(appsFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		begin := fmt.Sprintf("  - {sdk_app_id: %d, ", app)
		rest, found := strings.CutPrefix(line, begin)
		if !found {
			continue
		}
		if _, after, had := strings.Cut(rest, "rate_limit: {per_second: "); had {
			_, rest, _ = strings.Cut(after, "}, ")
		}
		if perSecond > 0 {
			begin += fmt.Sprintf("rate_limit: {per_second: %d, burst: %d}, ", perSecond, perSecond)
		}
		lines[i] = begin + rest
	}
	if err := os.WriteFile(appsFile, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flood is one app that sends its other callbacks without measure, beside the alarms and the
// other callbacks of all apps. Every answer goes into all.
type flood struct {
	*scene
	app       int64          // that floods
	perSecond int            // of each of the two ordinary loads, over all apps
	budget    int            // of the journal
	all       []ledger.Entry // of the phases that are over
}

// newFlood starts a stack whose journal can take a few seconds of a flood.
func newFlood(t *testing.T) *flood {
	t.Helper()
	// A callback that has a batch for itself takes 8 KiB of the journal.
	budget := 5 * rate(t) * 8 << 10
	s := newScene(t, 16, func(o *stack.Options) {
		o.GatewayFlags = append(o.GatewayFlags, "--routes="+keepEverything(t), fmt.Sprintf("--journal-max-bytes=%d", budget), "--max-body-bytes=16384")
	})
	s.routed = keptCommands
	return &flood{scene: s, app: s.apps[0], perSecond: max(1, rate(t)/floodTimes), budget: budget}
}

// begin starts a load of this phase.
func (f *flood) begin(perSecond int, apps []int64, command string, more ...string) *run {
	f.t.Helper()
	return f.loadFor(apps, steady(perSecond, command, more...)...)
}

// ordinary starts what apps send all the time: alarms, the flooding app too; other callbacks,
// all but that one, whose are the flood.
func (f *flood) ordinary() (alarmsRun, othersRun *run) {
	f.t.Helper()
	signed := f.apps[:len(f.apps)-1]
	return f.begin(f.perSecond, signed, alarms), f.begin(f.perSecond, signed[1:], commandOther)
}

// storm starts the flood itself.
func (f *flood) storm() *run {
	f.t.Helper()
	return f.begin(floodTimes*f.perSecond, []int64{f.app}, commandFlood, "--body-bytes=4000")
}

// ended ends a load and returns its answers, which it prints.
func (f *flood) ended(phase, what string, r *run) tally {
	f.t.Helper()
	entries := r.end()
	f.all = append(f.all, entries...)
	counts := tallied(f.t, entries)
	f.t.Logf("%s: %s: %s", phase, what, counts)
	return counts
}

// Promise: one app floods its other callbacks at 20 x the rate of all others while Kafka is
// away. Where its rate is limited, the flood is refused and nobody else notices. Where it is
// not, the flood fills the budget but for the last tenth, and then not one alarm of any app
// is refused, the flooding one's neither, until that tenth is full too. Refused callbacks
// are told when to come again, the gateway goes on by itself when Kafka is back, and
// everything that was answered 200 is there.
func TestProofFlood(t *testing.T) {
	f := newFlood(t)
	bringBack := f.takeKafkaAway()
	f.limited()
	f.unlimited()
	recovered := f.reserveFull()
	bringBack()
	recovered()
	f.row.Faults = 1
	f.atMost(0)
	f.proof(fmt.Sprintf("one app floods at %d x, Kafka away, until the journal is full, and its reserve too", floodTimes), f.all)
	f.consumed(f.all)
}

// limited is the flood against the app's own rate limit.
func (f *flood) limited() {
	const phase = "rate limited"
	limitRate(f.t, f.appsFile, f.app, 2*f.perSecond)
	storm := f.storm()
	storm.answered(1, 429, overRate)
	alarmsRun, others := f.ordinary()
	storm.answered(5*floodTimes*f.perSecond/2, 429, overRate)
	f.ended(phase, "flood", storm).only(f.t, "flood", answer429)
	f.ended(phase, "alarms", alarmsRun).only(f.t, "alarms")
	f.ended(phase, "others", others).only(f.t, "others")
	limitRate(f.t, f.appsFile, f.app, 0)
}

// unlimited is the flood until nothing but the reserve is left, and a good part of that
// is used by alarms.
func (f *flood) unlimited() {
	const phase = "no limit"
	alarmsRun, others := f.ordinary()
	storm := f.storm()
	storm.answered(1, 503, journalFull)
	f.t.Logf("%s: the budget of %d bytes is used up but for the reserve", phase, f.budget)
	// Each alarm alone takes 4 KiB: these take a third of the reserve at most.
	alarmsRun.answered(f.budget/10/3/4096, 200, 0)
	counts := f.ended(phase, "alarms", alarmsRun)
	counts.only(f.t, "alarms")
	f.ended(phase, "others", others).only(f.t, "others", answerFull)
	refused := f.ended(phase, "flood", storm)
	refused.only(f.t, "flood", answerFull, answer429)
	if n := refused.of(503, journalFull); n < floodTimes*f.perSecond {
		f.t.Errorf("%d callbacks of the flood were refused: too few to prove anything", n)
	}
	if ready := f.ready(); ready != 200 {
		f.t.Errorf("/readyz is %d while alarms are taken", ready)
	}
}

// reserveFull is a flood of alarms until nothing is taken any more. It leaves the loads
// running; the returned function ends them once everything is taken again.
func (f *flood) reserveFull() (recovered func()) {
	const phase = "reserve full"
	many := f.begin(floodTimes*f.perSecond, f.apps[:len(f.apps)-1], alarms, "--event-time=integer")
	many.answered(f.perSecond, 503, journalFull)
	f.eventually("/readyz says that nothing is taken", func() error {
		if ready := f.ready(); ready != 503 {
			return fmt.Errorf("%d", ready)
		}
		return nil
	})
	taken := f.ended(phase, "alarms", many)
	taken.only(f.t, "alarms", answerFull)
	if least := f.budget / 10 / 3 / 4096; taken.of(200, 0) < least/4 {
		f.t.Errorf("%d alarms went into the rest of the reserve, want at least %d", taken.of(200, 0), least/4)
	}
	alarmsRun, others := f.ordinary()
	return func() {
		alarmsRun.answered(2*f.perSecond, 200, 0)
		others.answered(2*f.perSecond, 200, 0)
		f.ended("Kafka back", "alarms", alarmsRun).only(f.t, "alarms", answerFull)
		f.ended("Kafka back", "others", others).only(f.t, "others", answerFull)
	}
}
