package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

var appendEntry = entry.Append

// inspect runs `gateway journal`, and returns what it printed with what differs from run to
// run written in capitals.
func inspect(t *testing.T, dir string, args ...string) (status int, printed string) {
	t.Helper()
	var out, errOut bytes.Buffer
	status = execute(t.Context(), append([]string{"journal"}, args...), &out, &errOut)
	noSecrets(t, strings.Join(args, " "), out.String()+errOut.String())
	printed = strings.ReplaceAll(out.String()+errOut.String(), dir, "DIR")
	for _, replace := range []struct{ what, by string }{
		{`\b[0-9a-f]{16}\b([^.])`, "ID$1"},
		{`default budget  .*`, "default budget  BYTES"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`size            .* in`, "size            BYTES in"},
		{`and \d spares`, "and N spares"},
		{`\d+\.\d [KM]iB  `, "SIZE  "}, // a slow run has a batch more, which proves the last one
	} {
		printed = regexp.MustCompile(replace.what).ReplaceAllString(printed, replace.by)
	}
	return status, printed
}

func TestJournalCommands(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir+"/journal", 3)
	fill(t, dir+"/journal/parked", 1)
	for name, row := range map[string]struct{ args string }{
		"stat":         {"stat"},
		"verify":       {"verify"},
		"dump":         {"dump"},
		"dump-part":    {"dump --from 2 --limit 1"},
		"dump-bodies":  {"dump --bodies --limit 1"},
		"dump-json":    {"dump --format json --limit 2"},
		"dump-all":     {"dump --format json --limit 1 --bodies"},
		"verify-json":  {"verify --format json"},
		"dump-nothing": {"dump --from 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			status, printed := inspect(t, dir, append(strings.Fields(row.args), "--journal-dir="+dir+"/journal")...)
			if status != process.ExitOK {
				t.Errorf("exit status %d", status)
			}
			if !strings.Contains(row.args, "--bodies") && (strings.Contains(printed, "QuotaUsed") || strings.Contains(printed, "192.0.2.7")) {
				t.Error("what is the users' is printed without --bodies")
			}
			golden(t, "journal/"+name+".txt", printed)
		})
	}
}

func TestJournalStatJSON(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir+"/journal", 3)
	var out bytes.Buffer
	if status := execute(t.Context(), []string{"journal", "stat", "--format=json", "--journal-dir=" + dir + "/journal"}, &out, &out); status != process.ExitOK {
		t.Fatalf("exit status %d\n%s", status, &out)
	}
	var report struct {
		Journal journal.StatReport
		Parked  *journal.StatReport
	}
	must(t, json.Unmarshal(out.Bytes(), &report))
	if report.Journal.Entries != 3 || report.Journal.Dir != dir+"/journal" || report.Parked != nil {
		t.Errorf("%+v", report)
	}
}

func TestJournalRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"stat, nothing there":   {[]string{"stat", "--journal-dir=" + dir + "/none"}, "holds no journal"},
		"dump, nothing there":   {[]string{"dump", "--journal-dir=" + dir + "/none"}, "holds no journal"},
		"verify, nothing there": {[]string{"verify", "--journal-dir=" + dir + "/none"}, "holds no journal"},
		"negative limit":        {[]string{"dump", "--limit=-1"}, "--limit: want 0 or more, have -1"},
	} {
		t.Run(name, func(t *testing.T) {
			status, printed := inspect(t, dir, row.args...)
			if status != process.ExitFailed || !strings.HasPrefix(printed, "gateway: ") || !strings.Contains(printed, row.want) {
				t.Errorf("exit status %d\n%s", status, printed)
			}
		})
	}
	if _, err := os.Stat(dir + "/none"); err == nil {
		t.Error("a directory was made")
	}
}

// TestVerifySaysWhere changes one bit of a body on disk.
func TestVerifySaysWhere(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir+"/journal", 3)
	segments, err := filepath.Glob(dir + "/journal/*.segment")
	must(t, err)
	data, err := os.ReadFile(segments[0])
	must(t, err)
	at := bytes.Index(data, []byte(`"QuotaUsed":1`))
	if at < 0 {
		t.Fatal("the second body is not in the first segment")
	}
	data[at] ^= 1
	must(t, os.WriteFile(segments[0], data, 0o600))
	status, printed := inspect(t, dir, "verify", "--journal-dir="+dir+"/journal")
	if status != process.ExitFailed || !strings.Contains(printed, "corrupt: "+filepath.Base(segments[0])+" at ") || strings.Contains(printed, "ok: nothing is corrupt") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	status, printed = inspect(t, dir, "verify", "--format=json", "--journal-dir="+dir+"/journal")
	if status != process.ExitFailed || !strings.HasPrefix(printed, `{"ok":false,`) {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	status, printed = inspect(t, dir, "dump", "--journal-dir="+dir+"/journal")
	if status != process.ExitFailed || !strings.Contains(printed, "entries were left out, which journal verify lists") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}

// TestInspectBesideALiveGateway: the commands take no lock and change nothing.
func TestInspectBesideALiveGateway(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	for n := range 5 {
		r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(n))
	}
	for _, command := range []string{"stat", "verify", "dump"} {
		if status, printed := inspect(t, dir, command, "--journal-dir="+dir+"/journal"); status != process.ExitOK || !strings.Contains(printed, "5") {
			t.Errorf("%s: exit status %d\n%s", command, status, printed)
		}
	}
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(5))
}

func TestDumpOfAnUnknownPayload(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{Dir: dir + "/journal", MaxBytes: 16 << 20, AckDeadline: time.Minute})
	must(t, err)
	ticket, err := j.Append(false, func(dst []byte) []byte { return append(dst, 99) })
	must(t, err)
	must(t, j.Wait(ticket, journal.Disk))
	must(t, j.Close())
	if status, printed := inspect(t, dir, "dump", "--journal-dir="+dir+"/journal"); status != process.ExitOK || !strings.Contains(printed, " cannot be read: ") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}
