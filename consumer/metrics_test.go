package main

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/metricslist"
)

// TestMetricsAreTheList scrapes a consumer at work and holds what it tells to docs/metrics.md,
// both ways; and no app is a label.
func TestMetricsAreTheList(t *testing.T) {
	b := newBench(t, allTopics())
	receiver := newReceiver(t)
	r := b.run("--notify", writeNotify(t, "channels: [{name: hook, type: webhook, url: '"+receiver.URL+"'}]\ndefault: [hook]\n"))
	b.produce("im.alarms.raw", 1400000001, alarm(7321))
	eventually(t, "the alarm, and the lag of a partition", func() bool {
		_, text := r.get("/metrics")
		return r.metric(`tidegate_consumer_records_total{outcome="saved"}`) == "1" && strings.Contains(text, "tidegate_consumer_lag_records{")
	})
	_, text := r.get("/metrics")
	listed, err := metricslist.Read("../docs/metrics.md", "Both", "Consumer")
	if err != nil {
		t.Fatal(err)
	}
	scraped, err := metricslist.Scraped([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range metricslist.Compare(listed, scraped, "partitions assigned", "--notify") {
		t.Error(difference)
	}
	if strings.Contains(text, "1400000001") {
		t.Error("an app is in /metrics")
	}
}
