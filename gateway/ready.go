package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// addChecks makes the gateway ready: from here on /readyz speaks of the journal and the
// listener, never of Kafka, as the gateway's work is to take callbacks while Kafka is away.
func (g *gateway) addChecks() {
	g.ready.Add("listener", true, func() (bool, string) {
		return g.accepting.Load(), "callbacks on " + g.listener.Addr().String()
	})
	g.ready.Add("journal", true, g.journalCheck)
	g.ready.Add("parked", false, func() (bool, string) {
		s := g.delivery.parked.Stats()
		return s.Entries == 0 && s.Err == nil, journalDetail(s, time.Now())
	})
	g.ready.Add("quarantine", false, g.secondLook.check)
	g.ready.Add("delivery", false, func() (bool, string) {
		var halts []string
		for _, h := range g.delivery.forwarder.Halted() {
			halts = append(halts, h.Error())
		}
		return halts == nil, cmp.Or(strings.Join(halts, "; "), "goes on")
	})
	g.ready.Add("kafka", false, func() (bool, string) {
		if g.delivery.producer.Up() {
			return true, "answers"
		}
		return false, "does not answer; callbacks are taken into the journal"
	})
	g.ready.Add("topics", false, g.topicsCheck)
	addFileCheck(g.ready, g.apps.Status)
	addFileCheck(g.ready, g.routes.Status)
	g.addEdgeChecks()
	g.ready.Add("apps", false, func() (bool, string) {
		s := g.apps.Get()
		return true, fmt.Sprintf("%d listed, %d of them unsigned", s.Len(), s.Unsigned())
	})
	g.ready.Add("routes", false, func() (bool, string) {
		return true, strings.Join(g.routes.Get().Lines(), "; ")
	})
	g.ready.Add("build", false, func() (bool, string) { return true, process.Version() })
}

// journalCheck says whether the journal can absorb a quota alarm. While it only refuses
// what is not an alarm, the gateway stays with its load balancer, for the alarms' sake.
func (g *gateway) journalCheck() (ok bool, detail string) {
	s := g.delivery.journal.Stats()
	detail = journalDetail(s, time.Now())
	reserve, ordinary := g.absorber.reserve.look(s.Settled, s.LimitBytes), g.absorber.ordinary.look(s.Settled, s.LimitBytes)
	switch {
	case reserve:
		detail = "full: " + detail
	case !s.Begun:
		detail = "has no segment to write to yet: " + detail
	case ordinary:
		detail = "full but for the reserve, which takes quota alarms: " + detail
	}
	return s.Err == nil && s.Begun && !reserve, detail
}

// journalDetail says how a journal stands.
func journalDetail(s journal.Stats, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d undelivered, %s of %s used", s.Entries, about(s.Bytes), about(s.LimitBytes))
	if !s.OldestUndelivered.IsZero() {
		fmt.Fprintf(&b, ", the oldest waits for %v", now.Sub(s.OldestUndelivered).Round(time.Second))
	}
	for _, c := range s.Corruptions {
		fmt.Fprintf(&b, "; corruption: %v", c)
	}
	if s.Err != nil {
		fmt.Fprintf(&b, "; takes nothing: %v", s.Err)
	}
	return b.String()
}

// topicsCheck says whether Kafka takes the callbacks of every topic that is in use now.
func (g *gateway) topicsCheck() (ok bool, detail string) {
	return g.delivery.producer.TopicsDetail(g.routes.Get().Topics(), "its callbacks are parked")
}

// addFileCheck shows a file that is reloaded.
func addFileCheck(ready *process.Readiness, status func() reload.Status) {
	ready.Add("file "+status().Name, false, func() (bool, string) { return process.FileDetail(status()) })
}
