//go:build linux

package drive

import (
	"errors"
	"testing"
)

func TestMetricsAreReadByLabel(t *testing.T) {
	page := "# HELP a_total help\n# TYPE a_total counter\n" +
		`a_total{reason="none",result="accepted"} 7` + "\n" + `a_total{reason="none",result="dropped"} 1` + "\n" +
		`a_total{reason="path",result="refused"} 1.5e+06` + "\n" + `a_total_other{reason="x"} 3` + "\n"
	got, err := parseMetric(page, "a_total", "reason")
	if err != nil || len(got) != 2 || got["none"] != 8 || got["path"] != 1.5e6 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseMetric(page, "b_total", "reason"); !errors.Is(err, ErrNoMetric) {
		t.Errorf("a metric that is not there: %v", err)
	}
}
