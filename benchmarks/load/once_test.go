package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

func TestParseRows(t *testing.T) {
	for _, test := range []struct {
		name, text string
		rows       int
		bad        bool
	}{
		{name: "none", text: ""},
		{name: "empty array", text: "[]\n"},
		{name: "array", text: `[{"alarm_id":"a","deliveries":1,"severity":"ok"},` + "\n" + `{"alarm_id":"b","deliveries":2}]`, rows: 2},
		{name: "lines", text: "{\"alarm_id\":\"a\"}\n{\"alarm_id\":\"b\"}\n", rows: 2},
		{name: "table", text: "APP  OWNER", bad: true},
		{name: "torn", text: `[{"alarm_id":"a"`, bad: true},
	} {
		rows, err := parseRows([]byte(test.text))
		if len(rows) != test.rows || (err != nil) != test.bad {
			t.Errorf("%s: %d rows, %v", test.name, len(rows), err)
		}
	}
}

// pipeline is a broker with the topics, and a stand-in gateway that puts each callback
// into the topics as far as the case says.
type pipeline struct {
	kafka kafkaconn.Flags
	url   string
}

func newPipeline(t *testing.T, came func(raw *kgo.Record) []*kgo.Record, answer func(http.ResponseWriter)) pipeline {
	t.Helper()
	broker, err := stack.StartBroker(stack.BrokerOptions{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	kafka := kafkaconn.Flags{Brokers: broker.Addrs()}
	if err := stack.CreateTopics(t.Context(), kafka, 3); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		raw := &kgo.Record{Topic: schema.NewTopics("").AlarmsRaw, Key: []byte(r.URL.Query().Get("SdkAppid")), Value: body}
		if err := client.ProduceSync(context.Background(), came(raw)...).FirstErr(); err != nil {
			t.Error(err)
		}
		answer(w)
	}))
	t.Cleanup(server.Close)
	return pipeline{kafka: kafka, url: server.URL}
}

func accept(w http.ResponseWriter) { fmt.Fprint(w, envelope) }

// enriched makes the event of a raw record, as the consumer would.
func enriched(t *testing.T, raw *kgo.Record) (*kgo.Record, string) {
	t.Helper()
	var command onceCommand
	var body struct {
		QuotaUsed, Quota int64
		EventTime        string
	}
	if err := json.Unmarshal(raw.Value, &body); err != nil {
		t.Error(err)
	}
	command.App, command.Used, command.Quota = 7, body.QuotaUsed, body.Quota
	id := command.alarmID(millis(t, body.EventTime))
	value, err := json.Marshal(schema.EnrichedAlarm{AlarmID: id, SdkAppID: 7, Severity: schema.SeverityWatch})
	if err != nil {
		t.Error(err)
	}
	return &kgo.Record{Topic: schema.NewTopics("").Alarms, Key: raw.Key, Value: value}, id
}

func TestOnceNamesTheHopThatIsMissing(t *testing.T) {
	folder := t.TempDir()
	apps := filepath.Join(folder, "apps.yaml")
	if err := os.WriteFile(apps, []byte("apps:\n  - {sdk_app_id: 7, name: Seven, tokens: [\"plain:t\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The stand-in for bin/consumer prints whatever stands in a file.
	rows, consumer := filepath.Join(folder, "rows"), filepath.Join(folder, "consumer")
	if err := os.WriteFile(consumer, []byte("#!/bin/sh\ncat "+rows+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	save := func(text string) {
		if err := os.WriteFile(rows, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	dead := &kgo.Record{Topic: schema.NewTopics("").AlarmsDLQ, Headers: []kgo.RecordHeader{
		{Key: schema.HeaderDeadReason, Value: []byte("bad_field")}, {Key: schema.HeaderDeadMessage, Value: []byte("Quota is odd")},
	}}
	for _, test := range []struct {
		name   string
		came   func(raw *kgo.Record) []*kgo.Record
		answer func(http.ResponseWriter)
		err    string
		prints []string
	}{
		{name: "all hops", prints: []string{"answer", "raw", "row", "enriched"}, came: func(raw *kgo.Record) []*kgo.Record {
			event, id := enriched(t, raw)
			save(`[{"alarm_id":"` + id + `","deliveries":1}]`)
			return []*kgo.Record{raw, event}
		}},
		{name: "refused", err: "401, ErrorCode 15", prints: []string{"answer"}, answer: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"ErrorCode":15}`)
		}},
		{name: "not in Kafka", err: "missing hop: raw", prints: []string{"answer"}, came: func(*kgo.Record) []*kgo.Record { return nil }},
		{name: "not saved", err: "missing hop: row", prints: []string{"answer", "raw"}},
		{name: "saved, not published", err: "missing hop: enriched", prints: []string{"answer", "raw", "row"}, came: func(raw *kgo.Record) []*kgo.Record {
			_, id := enriched(t, raw)
			save(`[{"alarm_id":"` + id + `","deliveries":1}]`)
			return []*kgo.Record{raw}
		}},
		{name: "a dead letter", err: "bad_field: Quota is odd", prints: []string{"answer"}, came: func(raw *kgo.Record) []*kgo.Record {
			dead.Value = raw.Value
			return []*kgo.Record{raw, dead}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			save("[]")
			came, answer := test.came, test.answer
			if came == nil {
				came = func(raw *kgo.Record) []*kgo.Record { return []*kgo.Record{raw} }
			}
			if answer == nil {
				answer = accept
			}
			p := newPipeline(t, came, answer)
			var out bytes.Buffer
			err := execute(t.Context(), []string{
				"once", "--url", p.url, "--apps-file", apps, "--app", "7", "--brokers", strings.Join(p.kafka.Brokers, ","),
				"--consumer-bin", consumer, "--timeout", "2s",
			}, &out)
			if test.err == "" && err != nil || test.err != "" && (!errors.Is(err, errMissing) || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			for _, hop := range test.prints {
				if !strings.Contains(out.String(), hop+" ") {
					t.Errorf("no %s in\n%s", hop, out.String())
				}
			}
		})
	}
}

func millis(t *testing.T, text string) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Error(err)
	}
	return time.UnixMilli(n)
}
