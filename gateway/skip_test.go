package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// raw appends what is no callback to a journal.
func raw(t *testing.T, j *journal.Journal, payload ...byte) journal.LSN {
	t.Helper()
	ticket, err := j.Append(false, func(dst []byte) []byte { return append(dst, payload...) })
	must(t, err)
	must(t, j.Wait(ticket, journal.Disk))
	return ticket.LSN
}

// command runs one command line.
func command(t *testing.T, args ...string) (status int, printed string) {
	t.Helper()
	var out bytes.Buffer
	status = execute(t.Context(), args, &out, &out)
	noSecrets(t, strings.Join(args, " "), out.String())
	return status, out.String()
}

// kept reads the lines of a file that skip wrote.
func kept(t *testing.T, path string) (lines []keptEntry) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	for line := range strings.Lines(string(data)) {
		var k keptEntry
		must(t, json.Unmarshal([]byte(line), &k))
		lines = append(lines, k)
	}
	return lines
}

// TestSkipBesideALiveGateway: delivery halts, callbacks are taken, everyone can see it; skipped,
// the entry is in the file and the rest goes out.
func TestSkipBesideALiveGateway(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(0))
	bad := raw(t, r.delivery.journal, 99, 1, 2)
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	eventually(t, "delivery halts", func() bool { return len(r.delivery.forwarder.Halted()) == 1 })
	status, body := r.page(t, "/readyz?verbose")
	if want := fmt.Sprintf("[-] delivery (not required): halted at LSN %d: layout version 99", bad); status != 200 || !strings.Contains(body, want) {
		t.Errorf("%d, %q is not in\n%s", status, want, body)
	}
	if _, metrics := r.page(t, "/metrics"); !strings.Contains(metrics, "\ntidegate_gateway_forward_halted 1\n") {
		t.Error("the metric does not say it")
	}
	if n := strings.Count(r.logs.String(), "delivery halts at an entry"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
	file := dir + "/kept.jsonl"
	skip := []string{"journal", "skip", "--journal-dir=" + r.set.JournalDir, "--to-file=" + file}
	if status, printed := command(t, append(skip, "--lsn=1")...); status != process.ExitFailed || !strings.Contains(printed, "LSN 1 was not skipped: LSN 1, but delivery is halted at LSN 2") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was made for an entry that is not skipped")
	}
	if status, printed := command(t, append(skip[:3:3], fmt.Sprint("--lsn=", bad), "--to-file=/dev/null")...); status != process.ExitFailed || !strings.Contains(printed, "no regular file") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	must(t, os.WriteFile(file, []byte("{} "), 0o600)) // cut off
	if status, printed := command(t, append(skip, fmt.Sprint("--lsn=", bad))...); status != process.ExitOK || printed != fmt.Sprintf("LSN %d was skipped; it is kept in %s\n", bad, file) {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	k := kept(t, file)
	if len(k) != 2 || k[1].LSN != bad || string(k[1].Payload) != "\x63\x01\x02" || k[1].ID != fmt.Sprintf("%016x-%d", r.delivery.journal.ID(), bad) || k[1].Problem == "" || k[1].Reason == "" || k[1].AppendedAt == "" {
		t.Errorf("kept %+v", k)
	}
	consume(t, c, rawTopic, 2)
	eventually(t, "delivery goes on", func() bool {
		_, body := r.page(t, "/readyz?verbose")
		return strings.Contains(body, "[+] delivery (not required): goes on")
	})
	if !strings.Contains(r.logs.String(), "an entry was skipped") {
		t.Error("the log does not say that an entry was skipped")
	}
}

// TestSkipOfARefusedRecord: with all that it holds in the file.
func TestSkipOfARefusedRecord(t *testing.T) {
	c := broker(t, rawTopic)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1})
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(7))
	eventually(t, "the record is parked", func() bool {
		s := r.delivery.parked.Stats()
		return s.Entries == 1 && s.Unsynced == 0 && r.delivery.journal.Stats().Entries == 0
	})
	status, printed := command(t, "journal", "skip", "--journal-dir="+r.set.JournalDir, "--parked", "--lsn=1", "--to-file="+dir+"/kept")
	if status != process.ExitOK {
		t.Fatalf("exit status %d\n%s", status, printed)
	}
	k := kept(t, dir+"/kept")
	if len(k) != 1 || !k[0].Parked || string(k[0].Body) != alarm(7) || k[0].AppID != signedApp || k[0].Topic != rawTopic || k[0].Command != schema.CommandQuotaAlarm ||
		k[0].ID != fmt.Sprintf("%016x-1", r.delivery.journal.ID()) || k[0].Reason != "kafka refused it with code 10" || k[0].Attributes["ce_clientip"] == "" || len(k[0].Payload) < len(alarm(7)) {
		t.Errorf("kept %+v", k)
	}
	eventually(t, "nothing is parked any more", func() bool { return r.delivery.parked.Stats().Entries == 0 })
}

// TestSkipInAStoppedJournal: the drain that failed goes through afterwards.
func TestSkipInAStoppedJournal(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	fill(t, dir+"/journal", 2)
	j, err := journal.Open(journal.Options{Dir: dir + "/journal", MaxBytes: 16 << 20, AckDeadline: time.Minute})
	must(t, err)
	bad := raw(t, j, 99)
	must(t, j.Close())
	drain := []string{"drain", "--journal-dir=" + dir + "/journal", "--brokers=" + strings.Join(c.ListenAddrs(), ",")}
	want := fmt.Sprintf("halted at LSN %d", bad)
	if status, printed := command(t, drain...); status != process.ExitFailed || !strings.Contains(printed, "1 callbacks are left") || !strings.Contains(printed, want) || !strings.Contains(printed, fmt.Sprintf("journal skip --lsn %d --to-file FILE", bad)) {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	skip := []string{"journal", "skip", "--journal-dir=" + dir + "/journal", "--to-file=" + dir + "/kept"}
	if status, printed := command(t, append(skip, "--lsn=1")...); status != process.ExitFailed || !strings.Contains(printed, "is settled") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	if status, printed := command(t, append(skip, fmt.Sprint("--lsn=", bad))...); status != process.ExitOK {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	if k := kept(t, dir+"/kept"); len(k) != 1 || k[0].LSN != bad || string(k[0].Payload) != "\x63" {
		t.Errorf("kept %+v", k)
	}
	if status, printed := command(t, drain...); status != process.ExitOK || !strings.Contains(printed, "is empty") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	consume(t, c, rawTopic, 2)
}

func TestSkipNotUnderstood(t *testing.T) {
	dir := t.TempDir()
	for name, row := range map[string]struct {
		args   string
		status int
		want   string
	}{
		"no lsn":     {"--to-file=f", process.ExitUsage, "missing flags: --lsn=LSN"},
		"no file":    {"--lsn=1", process.ExitUsage, "missing flags: --to-file=FILE"},
		"no journal": {"--lsn=1 --to-file=f --journal-dir=" + dir, process.ExitFailed, "holds no journal"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, printed := command(t, append([]string{"journal", "skip"}, strings.Fields(row.args)...)...); status != row.status || !strings.Contains(printed, row.want) {
				t.Errorf("exit status %d\n%s", status, printed)
			}
		})
	}
}
