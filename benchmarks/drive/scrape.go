//go:build linux

package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Scrape returns the values of one metric by one of its labels, as the server whose admin
// listener is at admin, HOST:PORT, has them now; series that share the label's value are summed.
// ErrNoMetric: there is none.
func Scrape(ctx context.Context, admin, metric, label string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, Starting)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("metrics of the server: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("metrics of the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics of the server: %w", err)
	}
	return parseMetric(string(text), metric, label)
}

// ErrNoMetric says that the page has no such metric, or none with the label.
var ErrNoMetric = errors.New("no such metric")

// parseMetric is Scrape of a page in Prometheus's text format.
func parseMetric(page, metric, label string) (map[string]float64, error) {
	values := map[string]float64{}
	for line := range strings.Lines(page) {
		labels, found := strings.CutPrefix(line, metric+"{")
		if !found {
			continue
		}
		labels, number, _ := strings.Cut(labels, "} ")
		at := slices.IndexFunc(strings.Split(labels, ","), func(l string) bool { return strings.HasPrefix(l, label+`="`) })
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if at < 0 || err != nil {
			continue
		}
		name := strings.Split(labels, ",")[at]
		values[strings.Trim(strings.TrimPrefix(name, label+"="), `"`)] += value
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s by %s: %w", metric, label, ErrNoMetric)
	}
	return values, nil
}
