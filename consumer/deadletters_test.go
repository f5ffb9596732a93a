package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/consumer/internal/pipeline"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// rawAlarm is a record of the raw topic at an offset, as the gateway would have produced it.
func rawAlarm(offset int64, body string) schema.Record {
	c := schema.Callback{
		ID: schema.CallbackID{Journal: 9, LSN: uint64(offset + 1)}, Gateway: []byte("gw-1"), AppID: 1400000001,
		Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: received, Body: []byte(body),
	}
	r := c.Record("im.alarms.raw")
	r.Partition, r.Offset, r.Time = 1, offset, received
	return r
}

// buried puts records into the bench's database as dead letters that failed a minute apart.
func (b *bench) buried(reason schema.Reason, records ...schema.Record) {
	b.t.Helper()
	s, err := store.Open(b.t.Context(), b.store, store.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	var c store.Changes
	for i, r := range records {
		failed := time.Date(2026, time.November, 23, 1, i, 3, 0, time.UTC)
		c.DeadLetters = append(c.DeadLetters, schema.NewDeadLetter(r, "tidegate", reason, "a fault of \x1b that release", failed))
	}
	tx, err := s.Begin(b.t.Context(), "im.alarms.raw", 1, nil, nil)
	if err == nil {
		err = tx.Save(b.t.Context(), c)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// letters runs a deadletters command and returns its status and what it printed.
func (b *bench) letters(args ...string) (int, string) {
	b.t.Helper()
	return b.lettersWithin(b.t.Context(), args...)
}

func (b *bench) lettersWithin(ctx context.Context, args ...string) (int, string) {
	b.t.Helper()
	args = append([]string{"deadletters", args[0], "--store", b.store}, args[1:]...)
	if args[1] == "replay" {
		args = append(args, "--apps", b.apps, "--brokers", b.addrs)
	}
	var out, errs bytes.Buffer
	status := execute(ctx, args, &out, &errs)
	for line := range strings.Lines(errs.String()) {
		if strings.HasPrefix(line, "consumer:") { // and not the log
			out.WriteString(line)
		}
	}
	return status, out.String()
}

func TestDeadLettersOfAStoreThatIsNotThere(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"list"}, {"export"}, {"replay"}, {"replay", "--yes"}} {
		if status, out := b.letters(args...); status != process.ExitOK || !strings.Contains(out, "no consumer has saved anything there yet") {
			t.Errorf("%v: %d %s", args, status, out)
		}
	}
	if status, out := b.letters("show", "1"); status != process.ExitFailed || !strings.Contains(out, "no dead letter 1") {
		t.Errorf("show: %d %s", status, out)
	}
}

func TestDeadLettersRefuse(t *testing.T) {
	b := newBench(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"list", "--reason", "bad_luck"}, "--reason: want one of bad_headers, bad_json"},
		{[]string{"list", "--app=-1"}, "--app: want an SdkAppid"},
		{[]string{"export", "--limit=-1"}, "--limit: want 0 or more"},
		{[]string{"list", "--since", "2026-11-24T00:00:00Z", "--until", "2026-11-23T00:00:00Z"}, "--until: is before --since"},
		{[]string{"list", "--since", "yesterday"}, "--since"},
		{[]string{"replay", "--id=-1"}, "--id: want one that list has"},
		{[]string{"replay", "--rate=-1"}, "--rate: want 0 or more"},
		{[]string{"replay", "--yes"}, "no brokers"},
		{[]string{"show", "-5"}, "5"},
	} {
		if test.want == "no brokers" {
			b.addrs = ""
		}
		if status, out := b.letters(test.args...); status == process.ExitOK || !strings.Contains(out, test.want) {
			t.Errorf("%v: status %d: %s", test.args, status, out)
		}
	}
}

