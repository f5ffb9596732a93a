package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// crowd is a bench with apps of which each has one alarm, which the vendor sends twice.
type crowd struct {
	*bench
	apps int64
}

// feed produces the alarms of n more apps.
func (c *crowd) feed(n int) {
	c.t.Helper()
	for range n {
		c.apps++
		c.produce("im.alarms.raw", 1400000001+c.apps, alarm(9100))
		c.produce("im.alarms.raw", 1400000001+c.apps, alarm(9100))
	}
}

// handled waits until everything that was fed is handled.
func (c *crowd) handled() {
	c.t.Helper()
	eventually(c.t, "all of it", func() bool { return int64(c.committed()) == 2*c.apps })
}

// onceEach holds what was saved and published to what was fed: each alarm is one row with two
// deliveries and one notice, and all copies of its event are the same bytes.
func (c *crowd) onceEach() {
	t := c.t
	t.Helper()
	all := c.alarms("--limit", "0")
	if int64(len(all)) != c.apps {
		t.Errorf("%d alarms, want %d", len(all), c.apps)
	}
	for _, a := range all {
		if a.Deliveries != 2 {
			t.Errorf("alarm %s has %d deliveries", a.AlarmID, a.Deliveries)
		}
	}
	events := map[string]string{}
	for _, r := range c.read("im.alarms") {
		record := schema.Record{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, schema.Header{Key: h.Key, Value: h.Value})
		}
		event, err := schema.ParseEnriched(&record)
		if err != nil {
			t.Fatal(err)
		}
		if before, there := events[event.AlarmID]; there && before != string(r.Value) {
			t.Errorf("two events of alarm %s:\n%s\n%s", event.AlarmID, before, r.Value)
		}
		events[event.AlarmID] = string(r.Value)
	}
	if int64(len(events)) != c.apps {
		t.Errorf("events of %d alarms, want %d", len(events), c.apps)
	}
}

// read returns all records of a topic.
func (b *bench) read(topic string) (all []*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs), kgo.ConsumeTopics(topic))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for want := b.count(topic); len(all) < want; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, fetched.Records()...)
	}
	return all
}

// Consumers come and go, two or three at a time, while alarms come in and people are told:
// each notice is sent once, whoever saved it, gave it to its channel, and has the channel's
// lease.
func TestConsumersComeAndGo(t *testing.T) {
	c := &crowd{bench: newBench(t, allTopics())}
	c.store = storetest.Postgres(t)
	hook := newReceiver(t)
	notify := writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+hook.URL+"', per_minute: 1000}]\ndefault: [hook]\n")
	start := func() *running { return c.run("--session-timeout=4s", "--notify", notify) }
	running := []*running{start(), start()}
	for range 4 {
		c.feed(10)
		next := start()
		running = append(running, next)
		c.feed(10)
		eventually(t, "a share for the new one", func() bool { status, _ := next.get("/readyz"); return status == http.StatusOK })
		if status := running[0].end(); status != process.ExitOK {
			t.Errorf("exit status %d:\n%s", status, running[0].logs)
		}
		running = running[1:]
	}
	c.handled()
	eventually(t, "all notices", func() bool {
		return int64(strings.Count(c.list("--state=sent", "--limit=0"), "critical")) == c.apps
	})
	c.onceEach()
	told := hook.got()
	for app := range c.apps {
		if n := strings.Count(told, fmt.Sprintf(`"title":"[critical] %d:`, 1400000002+app)); n != 1 {
			t.Errorf("app %d was told of %d times", 1400000002+app, n)
		}
	}
}

// Consumers are killed in the middle of their work, and one is stopped for longer than its
// session, replaced, and wakes up beside its successor: nothing is lost, and nothing counts
// twice.
func TestConsumersKilledAndStopped(t *testing.T) {
	c := &crowd{bench: newBench(t, allTopics())}
	c.store = storetest.Postgres(t)
	start := func() *child { return c.child("--session-timeout=3s") }
	working := func(events int) {
		t.Helper()
		eventually(t, "some events more", func() bool { return c.count("im.alarms") >= events })
	}
	for range 3 {
		c.feed(200)
		child := start()
		working(c.count("im.alarms") + 1)
		child.kill()
	}

	asleep := start()
	c.handled()
	c.feed(200)
	working(c.count("im.alarms") + 1)
	asleep.signal(syscall.SIGSTOP)
	c.feed(50)
	start()
	c.handled() // by the successor, when the other's session is over
	asleep.signal(syscall.SIGCONT)
	c.feed(100)
	c.handled()
	c.onceEach()
}
