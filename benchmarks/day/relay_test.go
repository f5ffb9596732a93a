package day

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/clock"
)

// relay stands between the consumers and Alertmanager, whose clock is the machine's: it moves
// the times of alerts by the difference of the clocks and posts them on. Without an Alertmanager
// it keeps them itself, as that does.
type relay struct {
	t       *testing.T
	clock   *clock.Clock
	backend string // empty: none
	server  *httptest.Server

	mu     sync.Mutex
	alerts map[string]alert // guarded by mu: by labels, where there is no backend
	posts  int              // guarded by mu
}

// alert is an alert as Alertmanager's API has it.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// name is an alert's labels as one text: equal labels are the same alert.
func (a *alert) name() string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(a.Labels)) {
		parts = append(parts, key+"="+a.Labels[key])
	}
	return strings.Join(parts, " ")
}

func newRelay(t *testing.T, c *clock.Clock, backend string) *relay {
	r := &relay{t: t, clock: c, backend: strings.TrimSuffix(backend, "/"), alerts: map[string]alert{}}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		status, err := r.take(req)
		if err != nil {
			t.Errorf("relay: %s %s: %v", req.Method, req.URL.Path, err)
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *relay) url() string { return r.server.URL }

// take handles one post of alerts.
func (r *relay) take(req *http.Request) (int, error) {
	if req.Method != http.MethodPost || req.URL.Path != "/api/v2/alerts" {
		return 0, fmt.Errorf("not expected")
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return http.StatusBadRequest, nil // the consumer was killed meanwhile
	}
	var alerts []alert
	if err := json.Unmarshal(body, &alerts); err != nil {
		return 0, fmt.Errorf("%w in %.300s", err, body)
	}
	ahead := r.clock.Ahead()
	for i := range alerts {
		alerts[i].StartsAt = alerts[i].StartsAt.Add(-ahead)
		alerts[i].EndsAt = alerts[i].EndsAt.Add(-ahead)
	}
	r.mu.Lock()
	r.posts++
	if r.backend == "" {
		for _, a := range alerts {
			r.alerts[a.name()] = a
		}
	}
	r.mu.Unlock()
	if r.backend == "" {
		return http.StatusOK, nil
	}
	shifted, err := json.Marshal(alerts)
	if err != nil {
		return 0, err
	}
	response, err := http.Post(r.backend+"/api/v2/alerts", "application/json", bytes.NewReader(shifted))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(response.Body)
		return 0, fmt.Errorf("alertmanager answered %d %s", response.StatusCode, answer)
	}
	return http.StatusOK, nil
}

// standing returns the alerts that stand now, by their labels: the date of the period that each
// is about.
func (r *relay) standing() (map[string]string, error) {
	var all []alert
	if r.backend == "" {
		r.mu.Lock()
		for _, a := range r.alerts {
			all = append(all, a)
		}
		r.mu.Unlock()
	} else {
		response, err := http.Get(r.backend + "/api/v2/alerts")
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&all); err != nil {
			return nil, err
		}
	}
	stand := map[string]string{}
	for i := range all {
		if all[i].EndsAt.After(time.Now()) {
			stand[all[i].name()] = all[i].Annotations["period"]
		}
	}
	return stand, nil
}
