package metricslist

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const page = `# Metrics
## Gateway
| metric | type | labels | when | tells |
|---|---|---|---|---|
| ` + "`tidegate_a_total` | counter | `result`, `reason`" + ` | | a |
| ` + "`tidegate_b_seconds`" + ` | histogram | | | b |
| ` + "`tidegate_c`" + ` | gauge | | TLS | c |
## Consumer
| ` + "`tidegate_d`" + ` | gauge | | | d |
`

const scrape = `# TYPE go_goroutines gauge
go_goroutines 7
# TYPE tidegate_a_total counter
tidegate_a_total{reason="x",result="y"} 1
tidegate_a_total{reason="z",result="y"} 1
# TYPE tidegate_b_seconds histogram
tidegate_b_seconds_bucket{le="+Inf"} 0
tidegate_b_seconds_sum 0
tidegate_b_seconds_count 0
`

func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.md")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		scrape     string
		conditions []string
		want       []string
	}{
		"the same":            {scrape, nil, nil},
		"not listed":          {scrape + "# TYPE tidegate_new gauge\ntidegate_new{topic=\"x\"} 1\n", nil, []string{"not in the list: | `tidegate_new` | gauge | topic | | |"}},
		"missing":             {strings.Split(scrape, "# TYPE tidegate_b")[0], nil, []string{"tidegate_b_seconds is in the list and was not scraped"}},
		"of another type":     {strings.Replace(scrape, "total counter", "total gauge", 1), nil, []string{"tidegate_a_total is a gauge with the labels [reason result], the list says counter with [reason result]"}},
		"with another label":  {strings.ReplaceAll(scrape, "reason=", "app="), nil, []string{"tidegate_a_total is a counter with the labels [app result], the list says counter with [reason result]"}},
		"missing under TLS":   {scrape, []string{"TLS"}, []string{"tidegate_c is in the list and was not scraped"}},
		"there without TLS":   {scrape + "# TYPE tidegate_c gauge\ntidegate_c 1\n", nil, nil},
		"the other's section": {scrape + "# TYPE tidegate_d gauge\ntidegate_d 1\n", nil, []string{"not in the list: | `tidegate_d` | gauge |  | | |"}},
	} {
		t.Run(name, func(t *testing.T) {
			listed, err := Read(path, "Gateway")
			if err != nil {
				t.Fatal(err)
			}
			scraped, err := Scraped([]byte(row.scrape))
			if err != nil {
				t.Fatal(err)
			}
			if got := Compare(listed, scraped, row.conditions...); !slices.Equal(got, row.want) {
				t.Errorf("differences\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nothing": "# Metrics\n", "another heading": "## Consumer\n| `x` | gauge | | | x |\n",
		"too few cells": "## Gateway\n| `x` | gauge | x |\n", "twice": "## Gateway\n| `x` | gauge | | | x |\n| `x` | gauge | | | x |\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := Read(path, "Gateway"); err == nil {
			t.Errorf("%s: read as %v", name, list)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), "Gateway"); err == nil {
		t.Error("a missing file was read")
	}
}

func TestScrapedRefuses(t *testing.T) {
	for _, text := range []string{"{}{", "# TYPE tidegate_a gauge\ntidegate_a{x=\"1\"} 1\ntidegate_a{y=\"1\"} 1\n"} {
		if list, err := Scraped([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, list)
		}
	}
}
