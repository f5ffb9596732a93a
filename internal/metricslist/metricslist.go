// Package metricslist holds what a process tells under /metrics to the list in docs/metrics.md,
// for the tests of both binaries: an operator finds every metric in the list, and everything in
// the list is there.
package metricslist

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metric is one row of the list, or one metric as it was scraped.
type Metric struct {
	Type   string   // counter, gauge or histogram
	Labels []string // names, sorted
	When   string   // what it is there under; empty: always
}

// ours begins the names that the list is about: the others are those of Go's and of the
// process's collectors.
const ours = "tidegate_"

// Read reads the tables under the headings of a markdown file, such as "Both" and "Gateway". A
// row is
//
//	| `name` | type | `label`, `label` | when | what it tells |
//
// An error says which line is none, or which metric is there twice.
func Read(path string, headings ...string) (map[string]Metric, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, inside := map[string]Metric{}, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			inside = slices.Contains(headings, heading)
		}
		if !inside || !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("%s: %d cells, want 5: %s", path, len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
		}
		if _, twice := list[cells[0]]; twice {
			return nil, fmt.Errorf("%s: %s is there twice", path, cells[0])
		}
		m := Metric{Type: cells[1], When: cells[3]}
		if cells[2] != "" {
			m.Labels = strings.Split(cells[2], ", ")
		}
		slices.Sort(m.Labels)
		list[cells[0]] = m
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no metric under %v", path, headings)
	}
	return list, nil
}

// Scraped reads the metrics of ours in a scrape, text as Prometheus takes it. Two series of one
// metric with other labels are an error.
func Scraped(text []byte) (map[string]Metric, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	list := map[string]Metric{}
	for name, family := range families {
		if !strings.HasPrefix(name, ours) {
			continue
		}
		m := Metric{Type: strings.ToLower(family.GetType().String())}
		for i, series := range family.GetMetric() {
			labels := namesOf(series)
			if i > 0 && !slices.Equal(labels, m.Labels) {
				return nil, fmt.Errorf("%s has series with the labels %v and with %v", name, m.Labels, labels)
			}
			m.Labels = labels
		}
		list[name] = m
	}
	return list, nil
}

func namesOf(series *dto.Metric) (names []string) {
	for _, l := range series.GetLabel() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return names
}

// Compare returns what differs, a line each: metrics that are not listed, listed ones that are
// missing or otherwise. A metric with a When may be missing unless conditions has that.
func Compare(listed, scraped map[string]Metric, conditions ...string) (differences []string) {
	for _, name := range slices.Sorted(maps.Keys(scraped)) {
		got := scraped[name]
		want, ok := listed[name]
		switch {
		case !ok:
			differences = append(differences, fmt.Sprintf("not in the list: | `%s` | %s | %s | | |", name, got.Type, strings.Join(got.Labels, ", ")))
		case got.Type != want.Type || !slices.Equal(got.Labels, want.Labels):
			differences = append(differences, fmt.Sprintf("%s is a %s with the labels %v, the list says %s with %v", name, got.Type, got.Labels, want.Type, want.Labels))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		_, there := scraped[name]
		if when := listed[name].When; !there && (when == "" || slices.Contains(conditions, when)) {
			differences = append(differences, name+" is in the list and was not scraped")
		}
	}
	return differences
}
