//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// crossing is an app that reached a step.
type crossing struct {
	app  int64
	step schema.Severity
}

// alerts stands between the consumer and the Alertmanager, hands everything on, and notes when
// that answered 200 to the first post of each step's alert. Without an Alertmanager it answers
// itself.
type alerts struct {
	to     string // URL of the Alertmanager; empty: none
	server *http.Server
	url    string

	mu    sync.Mutex
	first map[crossing]time.Time // guarded by mu
}

// errAlerts says that the Alertmanager did not take an alert.
var errAlerts = errors.New("the Alertmanager refused an alert")

// alertPath is where alerts are posted (Alertmanager's API v2).
const alertPath = "/api/v2/alerts"

// newAlerts listens on loopback. The caller closes it.
func newAlerts(to string) (*alerts, error) {
	if to != "" {
		if err := onLoopback(to); err != nil {
			return nil, fmt.Errorf("--alertmanager: %w", err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for alerts: %w", err)
	}
	a := &alerts{to: strings.TrimSuffix(to, "/"), url: "http://" + listener.Addr().String(), first: map[crossing]time.Time{}}
	a.server = &http.Server{Handler: http.HandlerFunc(a.take), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = a.server.Serve(listener) }() // ends with close
	return a, nil
}

func (a *alerts) close() { _ = a.server.Close() }

// take hands one post on.
func (a *alerts) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.post(r.Context(), body); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	a.note(body, time.Now())
}

// post gives alerts to the Alertmanager and returns when that has answered 200.
func (a *alerts) post(ctx context.Context, body []byte) error {
	if a.to == "" {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.to+alertPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s: %s", errAlerts, answer.Status, text)
	}
	return nil
}

// note notes what a post that was taken at said.
func (a *alerts) note(body []byte, at time.Time) {
	var posted []struct {
		Labels map[string]string `json:"labels"`
	}
	if json.Unmarshal(body, &posted) != nil {
		return // the Alertmanager would have refused it
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range posted {
		app, err := strconv.ParseInt(one.Labels["sdk_app_id"], 10, 64)
		key := crossing{app, schema.Severity(one.Labels["step"])}
		if _, known := a.first[key]; err == nil && !known && one.Labels["alertname"] == "TidegateGroupQuota" {
			a.first[key] = at
		}
	}
}

// arrived says when the alert of a step was there.
func (a *alerts) arrived(c crossing) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, there := a.first[c]
	return at, there
}

// direct measures n posts of one alert each, straight to the Alertmanager.
func (a *alerts) direct(ctx context.Context, n int) (*latencies, error) {
	l := newLatencies()
	for i := range n {
		now := time.Now().UTC()
		body, err := json.Marshal([]map[string]any{{
			"labels":   map[string]string{"alertname": "TidegateBench", "number": strconv.Itoa(i)},
			"startsAt": now.Format(time.RFC3339Nano), "endsAt": now.Add(time.Second).Format(time.RFC3339Nano),
		}})
		if err != nil {
			return nil, err
		}
		if err := a.post(ctx, body); err != nil {
			return nil, err
		}
		l.note(time.Since(now))
	}
	return l, nil
}
