//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// Whoever parks waits for a whole batch, and those that come together leave together.
func TestParkGroups(t *testing.T) {
	const wait = 20 * time.Millisecond
	c := newCommitter()
	go c.run(wait)
	defer close(c.wake)
	const goroutines = 50
	took := make(chan time.Duration, goroutines)
	start := time.Now()
	for range goroutines {
		go func() {
			begin := time.Now()
			c.park()
			took <- time.Since(begin)
		}()
	}
	for range goroutines {
		if waited := <-took; waited < wait*9/10 {
			t.Errorf("one waited %v of a batch of %v", waited, wait)
		}
	}
	// One by one they would take a second; grouped it is a batch or two.
	if all := time.Since(start); all > goroutines*wait/2 {
		t.Errorf("%d took %v together: they were not grouped", goroutines, all)
	}
}

func TestParseMetrics(t *testing.T) {
	const page = "# HELP tidegate_gateway_journal_sync_seconds Time of one fdatasync of a segment.\n" +
		"tidegate_gateway_journal_sync_seconds_bucket{le=\"0.0001\"} 3\ntidegate_gateway_journal_sync_seconds_sum 1.5\ntidegate_gateway_journal_sync_seconds_count 1200\n" +
		"tidegate_gateway_journal_batch_entries_sum 3.6e+04\ntidegate_gateway_journal_batch_entries_count 1200\ntidegate_gateway_journal_entries 17\n"
	got, err := parseMetrics(strings.NewReader(page))
	if err != nil || got != (sample{syncs: 1200, batches: 1200, entries: 36000, waiting: 17}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseMetrics(strings.NewReader(strings.Replace(page, "journal_entries", "journal_things", 1))); err == nil || !strings.Contains(err.Error(), metricWaiting) {
		t.Errorf("a metric that is missing gave %v", err)
	}
	at := time.Now()
	later := sample{at: at.Add(2 * time.Second), syncs: 3200, batches: 3200, entries: 96000}
	got.at = at
	if use := later.since(got); use != (journalUse{SyncsPerSec: 1000, EntriesPerSync: 30}) {
		t.Errorf("%+v", use)
	}
	if use := got.since(got); use != (journalUse{}) {
		t.Errorf("nothing happened, yet %+v", use)
	}
}

func TestFdatasyncTime(t *testing.T) {
	if took, err := fdatasyncTime(t.TempDir()); err != nil || took <= 0 || took > syncsWithin {
		t.Errorf("%v, %v", took, err)
	}
}
