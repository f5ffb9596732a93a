package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// The vendor's documented example (trtc.io/document/57455), as valid JSON, with EventTime
// as the sample has it and as the table types it.
const (
	vendorString  = `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"1670574414123"}`
	vendorInteger = `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":1670574414123}`
)

func TestVendorsExample(t *testing.T) {
	s := newScene(t, 1, nil)
	for _, body := range []string{vendorString, vendorInteger} {
		if got, want := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(body)), (answer{200, okAnswer}); got != want {
			t.Errorf("answer %+v, want %+v", got, want)
		}
	}
	// The two say the same thing: one alarm, delivered twice.
	s.eventually("one row", func() error { return s.oneRow(2) })
	row := s.rows(s.unsignedApp())[0]
	if row.QuotaUsed != 7321 || row.Quota != 10000 || row.EventTime != "2022-12-09T08:26:54.123Z" || row.UsedPercent != 73.21 || row.Severity != schema.SeverityWatch {
		t.Errorf("row %+v", row)
	}
}

func TestFiveDeliveriesAreOneRowAndOneEvent(t *testing.T) {
	s := newScene(t, 1, nil)
	for range 5 {
		if got := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(vendorString)); got.status != 200 {
			t.Fatalf("answer %+v", got)
		}
	}
	s.eventually("one row with five deliveries", func() error { return s.oneRow(5) })
	if raw := s.records(s.stack.Topics().AlarmsRaw); len(raw) != 5 {
		t.Errorf("%d raw records, want 5", len(raw))
	}
	events := s.records(s.stack.Topics().Alarms)
	if len(events) != 1 {
		t.Errorf("%d events, want 1", len(events))
	}
}

// oneRow checks that the unsigned app has one row with so many deliveries.
func (s *scene) oneRow(deliveries int) error {
	rows := s.rows(s.unsignedApp())
	if len(rows) != 1 || rows[0].Deliveries != deliveries {
		return fmt.Errorf("rows %+v", rows)
	}
	return nil
}

// What comes out of the enriched topic is what the published schemas say, for whatever
// the vendor may send.
func TestEnrichedEventsValidateAgainstThePublishedSchema(t *testing.T) {
	published := publishedSchemas(t)
	s := newScene(t, 6, nil)
	entries := s.load("--requests=300", "--rate=300", "--climb=3", "--history=20m", "--event-time=mixed", "--malformed=0.1").entries()
	more := s.load("--requests=30", "--event-time=absent").entries()
	entries = append(entries, more...)
	s.settled(entries)
	s.consumed(entries)
	severities := map[schema.Severity]int{}
	for _, r := range s.records(s.stack.Topics().Alarms) {
		event, err := published.check(&r)
		if err != nil {
			t.Errorf("%s\n%v", r.Value, err)
		}
		severities[event.Severity]++
	}
	for _, severity := range []schema.Severity{schema.SeverityWatch, schema.SeverityWarning, schema.SeverityCritical, schema.SeverityExhausted} {
		if severities[severity] == 0 {
			t.Errorf("no event of severity %s: %v", severity, severities)
		}
	}
}

func TestOtherCommandsAreAnsweredAndDropped(t *testing.T) {
	s := newScene(t, 1, nil)
	for _, command := range []string{"State.StateChange", "Group.CallbackAfterGroupInfoChanged", "Group.CallbackBeforeCreateGroup", "Made.UpTomorrow"} {
		if got, want := s.post(s.unsignedApp(), command, []byte(`{"CallbackCommand":"`+command+`"}`)), (answer{200, okAnswer}); got != want {
			t.Errorf("%s: answer %+v, want %+v", command, got, want)
		}
	}
	if got := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(vendorString)); got.status != 200 {
		t.Fatalf("answer %+v", got)
	}
	s.eventually("the alarm behind them", func() error { return s.oneRow(1) })
	for _, topic := range []string{s.stack.Topics().CallbacksRaw, s.stack.Topics().AlarmsDLQ} {
		if records := s.records(topic); len(records) != 0 {
			t.Errorf("%d records in %s", len(records), topic)
		}
	}
}

func TestLoadOnceFollowsOneAlarm(t *testing.T) {
	s := newScene(t, 1, nil)
	args := []string{"once", "--url=" + s.stack.GatewayURL(), "--apps-file=" + s.appsFile, "--app=" + strconv.FormatInt(s.apps[0], 10), "--store=" + s.stack.StoreURL()}
	args = append(args, stack.KafkaFlags(s.stack.Kafka())...)
	once := func(more ...string) (string, error) {
		out, err := exec.Command(bin(t, "load"), slices.Concat(args, more)...).CombinedOutput()
		return string(out), err
	}
	out, err := once()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, hop := range []string{"answer", "raw", "row", "enriched"} {
		if !strings.Contains(out, hop) || !strings.Contains(out, " ms ") {
			t.Errorf("no %s in\n%s", hop, out)
		}
	}

	// Each missing hop is named, with exit status 1.
	if err := s.stack.Consumer().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err = once("--timeout=2s"); err == nil || !strings.Contains(out, "missing hop: row") {
		t.Errorf("without a consumer: %v\n%s", err, out)
	}
	if err := s.stack.Gateway().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err = once("--timeout=2s")
	if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.ExitCode() != 1 || !strings.Contains(out, "missing hop: answer") {
		t.Errorf("without a gateway: %v\n%s", err, out)
	}
}

// Refused callbacks are nowhere but on the page for the operator, and there without a Sign.
func TestRefusedCallbacksLeaveNoRecord(t *testing.T) {
	s := newScene(t, 3, nil)
	entries := s.load("--requests=60", "--signed=0.5").entries()
	refused := 0
	for i := range entries {
		if entries[i].Kind == ledger.KindUnsigned {
			refused++
			if entries[i].Status != 401 {
				t.Errorf("unsigned: %s", entries[i].String())
			}
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
	s.settled(entries)
	if got := s.post(1_400_000_999, schema.CommandQuotaAlarm, []byte(vendorString)); got.status != 403 {
		t.Errorf("unknown app: %+v", got)
	}
	response, err := http.Get(s.stack.GatewayAdminURL() + "/apps")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var page bytes.Buffer
	if _, err := page.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	if text := page.String(); response.StatusCode != 200 || !strings.Contains(text, strconv.FormatInt(s.apps[0], 10)) || !strings.Contains(text, "sign_missing") {
		t.Errorf("/apps: %s\n%s", response.Status, text)
	}
}

// A token is rotated in the file: both are taken while both stand there, no restart.
func TestAppsFileIsReloaded(t *testing.T) {
	s := newScene(t, 2, nil)
	before := s.load("--requests=20").entries()
	text, err := os.ReadFile(s.appsFile)
	if err != nil {
		t.Fatal(err)
	}
	rotated := strings.ReplaceAll(string(text), `["plain:token-`, `["plain:new-token", "plain:token-`)
	if err := os.WriteFile(s.appsFile, []byte(rotated), 0o600); err != nil {
		t.Fatal(err)
	}
	var after []ledger.Entry
	s.eventually("the new token is taken", func() error {
		after = s.load("--requests=4", "--seed="+strconv.FormatInt(time.Now().UnixNano(), 10)).entries()
		for i := range after {
			if after[i].Status != 200 {
				return fmt.Errorf("%s", after[i].String())
			}
		}
		return nil
	})
	if accepted := s.settled(append(before, after...)).Accepted; accepted < 24 {
		t.Errorf("%d accepted", accepted)
	}
}
