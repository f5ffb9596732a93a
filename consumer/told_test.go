package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// slowPlace is where channels send to that keeps its answers back until it is told.
type slowPlace struct {
	*httptest.Server
	mu       sync.Mutex
	ids      []string      // webhook-id of what came
	bodies   []string      // and its body
	released chan struct{} // nil: answers at once
}

// newSlowPlace returns a place that keeps back what it answers.
func newSlowPlace(t *testing.T) *slowPlace {
	t.Helper()
	p := &slowPlace{released: make(chan struct{})}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		p.mu.Lock()
		p.ids, p.bodies = append(p.ids, req.Header.Get("Webhook-Id")), append(p.bodies, string(body))
		released := p.released
		p.mu.Unlock()
		if released != nil {
			select {
			case <-released:
			case <-req.Context().Done(): // who asked is gone
			}
		}
	}))
	t.Cleanup(p.Close)
	t.Cleanup(p.release)
	return p
}

// release answers all that waits, and from now on at once.
func (p *slowPlace) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released != nil {
		close(p.released)
		p.released = nil
	}
}

// came returns the ids and bodies of all that came so far.
func (p *slowPlace) came() (ids, bodies []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ids...), append([]string(nil), p.bodies...)
}

func (p *slowPlace) has(t *testing.T, n int) {
	t.Helper()
	eventually(t, "what is sent", func() bool { ids, _ := p.came(); return len(ids) >= n })
}

// lapse has the leases of who was killed run out now: by themselves they would in half a minute.
// The only consumer of a store does not wait for them.
func (b *bench) lapse() {
	if !strings.HasPrefix(b.store, "sqlite:") {
		storetest.Exec(b.t, b.store, "UPDATE channel_lease SET until = now()")
	}
}

// A consumer is killed between a message and its mark: the next one sends it again, the same
// one under the same id, and once.
func TestKilledBetweenSendAndMark(t *testing.T) {
	b := newBench(t, allTopics())
	place := newSlowPlace(t)
	notify := writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+place.URL+"'}]\ndefault: [hook]\n")
	c := b.child("--notify", notify)
	b.produce("im.alarms.raw", 1400000001, alarm(9100))
	place.has(t, 1)
	eventually(t, "the commit", func() bool { return b.committed() == 1 })
	c.kill()
	place.release()
	b.expire()
	b.lapse()
	b.child("--notify", notify)
	place.has(t, 2)
	eventually(t, "the mark", func() bool { return strings.Count(b.list("--state=sent"), "critical") == 1 })
	b.produce("im.alarms.raw", 1400000002, alarm(9100))
	place.has(t, 3)
	eventually(t, "both marks", func() bool { return strings.Count(b.list("--state=sent"), "critical") == 2 })
	ids, bodies := place.came()
	said := func(n int) string { _, data, _ := strings.Cut(bodies[n], `"data":`); return data } // behind the time of sending
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] == ids[2] || said(0) == "" || said(0) != said(1) {
		t.Errorf("%d messages came: %q\n%s", len(ids), ids, strings.Join(bodies, "\n"))
	}
}

// The database goes while a message is under way, and comes: the message is marked then, and
// is not sent again.
func TestDatabaseGoneWhileASendIsUnderWay(t *testing.T) {
	b := newBench(t, allTopics())
	direct := storetest.Postgres(t)
	var road *storetest.Road
	road, b.store = storetest.NewRoad(t, direct)
	place := newSlowPlace(t)
	r := b.run("--notify", writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+place.URL+"'}]\ndefault: [hook]\n"))
	b.produce("im.alarms.raw", 1400000001, alarm(9100))
	place.has(t, 1)
	road.Close()
	place.release()
	eventually(t, "a mark that fails", func() bool {
		return strings.Contains(r.logs.String(), "database did not take what became of notices, trying again")
	})
	road.Open()
	b.store = direct
	eventually(t, "the mark", func() bool { return strings.Count(b.list("--state=sent"), "critical") == 1 })
	b.produce("im.alarms.raw", 1400000002, alarm(9100))
	eventually(t, "both marks", func() bool { return strings.Count(b.list("--state=sent"), "critical") == 2 })
	if ids, _ := place.came(); len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("%d messages came: %q, want one of each notice", len(ids), ids)
	}
}

// A channel that never answers holds up neither another channel nor the saving of alarms nor
// their events.
func TestDeadChannelHoldsNothingUp(t *testing.T) {
	b := newBench(t, allTopics())
	dead, good := newSlowPlace(t), newReceiver(t)
	r := b.run("--notify", writeNotify(t, "channels:\n  - {name: dead, type: webhook, url: '"+dead.URL+
		"'}\n  - {name: good, type: webhook, url: '"+good.URL+"', per_minute: 1000}\ndefault: [dead, good]\n"))
	const apps = 30
	for app := range int64(apps) {
		b.produce("im.alarms.raw", 1400000001+app, alarm(9100))
	}
	eventually(t, "all that the other is told", func() bool { return strings.Count(good.got(), `"title":"[critical]`) == apps })
	eventually(t, "all alarms", func() bool { return b.committed() == apps })
	if ids, _ := dead.came(); len(ids) != 1 {
		t.Errorf("%d messages came to one that has not answered its first", len(ids))
	}
	if saved, events := len(b.alarms("--limit=0")), b.count("im.alarms"); saved != apps || events != apps {
		t.Errorf("%d alarms are saved, %d published, want %d", saved, events, apps)
	}
	if status, text := r.get("/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, text)
	}
	if n := strings.Count(b.list("--channel=dead", "--limit=0"), "pending"); n != apps {
		t.Errorf("%d wait for the dead one, want %d", n, apps)
	}
}

// noon has the apps live where it is noon, as what stands ends at their midnight.
func (b *bench) noon() {
	b.t.Helper()
	zone := fmt.Sprintf("Etc/GMT%+d", received.Hour()-12) // the sign is west's
	if err := os.WriteFile(b.apps, []byte("defaults: {time_zone: "+zone+"}\n"+appsYAML), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Alertmanager is told again what stands as soon as a consumer is there that takes the place of
// one that was killed: it holds for over what nobody repeats.
func TestAlertsAreRepeatedAfterAKill(t *testing.T) {
	b := newBench(t, allTopics())
	b.noon()
	manager := newReceiver(t)
	notify := writeNotify(t, "channels: [{name: am, type: alertmanager, url: '"+manager.URL+"'}]\ndefault: [am]\n")
	c := b.child("--notify", notify)
	b.produce("im.alarms.raw", 1400000001, alarm(9100))
	eventually(t, "the mark", func() bool { return strings.Count(b.list("--state=sent"), "critical") == 1 })
	for range 2 {
		c.kill()
		b.expire()
		b.lapse()
		posts := strings.Count(manager.got(), `"step":"critical"`)
		c = b.child("--notify", notify)
		eventually(t, "what stands, once more", func() bool { return strings.Count(manager.got(), `"step":"critical"`) > posts })
	}
	labels := map[string]bool{}
	for line := range strings.Lines(manager.got()) {
		_, rest, _ := strings.Cut(line, `"labels":`)
		text, _, _ := strings.Cut(rest, "}")
		labels[text] = true
	}
	if len(labels) != 1 {
		t.Errorf("the repetitions are other alerts: %v", labels)
	}
}
