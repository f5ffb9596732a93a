package main

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

func pointer(s string) *string { return &s }

// row1 is an alarm of an app that is listed.
func row1() store.Alarm {
	return store.Alarm{Deliveries: 5, Event: schema.EnrichedAlarm{
		AlarmID: "0184f5fea3ab0123", SdkAppID: 1400000001, AppName: pointer("Harbor Chat"), Owner: pointer("team-harbor"), Registered: true,
		QuotaUsed: 7321, Quota: 10000, UsedPercent: 73.21, Severity: schema.SeverityWatch,
		EventTime: "2022-12-09T08:26:54.123Z", EventTimeSource: schema.EventTimeVendor, ReceivedAt: "2022-12-09T08:26:55.250Z",
	}}
}

func sequence(alarms ...store.Alarm) iter.Seq2[store.Alarm, error] {
	return func(yield func(store.Alarm, error) bool) {
		for _, a := range alarms {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func TestTable(t *testing.T) {
	exhausted := row1()
	exhausted.Deliveries = 1
	exhausted.Event.AppName, exhausted.Event.Owner, exhausted.Event.Registered = nil, nil, false
	exhausted.Event.SdkAppID, exhausted.Event.QuotaUsed, exhausted.Event.Quota = 1400000099, 1050001, 50000
	exhausted.Event.UsedPercent, exhausted.Event.Severity, exhausted.Event.EventTimeSource = 2100, schema.SeverityExhausted, schema.EventTimeReceipt
	chinese := row1()
	chinese.Event.AppName = pointer("港口聊天")
	hostile := row1()
	hostile.Event.AppName, hostile.Event.Owner = pointer("a\x1b[2Jb"), pointer("x\ny")

	var out bytes.Buffer
	if err := (&alarmsCommand{Format: "table"}).print(&out, sequence(row1(), exhausted, chinese, hostile)); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"APP                       OWNER              USED / QUOTA    PERCENT  SEVERITY   EVENT TIME (UTC)     RECEIVED (UTC)       DELIVERIES",
		"Harbor Chat (1400000001)  team-harbor      7,321 / 10,000    73.21 %  watch      2022-12-09 08:26:54  2022-12-09 08:26:55           5",
		"1400000099 (not listed)   -            1,050,001 / 50,000  2100.00 %  exhausted  as received          2022-12-09 08:26:55           1",
		"港口聊天 (1400000001)     team-harbor      7,321 / 10,000    73.21 %  watch      2022-12-09 08:26:54  2022-12-09 08:26:55           5",
		"a\ufffd[2Jb (1400000001)       x\ufffdy              7,321 / 10,000    73.21 %  watch      2022-12-09 08:26:54  2022-12-09 08:26:55           5",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestTableOfManyWindowsHasOneHead(t *testing.T) {
	alarms := func(yield func(store.Alarm, error) bool) {
		for i := range 2*window + 1 {
			a := row1()
			a.Deliveries = i
			if !yield(a, nil) {
				return
			}
		}
	}
	var out bytes.Buffer
	if err := (&alarmsCommand{Format: "table"}).print(&out, alarms); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2*window+2 || strings.Count(out.String(), "SEVERITY") != 1 {
		t.Errorf("%d lines, %d heads", lines, strings.Count(out.String(), "SEVERITY"))
	}
}

func TestTableInColours(t *testing.T) {
	var out bytes.Buffer
	tab := table{out: &out, color: true}
	for _, s := range []schema.Severity{schema.SeverityOK, schema.SeverityWatch, schema.SeverityExhausted} {
		a := row1()
		a.Event.Severity = s
		if err := tab.add(&a); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if strings.Contains(lines[0]+lines[1], "\x1b") || !strings.Contains(lines[2], "\x1b[36mwatch\x1b[0m      ") || !strings.Contains(lines[3], "exhausted\x1b[0m  ") {
		t.Errorf("%q", lines)
	}
}

func TestNothingSavedYet(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"table", nil, "no alarms saved yet\n"},
		{"table of an app", []string{"--app", "1400000001"}, "no alarms of app 1400000001 saved yet\n"},
		{"json", []string{"--format", "json"}, "[]\n"},
	} {
		t.Run("no database, "+test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			path := filepath.Join(t.TempDir(), "none.db")
			status := execute(t.Context(), append([]string{"alarms", "--store", "sqlite:" + path}, test.args...), &out, &errs)
			if status != process.ExitOK || out.String() != test.want || !strings.Contains(errs.String(), "no consumer has saved anything there yet") {
				t.Errorf("status %d: %q %q", status, out.String(), errs.String())
			}
		})
		t.Run("empty database, "+test.name, func(t *testing.T) {
			url := "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
			s, err := store.Open(t.Context(), url, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() // beside what writes
			var out, errs bytes.Buffer
			status := execute(t.Context(), append([]string{"alarms", "--store", url}, test.args...), &out, &errs)
			if status != process.ExitOK || out.String() != test.want || errs.Len() != 0 {
				t.Errorf("status %d: %q %q", status, out.String(), errs.String())
			}
		})
	}
}

func TestAlarmsRefuses(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--limit=-1"}, process.ExitFailed, "--limit: want 0 or more"},
		{[]string{"--app=-5"}, process.ExitFailed, "--app: want an SdkAppid"},
		{[]string{"--format", "xml"}, process.ExitUsage, "--format"},
		{[]string{"--store", "nowhere"}, process.ExitFailed, "sqlite:PATH"},
	} {
		var out bytes.Buffer
		if status := execute(t.Context(), append([]string{"alarms"}, test.args...), &out, &out); status != test.status || !strings.Contains(out.String(), test.want) {
			t.Errorf("%v: status %d: %s", test.args, status, out.String())
		}
	}
}

func TestRowsThatCannotBeReadAreAnError(t *testing.T) {
	broken := errors.New("row is broken")
	alarms := func(yield func(store.Alarm, error) bool) {
		_ = yield(row1(), nil) && yield(store.Alarm{}, broken)
	}
	for _, format := range []string{"table", "json"} {
		var out bytes.Buffer
		if err := (&alarmsCommand{Format: format}).print(&out, alarms); !errors.Is(err, broken) || !strings.Contains(out.String(), "Harbor Chat") {
			t.Errorf("%s: %v after\n%s", format, err, out.String())
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 12345: "12,345", 9007199254740991: "9,007,199,254,740,991", -1: "-1", -1000: "-1,000", -100: "-100"} {
		if got := channel.Grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "港口": 4, "é": 1, "e\u0301": 1, "（）": 4, "カナ": 4, "한글": 4, "😀": 2} {
		if got := width(s); got != want {
			t.Errorf("%s takes %d places, want %d", fmt.Sprintf("%q", s), got, want)
		}
	}
}
