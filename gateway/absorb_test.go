package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

func TestFullness(t *testing.T) {
	full := fmt.Errorf("append: %w", journal.ErrFull)
	type step struct {
		append  []error     // results of appends before the look
		settled journal.LSN // at the look
		want    bool
		limit   int64 // the budget at the look
	}
	for name, steps := range map[string][]step{
		"at the start":                       {{nil, 0, false, 0}},
		"room":                               {{[]error{nil}, 5, false, 0}},
		"full":                               {{[]error{nil}, 5, false, 0}, {[]error{full}, 5, true, 0}},
		"stays full while nothing happens":   {{[]error{full}, 5, true, 0}, {nil, 5, true, 0}, {nil, 5, true, 0}},
		"delivered: there may be room":       {{[]error{full}, 5, true, 0}, {nil, 6, false, 0}},
		"delivered, but still full":          {{[]error{full}, 5, true, 0}, {[]error{full}, 6, true, 0}, {nil, 6, true, 0}},
		"taken again":                        {{[]error{full}, 5, true, 0}, {[]error{nil}, 5, false, 0}},
		"the last one counts, taken":         {{[]error{nil, full, nil}, 5, false, 0}},
		"the last one counts, refused":       {{[]error{full, nil, full}, 5, true, 0}},
		"slow is not full":                   {{[]error{journal.ErrBusy}, 5, false, 0}},
		"too large is not full":              {{[]error{journal.ErrTooLarge}, 5, false, 0}},
		"closed is not full":                 {{[]error{journal.ErrClosed}, 5, false, 0}},
		"a larger budget: there may be room": {{[]error{full}, 5, true, 1}, {nil, 5, true, 1}, {nil, 5, false, 2}},
		"a larger budget, but still full":    {{[]error{full}, 5, true, 1}, {[]error{full}, 5, true, 2}, {nil, 5, true, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var f fullness
			for i, s := range steps {
				for _, err := range s.append {
					f.note(err)
				}
				if got := f.look(s.settled, s.limit); got != s.want {
					t.Errorf("look %d: full is %v", i, got)
				}
			}
		})
	}
}

// TestFullJournalAndReadiness: the last tenth is the alarms', and the gateway stays ready
// for them; after that it is not.
func TestFullJournalAndReadiness(t *testing.T) {
	dir := t.TempDir()
	routes := write(t, dir, "routes.yaml", `routes: [{command: "Group.CallbackAfter*", topic: im.callbacks.raw}]`)
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", "--routes="+routes, "--journal-max-bytes=8MiB")
	body := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
	until503 := func(command string) {
		for n := 0; ; n++ {
			status, answer := r.post(unsignedApp, command, body)
			switch {
			case status == http.StatusServiceUnavailable:
				return
			case status != http.StatusOK || n > 200:
				t.Fatalf("callback %d of %s: %d %s", n, command, status, answer)
			}
		}
	}
	until503("Group.CallbackAfterGroupInfoChanged")
	if status, page := r.page(t, "/readyz?verbose"); status != http.StatusOK || !strings.Contains(page, "[+] journal: full but for the reserve, which takes quota alarms: ") {
		t.Errorf("%d\n%s", status, page)
	}
	until503(schema.CommandQuotaAlarm)
	if status, page := r.page(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.HasPrefix(page, "not ready: journal: full: ") {
		t.Errorf("%d\n%s", status, page)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	// Kafka is back: a gateway over the same journal delivers, and is ready.
	c := broker(t, rawTopic, "im.callbacks.raw")
	again := start(t, dir, "--brokers="+c.ListenAddrs()[0], "--routes="+routes, "--journal-max-bytes=8MiB")
	eventually(t, "everything is delivered", func() bool { return again.delivery.journal.Stats().Entries == 0 })
	eventually(t, "room, once the checkpoint that says so is durable", func() bool {
		status, _ := again.post(unsignedApp, schema.CommandQuotaAlarm, body)
		return status == http.StatusOK
	})
	if status, page := again.page(t, "/readyz"); status != http.StatusOK {
		t.Errorf("%d\n%s", status, page)
	}
	if matches, _ := filepath.Glob(filepath.Join(dir, "journal", "*.corrupt")); len(matches) > 0 {
		t.Errorf("set aside: %v", matches)
	}
}
