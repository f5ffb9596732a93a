package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

func forecastReplay(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status := execute(t.Context(), append([]string{"forecast", "replay"}, args...), &out, &out)
	return status, out.String()
}

func TestForecastReplayOfAFile(t *testing.T) {
	begin := time.Date(2026, time.November, 23, 2, 0, 0, 0, time.UTC) // 10:00 in Shanghai
	var alarms []savedAlarm
	add := func(app int64, minute, used int) {
		alarms = append(alarms, savedAlarm{Deliveries: 1, EnrichedAlarm: schema.EnrichedAlarm{
			SdkAppID: app, Registered: true, QuotaUsed: int64(used), Quota: 10_000,
			EventTime: schema.FormatTime(begin.Add(time.Duration(minute) * time.Minute)),
		}})
	}
	for minute := 120; minute >= 0; minute -= 5 { // newest first, as alarms prints them
		add(1400000001, minute, 8000+minute*1000/60)
		add(1400000002, minute, 7000+minute*600/60)
	}
	text, err := json.Marshal(alarms)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alarms.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	status, out := forecastReplay(t, file)
	// 1,000 an hour from 8,000 at 10:00 is full at 12:00. The middle error of the average since midnight
	// is that at 11:05: 9,083 in 665 minutes need 67.1 minutes for the rest, and 55 are left.
	want := strings.Join([]string{
		"PERIODS OF  EXHAUSTED  ALARMS  FORECASTS  WRONG  FIRST BEFORE  TOLD BEFORE  MEDIAN ERROR  NAIVE RULE  RATIO",
		"1400000001  1 of 1     24      92 %       0      110.0 min     55.0 min     0.0 min       12.1 min    0.00",
		"1400000002  0 of 1     -       -          23     -             -            -             -           -",
		"",
	}, "\n")
	if status != process.ExitOK || out != want {
		t.Errorf("status %d\n%s\nwant\n%s", status, out, want)
	}
	if _, out := forecastReplay(t, file, "--every", "40m"); !strings.Contains(out, "1400000001  1 of 1     3 ") {
		t.Errorf("every 40 minutes:\n%s", out)
	}
}

func TestForecastReplayOfGeneratedPeriods(t *testing.T) {
	status, out := forecastReplay(t, "--generate", "all", "--periods", "2", "--format", "markdown")
	if status != process.ExitOK || strings.Count(out, "| 2 of 2 |") != 5 || !strings.Contains(out, "of 5 rows") || !strings.Contains(out, "- lunch-peak: three times") {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out := forecastReplay(t, "--generate", "burst", "--periods", "1"); status != process.ExitOK || strings.Count(out, "\n") != 2 {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestForecastReplayRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, []byte("[]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.json")
	if err := os.WriteFile(wrong, []byte(`[{"quota":0,"event_time":"2026-11-23T02:00:00.000Z"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "either a FILE or --generate"},
		{[]string{empty, "--generate", "all"}, "either a FILE or --generate"},
		{[]string{"--generate", "calm"}, `"calm": want one of steady, burst`},
		{[]string{"--generate", "all", "--periods", "0"}, "--periods"},
		{[]string{"--generate", "all", "--every=-1s"}, "--every"},
		{[]string{empty, "--zone", "Mars/Olympus"}, "--zone"},
		{[]string{empty}, "no alarms to play"},
		{[]string{empty + "x"}, "no such file"},
		{[]string{wrong}, "element 1: 0 of 0"},
	} {
		if status, out := forecastReplay(t, test.args...); status != process.ExitFailed || !strings.Contains(out, test.want) {
			t.Errorf("%v: status %d: %s", test.args, status, out)
		}
	}
}
