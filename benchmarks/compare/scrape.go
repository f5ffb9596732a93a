//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The metrics of the gateway's journal that are read.
const (
	metricSyncs   = "tidegate_gateway_journal_sync_seconds_count"
	metricBatches = "tidegate_gateway_journal_batch_entries_count"
	metricEntries = "tidegate_gateway_journal_batch_entries_sum"
	metricWaiting = "tidegate_gateway_journal_entries" // not yet settled
)

// sample is what the gateway's admin listener said at one moment.
type sample struct {
	at                               time.Time
	syncs, batches, entries, waiting float64
}

var scrapeClient = &http.Client{Timeout: 5 * time.Second}

// scrape asks the gateway whose admin listener is at address.
func scrape(address string) (sample, error) {
	answer, err := scrapeClient.Get("http://" + address + "/metrics")
	if err != nil {
		return sample{}, fmt.Errorf("scrape: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("scrape: answered %s", answer.Status)
	}
	s, err := parseMetrics(answer.Body)
	s.at = time.Now()
	return s, err
}

// parseMetrics reads the four metrics, which have no labels, out of the text format. One
// that is missing is an error: it was renamed, and a zero would look like a figure.
func parseMetrics(text io.Reader) (sample, error) {
	var s sample
	into := map[string]*float64{metricSyncs: &s.syncs, metricBatches: &s.batches, metricEntries: &s.entries, metricWaiting: &s.waiting}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		field, wanted := into[name]
		if !wanted {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return sample{}, fmt.Errorf("scrape: %s: %w", name, err)
		}
		*field = number
		delete(into, name)
	}
	if err := lines.Err(); err != nil {
		return sample{}, fmt.Errorf("scrape: %w", err)
	}
	for name := range into {
		return sample{}, fmt.Errorf("scrape: no %s", name)
	}
	return s, nil
}

// journalUse is what the journal did between two samples.
type journalUse struct {
	SyncsPerSec    float64 `json:"syncs_per_second,omitempty"`
	EntriesPerSync float64 `json:"entries_per_sync,omitempty"`
}

func (s sample) since(before sample) journalUse {
	var use journalUse
	if took := s.at.Sub(before.at).Seconds(); took > 0 {
		use.SyncsPerSec = (s.syncs - before.syncs) / took
	}
	if batches := s.batches - before.batches; batches > 0 {
		use.EntriesPerSync = (s.entries - before.entries) / batches
	}
	return use
}