func TestListShowExport(t *testing.T) {
	b := newBench(t)
	strange := rawAlarm(2, "\x00\xff")
	strange.Key, strange.Headers = nil, []schema.Header{{Key: "\xff", Value: nil}}
	b.buried(schema.ReasonPanic, rawAlarm(0, alarm(7100)), rawAlarm(1, alarm(7200)), strange)

	status, out := b.letters("list")
	want := strings.Join([]string{
		"ID  APP         REASON  FAILED (UTC)         REPLAYED (UTC)  RECORD             MESSAGE",
		"3   -           panic   2026-11-23 01:02:03  -               im.alarms.raw/1/2  a fault of \ufffd that release",
		"2   1400000001  panic   2026-11-23 01:01:03  -               im.alarms.raw/1/1  a fault of \ufffd that release",
		"1   1400000001  panic   2026-11-23 01:00:03  -               im.alarms.raw/1/0  a fault of \ufffd that release",
		"",
	}, "\n")
	if status != process.ExitOK || out != want {
		t.Errorf("list: %d\n%s\nwant\n%s", status, out, want)
	}
	for _, test := range []struct {
		args []string
		ids  string
	}{
		{[]string{"--limit", "1"}, "3"},
		{[]string{"--app", "1400000001"}, "2 1"},
		{[]string{"--reason", "bad_json"}, ""},
		{[]string{"--since", "2026-11-23T01:01:03Z", "--until", "2026-11-23T01:01:03Z"}, "2"},
	} {
		_, out := b.letters(append([]string{"list", "--format", "json"}, test.args...)...)
		var ids []string
		for line := range strings.Lines(out) {
			var l shownLetter
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fmt.Sprint(l.ID))
		}
		if got := strings.Join(ids, " "); got != test.ids {
			t.Errorf("list %v: %q, want %q", test.args, got, test.ids)
		}
	}
	if _, out := b.letters("list", "--reason", "bad_utf8"); out != "no dead letters\n" {
		t.Errorf("list of none: %q", out)
	}

	if _, out := b.letters("show", "3"); !strings.Contains(out, "key          (null)\n") || !strings.Contains(out, `"\x00\xff"`) || strings.ContainsAny(out, "\x1b\x00") || !utf8.ValidString(out) {
		t.Errorf("show:\n%q", out)
	}
	if _, out := b.letters("show", "1"); !strings.Contains(out, "\n"+alarm(7100)+"\n") || !strings.Contains(out, "header       ce_gateway: gw-1\n") || !strings.Contains(out, "replayed     no\n") {
		t.Errorf("show:\n%s", out)
	}
	if _, out := b.letters("show", "3", "--format", "value"); out != "\x00\xff" {
		t.Errorf("show --format value: %q", out)
	}

	_, out = b.letters("export")
	type line struct {
		ID int64 `json:"id"`
		shownBytes
	}
	var exported []line
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var l line
		err := decoder.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		exported = append(exported, l)
	}
	if len(exported) != 3 || exported[0].ID != 1 || string(exported[0].Value) != alarm(7100) || len(exported[0].Headers) != len(rawAlarm(0, "").Headers) {
		t.Fatalf("export: %s", out)
	}
	if last := exported[2]; last.Key != nil || string(last.Value) != "\x00\xff" || string(last.Headers[0].Key) != "\xff" || last.Headers[0].Value != nil {
		t.Errorf("export of bytes that are no text: %+v", last)
	}
}

// The replay runs beside a live consumer on one SQLite file: alarms come and are saved all the
// while, every letter that can be read is saved and published, and nothing goes to the raw topic.
func TestReplayBesideALiveConsumer(t *testing.T) {
	b := newBench(t, allTopics())
	const good, fresh = 300, 40
	records := []schema.Record{rawAlarm(0, "not JSON")}
	for i := range good {
		records = append(records, rawAlarm(int64(i+1), alarm(7001+i)))
	}
	b.buried(schema.ReasonPanic, records...)
	r := b.run()
	for i := range fresh / 2 {
		b.produce("im.alarms.raw", 1400000002, alarm(7001+i))
	}
	eventually(t, "the consumer's first alarms", func() bool { return b.count("im.alarms") == fresh/2 })

	if status, out := b.letters("replay"); status != process.ExitOK || !strings.Contains(out, "300 can be read now and would be replayed\n1 would stay dead letters: bad_json 1\n--yes does it\n") {
		t.Errorf("dry run: %d\n%s", status, out)
	}
	if got := len(b.alarms("--limit", "0")); got != fresh/2 {
		t.Fatalf("the dry run left %d alarms", got)
	}
	for i := range fresh / 2 {
		b.produce("im.alarms.raw", 1400000002, alarm(8001+i))
	}
	if status, out := b.letters("replay", "--yes", "--rate", "0"); status != process.ExitFailed ||
		!strings.Contains(out, "300 saved, their enriched alarms published\n1 stay dead letters: bad_json 1\nconsumer: some dead letters stay what they are\n") {
		t.Errorf("replay: %d\n%s", status, out)
	}
	eventually(t, "all events", func() bool { return b.count("im.alarms") == good+fresh })
	if got := len(b.alarms("--limit", "0")); got != good+fresh {
		t.Errorf("%d alarms, want %d", got, good+fresh)
	}
	if status, out := b.letters("replay", "--yes"); status != process.ExitFailed || !strings.Contains(out, "1 stay dead") || strings.Contains(out, "saved") {
		t.Errorf("a second replay: %d\n%s", status, out)
	}
	if status, out := b.letters("replay", "--yes", "--app", "77"); status != process.ExitOK || !strings.Contains(out, "nothing to replay") {
		t.Errorf("replay of nothing: %d\n%s", status, out)
	}
	if got := b.count("im.alarms.raw"); got != fresh {
		t.Errorf("%d records in the raw topic, want the %d that were sent", got, fresh)
	}
	if got := r.end(); got != process.ExitOK {
		t.Errorf("the consumer ended with %d", got)
	}
	if _, out := b.letters("list", "--all", "--limit", "1"); !strings.Contains(out, time.Now().UTC().Format("2006-")) {
		t.Errorf("list does not say when: %s", out)
	}
}

