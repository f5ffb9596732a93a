package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// same reports whether two records are copies: key, bytes and headers.
func same(a, b *kgo.Record) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.Partition == b.Partition &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y kgo.RecordHeader) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
}

// delivered takes n callbacks and waits until they are settled.
func (r *running) delivered(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(i))
	}
	eventually(t, "all is delivered", func() bool { return r.delivery.journal.Stats().Entries == 0 })
}

// replayed runs `journal replay` over the gateway's journal.
func replayed(t *testing.T, dir string, args ...string) (status int, printed string) {
	t.Helper()
	return command(t, append([]string{"journal", "replay", "--journal-dir=" + dir}, args...)...)
}

// TestReplayBesideALiveGateway: the records go out again, the same, and only those asked for.
func TestReplayBesideALiveGateway(t *testing.T) {
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.delivered(t, 10)
	dir := r.set.JournalDir
	status, printed := replayed(t, dir, "--from=3", "--to=7")
	for _, want := range []string{"kept from LSN 1 on, since ", "; delivered or parked up to LSN 10\n", rawTopic + ": 5 callbacks, LSN 3 to 7, taken ", "5 callbacks would be delivered again\n--yes does it\n"} {
		if status != process.ExitOK || !strings.Contains(printed, want) {
			t.Errorf("exit status %d, %q is not in\n%s", status, want, printed)
		}
	}
	if n := records(c, rawTopic); n != 10 {
		t.Errorf("%d records after a dry run, want 10", n)
	}
	if status, printed := replayed(t, dir, "--from=3", "--to=7", "--yes"); status != process.ExitOK || !strings.Contains(printed, "\n5 callbacks delivered again\n") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	if n := records(c, rawTopic); n != 15 {
		t.Errorf("%d records, want 15", n)
	}
	first := map[string]*kgo.Record{}
	var again []string
	for _, record := range consume(t, c, rawTopic, 15) {
		id := headerOf(record, schema.HeaderID)
		if first[id] == nil {
			first[id] = record
			continue
		}
		again = append(again, strings.TrimPrefix(id, fmt.Sprintf("%016x-", r.delivery.journal.ID())))
		if !same(first[id], record) {
			t.Errorf("copy of %s differs: %v, was %v", id, record, first[id])
		}
	}
	if want := []string{"3", "4", "5", "6", "7"}; !slices.Equal(again, want) {
		t.Errorf("came again, in this order: %v, want %v", again, want)
	}
	status, printed = replayed(t, dir, "--since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "--until="+time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
	if status != process.ExitOK || !strings.Contains(printed, "what was asked for before that is freed already") || !strings.Contains(printed, "\n0 callbacks would") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	status, printed = replayed(t, dir, "--since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "--rate=0", "--yes")
	if status != process.ExitOK || !strings.Contains(printed, "\n10 callbacks delivered again\n") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}

// records counts what a topic holds.
func records(c *kfake.Cluster, topic string) (n int64) {
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// TestReplayLeavesTheRest: what is not settled, what cannot be decoded and what a closed topic
// would hold up for ever is left out, and said.
func TestReplayLeavesTheRest(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	routes := write(t, dir, "routes.yaml", "routes: [{command: Group.CallbackOnDailyGroupQuotaAlarm, topic: im.alarms.raw}, {command: \"*\", topic: im.missing}]")
	r := start(t, dir, "--brokers="+strings.Join(c.ListenAddrs(), ","), "--routes="+routes, "--drain-timeout=0s")
	r.delivered(t, 3)
	r.mustPost(t, signedApp, "Group.CallbackAfterGroupInfoChanged", "{}") // LSN 4
	bad := raw(t, r.delivery.journal, 99)
	eventually(t, "the missing topic is parked, and delivery halts", func() bool {
		return r.delivery.parked.Stats().Entries == 1 && len(r.delivery.forwarder.Halted()) == 1 && r.delivery.journal.Stats().Settled == bad-1
	})
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(9)) // LSN 6
	status, printed := replayed(t, r.set.JournalDir, "--from=1", "--to=100", "--yes")
	for _, want := range []string{"later ones are left to normal delivery", "im.alarms.raw: 3 callbacks, LSN 1 to 3", "im.missing: 1 callbacks left out, because the topic refuses", "3 callbacks delivered again", "gateway: some callbacks were left out"} {
		if status != process.ExitFailed || !strings.Contains(printed, want) {
			t.Errorf("exit status %d, %q is not in\n%s", status, want, printed)
		}
	}
	if status, printed := command(t, "journal", "skip", "--journal-dir="+r.set.JournalDir, fmt.Sprint("--lsn=", bad), "--to-file="+dir+"/kept"); status != process.ExitOK {
		t.Fatalf("exit status %d\n%s", status, printed)
	}
	eventually(t, "the rest is settled", func() bool { return r.delivery.journal.Stats().Entries == 0 })
	if status, printed := replayed(t, r.set.JournalDir, "--from=5"); status != process.ExitFailed || !strings.Contains(printed, "1 entries left out, because this release cannot decode them") || !strings.Contains(printed, "1 callbacks would") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}

// TestReplayOfAStoppedJournal frees nothing, although its retention is over and its budget used.
func TestReplayOfAStoppedJournal(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.delivered(t, 5)
	must(t, r.stop())
	replayAll := []string{"--from=1", "--brokers=" + strings.Join(c.ListenAddrs(), ",")}
	for range 2 {
		status, printed := replayed(t, r.set.JournalDir, replayAll...)
		if status != process.ExitOK || !strings.Contains(printed, "kept from LSN 1 on") || !strings.Contains(printed, "\n5 callbacks would") {
			t.Fatalf("exit status %d\n%s", status, printed)
		}
	}
	if status, printed := replayed(t, r.set.JournalDir, append(replayAll, "--yes")...); status != process.ExitOK || !strings.Contains(printed, "\n5 callbacks delivered again") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	if n := records(c, rawTopic); n != 10 {
		t.Errorf("%d records, want 10", n)
	}
	if status, printed := replayed(t, r.set.JournalDir, "--from=1", "--yes"); status != process.ExitFailed || !strings.Contains(printed, "no brokers") {
		t.Errorf("without brokers: exit status %d\n%s", status, printed)
	}
}

// TestReplayIsInterrupted: it keeps its rate, and says where to go on.
func TestReplayIsInterrupted(t *testing.T) {
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.delivered(t, 30)
	for _, name := range []string{"the command", "the gateway"} {
		before := records(c, rawTopic)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan int, 1)
		out := new(buffer)
		go func() {
			done <- execute(ctx, []string{"journal", "replay", "--journal-dir=" + r.set.JournalDir, "--from=1", "--rate=5", "--yes"}, io.MultiWriter(out), out)
		}()
		eventually(t, "it says how far it is", func() bool { return strings.Contains(out.String(), " of 30\n") })
		if name == "the command" {
			if status, printed := replayed(t, r.set.JournalDir, "--from=1"); status != process.ExitFailed || !strings.Contains(printed, "a replay is running already") {
				t.Errorf("a second one: exit status %d\n%s", status, printed)
			}
			cancel()
		} else {
			must(t, r.stop())
		}
		if status := <-done; status != process.ExitFailed || !strings.Contains(out.String(), "go on with --from ") {
			t.Errorf("%s ends: exit status %d\n%s", name, status, out)
		}
		if n := records(c, rawTopic) - before; n < 1 || n > 25 {
			t.Errorf("%s ends: %d records, want some and not all", name, n)
		}
		if name == "the command" {
			eventually(t, "the gateway has noticed", func() bool { return strings.Contains(r.logs.String(), "replay ended") })
		}
	}
}

// TestReplayGivesWay: a reader whose segments are needed lets them go, and the replay says so.
func TestReplayGivesWay(t *testing.T) {
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), MaxBytes: 2 << 20, MaxPayload: 64 << 10, AckDeadline: time.Minute})
	must(t, err)
	defer func() { must(t, j.Close()) }()
	put := func() {
		t.Helper()
		c := schema.Callback{AppID: signedApp, Gateway: []byte("g"), Command: []byte("c"), ReceivedAt: time.Now(), Body: bytes.Repeat([]byte("x"), 32<<10)}
		ticket, err := j.Append(false, func(dst []byte) []byte { return appendEntry(dst, rawTopic, &c) })
		must(t, err)
		must(t, j.Wait(ticket, journal.Disk))
		j.Checkpoint(ticket.LSN, nil)
	}
	for range 20 {
		put()
	}
	r := &replay{journal: j, order: replayOrder{Range: replayRange{From: 1}, Rate: 10}, tell: func(*replayReport) {}}
	r.report.Topics, r.report.Closed = map[string]*replayTopic{}, map[string]int64{}
	r.report.Settled = j.Stats().Settled
	r.report.KeptFrom = 1
	r.reader = j.Reader(1)
	defer r.reader.Close()
	if _, err := r.fill(t.Context()); err != nil || len(r.records) != 1 {
		t.Fatalf("%d records, %v", len(r.records), err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for err = r.makeRoom(); err == nil && time.Now().Before(deadline); err = r.makeRoom() {
		put() // refused for ever if the reader kept its segment
	}
	if err == nil || !strings.Contains(err.Error(), "the journal needed the space") {
		t.Errorf("makeRoom: %v", err)
	}
}

func TestReplayNotUnderstood(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir+"/journal", 2) // nothing of it is settled
	for name, row := range map[string]struct {
		args   string
		status int
		want   string
	}{
		"no range":    {"", process.ExitFailed, "--from or --since: one of them is needed"},
		"backwards":   {"--from=5 --to=4", process.ExitFailed, "--to: want --from (5) or more, have 4"},
		"past":        {"--since=2026-01-02T00:00:00Z --until=2026-01-01T00:00:00Z", process.ExitFailed, "--until: is before --since"},
		"rate":        {"--from=1 --rate=-1", process.ExitFailed, "--rate: want 0 or more, have -1"},
		"no time":     {"--since=yesterday", process.ExitUsage, "--since"},
		"nothing yet": {"--from=1", process.ExitOK, "nothing that was delivered is kept\nlater ones are left to normal delivery\n0 callbacks would"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, printed := replayed(t, dir+"/journal", strings.Fields(row.args)...); status != row.status || !strings.Contains(printed, row.want) {
				t.Errorf("exit status %d\n%s", status, printed)
			}
		})
	}
	if _, err := os.Stat(dir + "/journal/" + socketName); err == nil {
		t.Error("a command made a control socket")
	}
}

// TestReplayGoesByReceipt: a batch may have begun before a callback that is in it was received.
func TestReplayGoesByReceipt(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	received := schema.Callback{AppID: 1400000001, ReceivedAt: noon, Body: []byte("{}")}
	e := journal.Entry{LSN: 7, Time: noon.Add(-time.Second), Payload: entry.Append(nil, "topic", &received)}
	unreadable := journal.Entry{LSN: 8, Time: noon.Add(-time.Second), Payload: []byte{0xff}}
	since, until := replayRange{Since: noon}, replayRange{Until: noon.Add(-time.Millisecond)}
	if !since.has(&e) || until.has(&e) {
		t.Error("a callback is left out of what begins when it was received, or is in what ends before")
	}
	if since.has(&unreadable) || !until.has(&unreadable) {
		t.Error("what cannot be read does not go by its batch")
	}
}
