//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// An alert has arrived when the Alertmanager took the first post of it, not when it was posted.
func TestAlertsArriveWhenTheyAreTaken(t *testing.T) {
	status := http.StatusServiceUnavailable
	var posted string
	manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted = r.URL.Path + " " + string(body)
		w.WriteHeader(status)
	}))
	defer manager.Close()
	a, err := newAlerts(manager.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	one := crossing{7, schema.SeverityCritical}
	const body = `[{"labels":{"alertname":"TidegateGroupQuota","sdk_app_id":"7","step":"critical"}},{"labels":{"alertname":"TidegateGroupQuotaForecast","sdk_app_id":"8","step":"watch"}}]`
	post := func() int {
		t.Helper()
		answer, err := http.Post(a.url+alertPath, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if got := post(); got != http.StatusBadGateway {
		t.Errorf("refused by the Alertmanager, answered %d", got)
	}
	if _, there := a.arrived(one); there {
		t.Error("an alert that was refused has arrived")
	}
	status = http.StatusOK
	if got := post(); got != http.StatusOK || posted != alertPath+" "+body {
		t.Errorf("answered %d, posted %q", got, posted)
	}
	first, there := a.arrived(one)
	if !there {
		t.Fatal("an alert that was taken has not arrived")
	}
	post()
	if again, _ := a.arrived(one); !again.Equal(first) {
		t.Error("an alert that is kept alive has arrived anew")
	}
	if _, there := a.arrived(crossing{8, schema.SeverityWatch}); there {
		t.Error("a forecast counts as a step")
	}
}

func TestOnlyLoopbackIsTouched(t *testing.T) {
	for raw, well := range map[string]bool{
		"http://127.0.0.1:9093": true, "tcp://localhost:9092": true, "http://[::1]:1": true,
		"http://alerts.example:9093": false, "tcp://10.0.0.1:9092": false, "": false,
	} {
		if err := onLoopback(raw); (err == nil) != well {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if _, err := newPostgresTable(context.Background(), "postgres://u@db.example/x"); !errors.Is(err, errElsewhere) {
		t.Errorf("a PostgreSQL elsewhere: %v", err)
	}
}

// event is the record of an enriched alarm.
func event(id string, app int64, step schema.Severity, entered bool, partition int32) *schema.Record {
	at := "2026-01-02T15:04:05.000Z"
	e := schema.EnrichedAlarm{AlarmID: id, SdkAppID: app, Command: schema.CommandQuotaAlarm, QuotaUsed: 1, Quota: 2, Severity: step, StepEntered: entered,
		EventTime: at, EventTimeSource: schema.EventTimeVendor, ReceivedAt: at, Period: "2026-01-02", ForecastBasis: schema.ForecastTooFew,
		Authenticated: "none", CallbackID: "0000000000000001-1", RawTopic: "t", RawPartition: partition}
	value, err := json.Marshal(&e)
	if err != nil {
		panic(err)
	}
	r := e.Record("im.alarms", value)
	return &r
}

// Of an event that comes more than once the first counts.
func TestFirstSightCounts(t *testing.T) {
	s := &seen{events: map[string]time.Time{}, steps: map[crossing]string{}, partitions: map[int32][]time.Time{}}
	begun := time.Unix(1000, 0)
	at := func(n int) time.Time { return begun.Add(time.Duration(n) * time.Second) }
	s.note(event("a", 7, schema.SeverityWatch, true, 3), at(1))
	s.note(event("a", 7, schema.SeverityWatch, true, 3), at(2))
	s.note(event("b", 7, schema.SeverityWatch, false, 3), at(3))
	s.note(event("c", 8, schema.SeverityWarning, true, 4), at(4))
	if s.wrong != nil {
		t.Fatal(s.wrong)
	}
	if got, there := s.event("a"); !there || !got.Equal(at(1)) || s.count() != 3 {
		t.Errorf("a at %v, %d events", got, s.count())
	}
	if got := s.entered(); len(got) != 2 || got[crossing{7, schema.SeverityWatch}] != "a" {
		t.Errorf("entered %v", got)
	}
	first := s.firstAfter(at(1))
	if len(first) != 2 || !first[3].Equal(at(3)) || !first[4].Equal(at(4)) {
		t.Errorf("first after a second %v", first)
	}
	s.note(&schema.Record{Topic: "im.alarms", Value: []byte("{}")}, at(5))
	if s.wrong == nil {
		t.Error("what is no event is passed over")
	}
}
