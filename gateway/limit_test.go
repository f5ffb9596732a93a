package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// TestJournalLimitIsLive: a journal that is full while Kafka is away takes callbacks again from the
// moment in which its limit is raised, and the gateway is ready again without one.
func TestJournalLimitIsLive(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s", "--journal-max-bytes=8MiB")
	limit := func(want int, args ...string) string {
		t.Helper()
		status, printed := command(t, append([]string{"journal", "limit", "--journal-dir=" + r.set.JournalDir}, args...)...)
		if status != want {
			t.Errorf("%v: exit status %d\n%s", args, status, printed)
		}
		return printed
	}
	contains := func(printed, part string) {
		t.Helper()
		if !strings.Contains(printed, part) {
			t.Errorf("%q is not in\n%s", part, printed)
		}
	}
	body := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
	untilFull := func() {
		t.Helper()
		for n := 0; ; n++ {
			switch status, answer := r.post(unsignedApp, schema.CommandQuotaAlarm, body); {
			case status == http.StatusServiceUnavailable:
				return
			case status != http.StatusOK || n > 400:
				t.Fatalf("callback %d: %d %s", n, status, answer)
			}
		}
	}
	contains(limit(process.ExitOK), "limit 8MiB, ")
	untilFull()
	if status, page := r.page(t, "/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("%d\n%s", status, page)
	}
	contains(limit(process.ExitOK), " undelivered\n")

	contains(limit(process.ExitFailed, "1MiB"), "the limit stays 8MiB: want at least 2")
	contains(limit(process.ExitFailed, "0"), "want at least ")
	contains(limit(process.ExitUsage, "much"), "want a number of bytes")
	if s := r.delivery.journal.Stats(); s.LimitBytes != 8<<20 {
		t.Errorf("a refused limit holds: %d", s.LimitBytes)
	}

	printed := limit(process.ExitOK, "24MiB")
	contains(printed, "limit 24MiB, was 8MiB, ")
	contains(printed, "give that --journal-max-bytes=24MiB too\n")
	if status, page := r.page(t, "/readyz"); status != http.StatusOK { // no callback came yet
		t.Errorf("after the limit was raised: %d\n%s", status, page)
	}
	r.mustPost(t, unsignedApp, schema.CommandQuotaAlarm, body)
	if _, metrics := r.page(t, "/metrics"); !strings.Contains(metrics, "\ntidegate_gateway_journal_limit_bytes 2.5165824e+07\n") {
		t.Error("the metric does not say it")
	}
	contains(r.logs.String(), "the journal's limit was changed until the next start")
	untilFull()

	contains(limit(process.ExitOK, "8MiB"), "more is used than that: ")
	if status, _ := r.post(unsignedApp, schema.CommandQuotaAlarm, body); status != http.StatusServiceUnavailable {
		t.Errorf("lowered below what is used: %d", status)
	}
	must(t, r.stop())
	contains(limit(process.ExitFailed), "no gateway runs on this journal: its limit is the --journal-max-bytes of the next start")
}
