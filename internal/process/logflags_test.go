package process

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestLogJSON(t *testing.T) {
	var buf bytes.Buffer
	log, err := LogFlags{Level: "info", Format: "json"}.New(&buf)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not this")
	log.Info("file loaded", zap.String("path", "/etc/apps.yaml"), zap.Duration("took", 1500*time.Millisecond))
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, buf.String())
	}
	if line["message"] != "file loaded" || line["level"] != "info" || line["path"] != "/etc/apps.yaml" || line["took"] != "1.5s" {
		t.Errorf("line %v", line)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", line["time"].(string)); err != nil {
		t.Error(err)
	}
}

func TestLogConsole(t *testing.T) {
	var buf bytes.Buffer
	log, err := LogFlags{Level: "debug", Format: "console"}.New(&buf)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hello", zap.Int("n", 5))
	if got := buf.String(); !strings.Contains(got, "DEBUG\thello\t{\"n\": 5}\n") {
		t.Errorf("%q", got)
	}
}

func TestLogIsSampled(t *testing.T) {
	var buf bytes.Buffer
	log, err := LogFlags{Level: "info", Format: "json"}.New(&buf)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		log.Info("callback refused")
	}
	// Two samples, should the second change meanwhile.
	if n := strings.Count(buf.String(), "\n"); n < sampleFirst || n > 2*(sampleFirst+10_000/sampleThen) {
		t.Errorf("%d lines of 10,000", n)
	}
}

func TestLogFlagsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		flags LogFlags
		want  string
	}{
		"level":  {LogFlags{"loud", "json"}, `--log-level: want debug, info, warn or error, have "loud"`},
		"format": {LogFlags{"info", "xml"}, `--log-format: want json or console, have "xml"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := row.flags.New(new(bytes.Buffer)); err == nil || err.Error() != row.want {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestBuildOf(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for name, row := range map[string]struct {
		info debug.BuildInfo
		want Build
	}{
		"released": {debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}}, Build{"v1.2.3", "", "go1.26"}},
		"from a repository": {debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
			setting("vcs.revision", "0123456789abcdef0123"), setting("vcs.modified", "false"),
		}}, Build{"(devel)", "0123456789ab", ""}},
		"from a changed tree": {debug.BuildInfo{Settings: []debug.BuildSetting{
			setting("vcs.modified", "true"), setting("vcs.revision", "0123456789abcdef0123"),
		}}, Build{"(devel)", "0123456789ab-dirty", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := buildOf(&row.info); got != row.want {
				t.Errorf("%+v", got)
			}
		})
	}
	if Version() == "" {
		t.Error("no version")
	}
}
