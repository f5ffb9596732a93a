//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// sample is what one turn measured: a line of consumer.jsonl.
type sample struct {
	Part    string             `json:"part"`
	Variant string             `json:"variant,omitempty"`
	Round   int                `json:"round"`
	Figures map[string]float64 `json:"figures"` // by name, which says the unit
	Facts   map[string]string  `json:"facts,omitempty"`
}

// Names of figures.
const (
	alarmsPerSecond = "alarms_per_second"
	copyPerSecond   = "copy_alarms_per_second"    // one COPY
	bulkPerSecond   = "bulk_alarms_per_second"    // in transactions as large as the consumer's
	rawPerSecond    = "encoded_alarms_per_second" // one COPY of what was encoded beforehand
	overCopy        = "over_copy"
	overBulk        = "over_bulk"
	overRaw         = "over_encoded"
	cpuPerAlarm     = "consumer_cpu_us_per_alarm"
	machineBusy     = "machine_busy_percent"
	peakMiB         = "peak_resident_mib"
	lagLeft         = "records_left"
	fillSeconds     = "fill_seconds"
	backlogSeconds  = "backlog_seconds"
	backlogRecords  = "backlog_records"
	rowsBefore      = "rows_before"
	appsOf          = "apps"
	processors      = "processors"
	p50Millis       = "p50_ms"
	p99Millis       = "p99_ms"
	maxMillis       = "max_ms"
	samples         = "samples"
	worstMillis     = "worst_partition_ms"
	firstMillis     = "first_partition_ms"
)

// Names of facts.
const (
	factKafka        = "kafka"
	factServer       = "server"
	factAlertmanager = "alertmanager"
)

// text is the sample in a line, for who watches.
func (s sample) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d  %-9s %-22s", s.Round+1, s.Part, s.Variant)
	for _, name := range slices.Sorted(maps.Keys(s.Figures)) {
		fmt.Fprintf(&b, " %s %.4g", name, s.Figures[name])
	}
	return b.String()
}

// of returns the spread over the rounds of a figure of a part's variant.
func of(all []sample, part, variant, figure string) rounds.Spread {
	var values []float64
	for _, s := range all {
		if v, measured := s.Figures[figure]; measured && s.Part == part && s.Variant == variant {
			values = append(values, v)
		}
	}
	return rounds.SpreadOf(values)
}

// fact returns what the samples of a part say of a thing, and otherwise where none says anything.
func fact(all []sample, part, name, otherwise string) string {
	for _, s := range all {
		if text := s.Facts[name]; s.Part == part && text != "" {
			return text
		}
	}
	return otherwise
}

// readSamples reads what an earlier run left; none where there was none.
func readSamples(path string) ([]sample, error) {
	all, err := rounds.ReadRaw[sample](path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	return all, nil
}
