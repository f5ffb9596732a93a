package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/metricslist"
	"github.com/tidegate/tidegate/schema"
)

// TestMetricsAreTheList scrapes a gateway that has done a bit of everything and holds what it
// tells to docs/metrics.md, both ways; and no app is a label.
func TestMetricsAreTheList(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	r.mustPost(t, unsignedApp, "C2C.CallbackBeforeSendMsg", "{}")
	if status, _ := r.post(1400000003, schema.CommandQuotaAlarm, alarm(1)); status != http.StatusForbidden {
		t.Errorf("an app that is not listed: %d", status)
	}
	consume(t, c, rawTopic, 1)
	write(t, dir, "apps.yaml", appsYAML+"  - {sdk_app_id: 1400000003, name: Pier}\n")
	eventually(t, "the file is read again", func() bool {
		status, _ := r.post(1400000003, schema.CommandQuotaAlarm, alarm(2))
		return status == http.StatusOK
	})
	_, text := r.page(t, "/metrics")
	listed, err := metricslist.Read("../docs/metrics.md", "Both", "Gateway")
	if err != nil {
		t.Fatal(err)
	}
	scraped, err := metricslist.Scraped([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range metricslist.Compare(listed, scraped, "a file changed") {
		t.Error(difference)
	}
	for _, app := range []int64{signedApp, unsignedApp, 1400000003} {
		if strings.Contains(text, strconv.FormatInt(app, 10)) {
			t.Errorf("app %d is in /metrics", app)
		}
	}
}

// TestTraceReachesTheRecord: a caller's trace goes on in the record, a broken one is left out,
// and neither is a reason to refuse.
func TestTraceReachesTheRecord(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
	for _, value := range []string{trace, "00-00000000000000000000000000000000-b7ad6b7169203331-01", "s3cret", ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url(unsignedApp, schema.CommandQuotaAlarm), strings.NewReader(alarm(1)))
		if err != nil {
			t.Fatal(err)
		}
		if value != "" {
			request.Header.Set("traceparent", value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", value, response.Status)
		}
	}
	var got []string
	for _, record := range consume(t, c, rawTopic, 4) {
		got = append(got, headerOf(record, schema.AttributeTraceparent.Header()))
	}
	if want := []string{trace, "", "", ""}; !slices.Equal(got, want) {
		t.Errorf("traces of the records: %q, want %q", got, want)
	}
}

// TestProfilesAreNotOnThePorts: neither the admin port nor that of the callbacks has them, by no
// way of writing it; the control socket's test has where they are.
func TestProfilesAreNotOnThePorts(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	for _, path := range []string{"/debug/pprof/", "/debug/pprof", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "//debug/pprof/heap", "/metrics/../debug/pprof/heap", "/journal/skip?lsn=1"} {
		if status, body := r.page(t, path); status != http.StatusNotFound {
			t.Errorf("admin port, %s: %d %.100s", path, status, body)
		}
		response, err := http.Get("http://" + r.listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("callbacks' port, %s: %s", path, response.Status)
		}
	}
}

// TestFloodInTheLog: fifty refusals are one line at once, and one at the stop that says how many
// were left out.
func TestFloodInTheLog(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	for range 50 {
		if status, _ := r.post(1400000003, schema.CommandQuotaAlarm, "{}"); status != http.StatusForbidden {
			t.Fatalf("status %d", status)
		}
	}
	const line = `"msg":"callback refused","reason":"app_unknown","status":403,"result":"refused","source":"127.0.0.1","left_out":0,"sdk_app_id":1400000003,"command":"Group.CallbackOnDailyGroupQuotaAlarm"`
	if text := r.logs.String(); strings.Count(text, line) != 1 || strings.Count(text, "refused") != 2 {
		t.Errorf("want once: %s", line)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if told := `"msg":"callbacks refused, without a line for each","reason":"app_unknown","status":403,"result":"refused","left_out":49}`; !strings.Contains(r.logs.String(), told) {
		t.Errorf("want at the stop: %s", told)
	}
}
