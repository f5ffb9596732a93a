package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/schema"
)

// mayCome is what an answer says: not "not taken".
func (c *callback) mayCome() bool { return !strings.HasPrefix(c.answer, "not taken") }

// mustCome is what an answer promises, on a disk or at a broker that keeps its word.
func (c *callback) mustCome() bool { return c.answer == "" && c.level != "Memory" }

// collect fetches what has come to Kafka since the last time.
func (w *world) collect() {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	for {
		want := int64(0)
		for _, p := range w.cluster.PartitionInfos(tortureTopic) {
			want += p.HighWatermark
		}
		if int64(len(w.records)+w.duplicates) >= want {
			return
		}
		fetches := w.client.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%d of %d records fetched", len(w.records)+w.duplicates, want)
		}
		for r := range fetches.RecordsAll() {
			w.take(r)
		}
	}
}

// take looks at one record: its id is of this journal, names one body for ever, and its
// body one id (J15, J16).
func (w *world) take(r *kgo.Record) {
	id, body := idOf(w.t, r), string(r.Value)
	if id.Journal != w.journal {
		w.t.Errorf("J16: record %s is of another journal than %016x", id, w.journal)
	}
	if before, known := w.ids[id.String()]; known {
		w.duplicates++
		if before != body {
			w.t.Errorf("J15: %s is %.60s and %.60s", id, before, body)
		}
		return
	}
	w.ids[id.String()] = body
	w.records = append(w.records, r)
	w.bodies[body] = append(w.bodies[body], id.String())
}

func idOf(t *testing.T, r *kgo.Record) schema.CallbackID {
	t.Helper()
	id, err := schema.ParseCallbackID([]byte(headerOf(r, schema.HeaderID)))
	if err != nil {
		t.Fatalf("record at %d/%d: %v", r.Partition, r.Offset, err)
	}
	return id
}

// compare holds what the senders were told against what is in Kafka.
func (w *world) compare() {
	w.collect()
	told := map[string]int{}
	violations := 0
	complain := func(format string, args ...any) {
		if violations++; violations <= 10 {
			w.t.Errorf(format, args...)
		}
	}
	for body, c := range w.sent {
		ids := w.bodies[body]
		switch {
		case c.answer == "":
			told[c.level]++
		case !c.mayCome():
			told["refused"]++
		default:
			told["unconfirmed"]++
		}
		switch {
		case ids == nil && c.mustCome():
			complain("J1, J2: 200 at %s in life %d and not in Kafka: %.60s", c.level, c.life, body)
		case ids != nil && !c.mayCome():
			complain("%q in life %d and yet in Kafka: %.60s", c.answer, c.life, body)
		case len(ids) > 1:
			complain("J16: one callback under the ids %v: %.60s", ids, body)
		}
	}
	for body := range w.bodies {
		if w.sent[body] == nil {
			complain("J2: nobody sent %.60s", body)
		}
	}
	w.inOrder(complain)
	if w.duplicates > w.bound {
		complain("%d duplicates, at most %d were in question", w.duplicates, w.bound)
	}
	for _, level := range []string{"Memory", "Disk", "Broker", "refused", "unconfirmed"} {
		if told[level] < 5 {
			w.t.Errorf("only %d %s: the test shows little", told[level], level)
		}
	}
	w.t.Logf("%d lives, %d callbacks, told %v, %d records and %d duplicates of at most %d", w.lives, len(w.sent), told, len(w.records), w.duplicates, w.bound)
}

// inOrder checks the first occurrences of each app: their LSNs rise, and each sender's are in
// the order in which it sent them.
func (w *world) inOrder(complain func(string, ...any)) {
	last := map[string]uint64{}
	sender := map[[2]int64]int{}
	for _, r := range w.records {
		lsn, key := idOf(w.t, r).LSN, string(r.Key)
		if lsn <= last[key] {
			complain("app %s: LSN %d came after %d", key, lsn, last[key])
		}
		last[key] = lsn
		c := w.sent[string(r.Value)]
		if c == nil {
			continue // said above
		}
		if key != strconv.FormatInt(c.app, 10) {
			complain("callback of app %d under the key %s", c.app, key)
		}
		if of := [2]int64{c.app, int64(c.sender)}; c.n < sender[of] {
			complain("app %d, sender %d: number %d came after %d", c.app, c.sender, c.n, sender[of]-1)
		} else {
			sender[of] = c.n + 1
		}
	}
	if len(last) != tortureApps {
		complain("records of the apps %v only", slices.Collect(maps.Keys(last)))
	}
}
