package main

import (
	"bytes"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// resend runs `notify resend`.
func (b *bench) resend(more ...string) (int, string) {
	b.t.Helper()
	var out bytes.Buffer
	status := execute(b.t.Context(), append([]string{"notify", "resend", "--store", b.store}, more...), &out, &out)
	return status, out.String()
}

// parked puts notices of an app into the bench's database: one made at each of times, refused
// by every one of channels.
func (b *bench) parked(times []time.Time, channels ...string) {
	b.t.Helper()
	var now time.Time
	s, err := store.Open(b.t.Context(), b.store, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	for i, at := range times {
		now = at
		n := quota.Notice{
			AppID: 1400000001, Period: schema.FormatTime(at), Kind: quota.KindStep, Step: schema.SeverityCritical, Count: 1,
			Alarm: schema.EnrichedAlarm{SdkAppID: 1400000001, EventTime: schema.FormatTime(at)},
		}
		tx, err := s.Begin(b.t.Context(), "im.alarms.raw", 1, nil, nil)
		if err == nil {
			err = tx.Save(b.t.Context(), store.Changes{Notices: []quota.Notice{n}, Progress: store.Progress{Topic: "im.alarms.raw", Partition: 1, Offset: int64(i)}})
		}
		if err != nil {
			b.t.Fatal(err)
		}
		fresh, err := s.Unrouted(b.t.Context(), 2)
		if err != nil || len(fresh) != 1 {
			b.t.Fatalf("%d unrouted, %v", len(fresh), err)
		}
		if _, err := s.Route(b.t.Context(), []store.Route{{NoticeID: fresh[0].ID, Channels: channels}}, at); err != nil {
			b.t.Fatal(err)
		}
	}
	var refused []store.Settlement
	for d, err := range s.Dispatches(b.t.Context(), store.DispatchFilter{}) {
		if err != nil {
			b.t.Fatal(err)
		}
		refused = append(refused, store.Settlement{ID: d.ID, State: store.DispatchParked, Error: "HTTP 410: \x1b gone"})
	}
	if err := s.Settle(b.t.Context(), refused, now); err != nil {
		b.t.Fatal(err)
	}
}

func TestResendSaysBeforeItDoes(t *testing.T) {
	b := newBench(t)
	first := time.Date(2026, time.November, 23, 1, 2, 3, 0, time.UTC)
	b.parked([]time.Time{first, first.Add(time.Hour), first.Add(48 * time.Hour)}, "oncall", "harbor")
	status, out := b.resend()
	want := strings.Join([]string{
		"CHANNEL  PARKED  MADE FROM (UTC)      TO (UTC)             LAST ERROR",
		"harbor   3       2026-11-23 01:02:03  2026-11-25 01:02:03  HTTP 410: \ufffd gone",
		"oncall   3       2026-11-23 01:02:03  2026-11-25 01:02:03  HTTP 410: \ufffd gone",
		"--yes sends them again",
		"",
	}, "\n")
	if status != process.ExitOK || out != want {
		t.Errorf("dry run: status %d, printed\n%swant\n%s", status, out, want)
	}
	if strings.Contains(b.list(), "pending") {
		t.Fatalf("the dry run did it:\n%s", b.list())
	}
	for _, test := range []struct {
		args    string
		resent  string
		pending int // after it, of all
	}{
		{"--channel=nobody", "no such notice is parked", 0},
		{"--app=1400000002", "no such notice is parked", 0},
		{"--channel=oncall --since=2026-11-23T02:00:00Z --until=2026-11-24T00:00:00Z", "1 of them wait", 1},
		{"--channel=oncall --since=2026-11-23T02:00:00Z --until=2026-11-24T00:00:00Z", "no such notice is parked", 1},
		{"--id=1", "1 of them wait", 2},
		{"--limit=1", "1 of them wait", 3},
		{"", "3 of them wait", 6},
		{"", "no such notice is parked", 6},
	} {
		status, out := b.resend(append(strings.Fields(test.args), "--yes")...)
		pending := strings.Count(b.list("--state=pending"), "pending")
		if status != process.ExitOK || !strings.Contains(out, test.resent) || pending != test.pending {
			t.Errorf("%q: status %d, %d pending, want %q and %d:\n%s", test.args, status, pending, test.resent, test.pending, out)
		}
	}
}

func TestResendRefuses(t *testing.T) {
	b := newBench(t)
	for args, want := range map[string]string{
		"--id=-1": "--id: want one that list has", "--app=-1": "--app: want an SdkAppid", "--limit=-1": "--limit: want 0 or more",
		"--since=2026-11-24T00:00:00Z --until=2026-11-23T00:00:00Z": "--until: is before --since",
	} {
		if status, out := b.resend(strings.Fields(args)...); status == process.ExitOK || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %s", args, status, out)
		}
	}
	b.store = "sqlite:" + filepath.Join(t.TempDir(), "none.db")
	if status, out := b.resend("--yes"); status != process.ExitOK || !strings.Contains(out, "no consumer has saved anything there yet") {
		t.Errorf("no store: status %d, %s", status, out)
	}
}

// TestResentBesideTheConsumer: the consumer that runs sends it, and nobody has to tell it.
func TestResentBesideTheConsumer(t *testing.T) {
	b := newBench(t, allTopics())
	r := newReceiver(t)
	r.answer(http.StatusGone)
	b.run("--notify", writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+r.URL+"'}]\ndefault: [hook]\n"))
	b.produce("im.alarms.raw", 1400000001, alarm(9100))
	eventually(t, "it is parked", func() bool { return strings.Contains(b.list("--state=parked"), "HTTP 410") })
	r.answer(http.StatusOK)
	if status, out := b.resend("--channel=hook", "--yes"); status != process.ExitOK || !strings.Contains(out, "1 of them wait for their channels again") {
		t.Fatalf("status %d, %s", status, out)
	}
	eventually(t, "it is sent", func() bool { return strings.Contains(b.list("--state=sent"), "Harbor Chat") })
}