// A replay that is stopped says so, and the next one goes on; in between the rate was kept.
func TestReplayStopped(t *testing.T) {
	b := newBench(t, allTopics())
	const good = 40
	var records []schema.Record
	for i := range good {
		records = append(records, rawAlarm(int64(i), alarm(7001+i)))
	}
	b.buried(schema.ReasonPanic, records...)
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	var status atomic.Int64
	var out string
	done := make(chan struct{})
	go func() {
		defer close(done)
		var s int
		s, out = b.lettersWithin(ctx, "replay", "--yes", "--rate", "20")
		status.Store(int64(s))
	}()
	eventually(t, "some events", func() bool { return b.count("im.alarms") >= 6 })
	cancel()
	<-done
	events := b.count("im.alarms")
	if most := 20*time.Since(began).Seconds() + 3; float64(events) > most {
		t.Errorf("%d events in %v, want at most 20 a second", events, time.Since(began))
	}
	if status.Load() != process.ExitFailed || !strings.Contains(out, "interrupted; run it again") {
		t.Errorf("stopped: %d\n%s", status.Load(), out)
	}
	if s, out := b.letters("replay", "--yes", "--rate", "0"); s != process.ExitOK {
		t.Errorf("the rest: %d\n%s", s, out)
	}
	ids := map[string]int{}
	for _, a := range b.alarms("--limit", "0") {
		ids[a.AlarmID] += a.Deliveries
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("alarm %s counts %d deliveries", id, n)
		}
	}
	if len(ids) != good || b.count("im.alarms") < good {
		t.Errorf("%d alarms and %d events, want %d", len(ids), b.count("im.alarms"), good)
	}
}

// What an interrupted replay saved and did not publish is published first, whatever the filter.
func TestReplayPublishesWhatWasInterrupted(t *testing.T) {
	b := newBench(t, allTopics())
	b.buried(schema.ReasonPanic, rawAlarm(0, alarm(7100)), rawAlarm(1, alarm(7200)))
	s, err := store.Open(t.Context(), b.store, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := lettersOf(t.Context(), s, store.DeadLetterFilter{ID: 1})
	if err != nil {
		t.Fatal(err)
	}
	facts, problems := apps.Parser(apps.Options{})([]byte(appsYAML))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	crash := errors.New("crash")
	p := pipeline.New(pipeline.Options{
		Store: s, Apps: func() *apps.Snapshot { return facts }, Topics: schema.NewTopics(""),
		After: func(stage pipeline.Stage) error {
			if stage == pipeline.StageSave {
				return crash
			}
			return nil
		},
	})
	if _, err := p.Replay(t.Context(), letters); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if _, out := b.letters("list", "--all"); !strings.Contains(out, "(interrupted)") {
		t.Errorf("list: %s", out)
	}
	if _, out := b.letters("show", "1"); !strings.Contains(out, "the next replay does that") {
		t.Errorf("show: %s", out)
	}
	if _, out := b.letters("replay"); !strings.HasPrefix(out, "1 were saved by a replay that was interrupted") {
		t.Errorf("dry run: %s", out)
	}
	if status, out := b.letters("replay", "--yes", "--id", "99"); status != process.ExitOK || !strings.Contains(out, "1 were left by an interrupted replay") {
		t.Errorf("replay: %d %s", status, out)
	}
	if got := b.count("im.alarms"); got != 1 {
		t.Errorf("%d events, want the one", got)
	}
	if _, out := b.letters("list"); strings.Count(out, "\n") != 2 {
		t.Errorf("open afterwards: %s", out)
	}
}
