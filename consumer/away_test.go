package main

import (
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/process"
)

// gate is the listener of a broker, which a test can shut.
type gate struct {
	net.Listener
	mu    sync.Mutex // guards all below
	shut  bool
	conns []net.Conn
}

// listen is how the broker listens.
func (g *gate) listen(network, address string) (_ net.Listener, err error) {
	g.Listener, err = net.Listen(network, address)
	return g, err
}

// Accept returns the next connection that comes while the gate is open.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		shut := g.shut
		if !shut {
			g.conns = append(g.conns, conn)
		}
		g.mu.Unlock()
		if !shut {
			return conn, nil
		}
		_ = conn.Close()
	}
}

// set shuts the gate, which ends all connections, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
}

// outageVariable says how long things are away in TestAway. A minute by itself would be most of
// the tests' time; what a minute does to the waits between attempts TestAwayForAMinute of
// pipeline shows.
const outageVariable = "TIDEGATE_TEST_OUTAGE"

func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(outageVariable)
	if text == "" {
		return time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", outageVariable, err)
	}
	return d
}

// takeDatabase takes the database away until the returned function is called: on its road, or,
// where it is a file, by a transaction of somebody else who does not end it.
func takeDatabase(t *testing.T, direct string, road *storetest.Road) (back func()) {
	t.Helper()
	if road != nil {
		road.Close()
		return road.Open
	}
	s, err := store.Open(t.Context(), direct, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.Begin(t.Context(), "nobody's", 0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		tx.Rollback()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The database goes and comes, Kafka does, and both do, under one consumer, or two where the
// store is for several: they say so, go on by themselves, and nothing tells that anything was
// away.
func TestAway(t *testing.T) {
	g := &gate{}
	b := newBench(t, allTopics(), kfake.ListenFn(g.listen))
	r := newRise(t, b)
	direct := b.store
	var road *storetest.Road
	if !strings.HasPrefix(direct, "sqlite:") {
		road, b.store = storetest.NewRoad(t, direct)
	}
	consumers := []*running{b.run("--session-timeout=3s")}
	if road != nil {
		consumers = append(consumers, b.run("--session-timeout=3s"))
	}
	var last string
	ready := func() (n int) {
		for _, c := range consumers {
			status, page := c.get("/readyz?verbose")
			if status == http.StatusOK {
				n++
			} else {
				last = page
			}
		}
		return n
	}
	defer func() {
		if t.Failed() {
			t.Logf("the last that was not ready:\n%s", last)
		}
	}()
	for _, away := range []struct {
		name            string
		database, kafka bool
	}{{"database", true, false}, {"kafka", false, true}, {"both", true, true}} {
		r.feed(2)
		eventually(t, "ready before "+away.name, func() bool { return ready() == len(consumers) })
		r.feed(5) // some of it is in hand
		var back []func()
		if away.database {
			back = append(back, takeDatabase(t, direct, road))
			r.feed(5) // Kafka has it
		}
		if away.kafka {
			g.set(true)
			back = append(back, func() { g.set(false) })
		}
		eventually(t, "not ready without "+away.name, func() bool { return ready() < len(consumers) }) // one may have nothing to do
		until := time.After(outage(t))
		<-until
		for _, f := range back {
			f()
		}
		r.handled()
		eventually(t, "ready after "+away.name, func() bool { return ready() == len(consumers) })
	}
	r.store = direct
	r.oneEffect()
	for i, c := range consumers {
		if status := c.end(); status != process.ExitOK {
			t.Errorf("consumer %d: exit status %d", i, status)
		}
	}
}

// Members join and leave every second, so that no generation lasts for longer, while alarms
// come in and people are told: each alarm and each notice counts once.
func TestMembersEverySecond(t *testing.T) {
	b := newBench(t, allTopics())
	b.store = storetest.Postgres(t)
	r := newRise(t, b)
	hook := newReceiver(t)
	notify := writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+hook.URL+"', per_minute: 1000}]\ndefault: [hook]\n")
	start := func() *running { return b.run("--session-timeout=10s", "--notify", notify) }
	members := []*running{start(), start()}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for range 6 {
		members = append(members, start())
		r.feed(3)
		<-every.C
		go members[0].stop() // while others join
		members = members[1:]
		r.feed(3)
	}
	r.handled()
	eventually(t, "all notices", func() bool {
		return !strings.Contains(b.list("--limit=0"), "pending") && strings.Count(b.list("--limit=0"), "sent") >= riseApps
	})
	r.oneEffect()
	notices := strings.Count(b.list("--limit=0"), "sent")
	told := map[string]int{}
	for line := range strings.Lines(hook.got()) {
		told[strings.TrimSpace(line)]++
	}
	if len(told) != notices {
		t.Errorf("%d messages differ, want %d", len(told), notices)
	}
	for text, n := range told {
		if n != 1 {
			t.Errorf("%d times: %s", n, text)
		}
	}
}
