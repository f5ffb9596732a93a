package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/quarantine"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

const newApp = 1400000003

// reloaded writes the apps file anew and has it read.
func (r *running) reloaded(t *testing.T, yaml string) {
	t.Helper()
	write(t, r.dir, "apps.yaml", yaml)
	if _, err := r.apps.Reload(); err != nil {
		t.Fatal(err)
	}
}

// refused sends a callback to target and wants it refused.
func (r *running) refused(t *testing.T, target, body string, want int) {
	t.Helper()
	res, err := http.Post(target, "application/json", strings.NewReader(body))
	must(t, err)
	defer res.Body.Close()
	// Beyond the limit of failures the answer is another; what is kept is the same.
	if res.StatusCode != want && res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("answer %d, want %d", res.StatusCode, want)
	}
}

// headersOf are a record's headers as the contract has them.
func headersOf(record *kgo.Record) (headers []schema.Header) {
	for _, h := range record.Headers {
		headers = append(headers, schema.Header{Key: h.Key, Value: h.Value})
	}
	return headers
}

// signOf returns the value of Sign in a URL.
func signOf(target string) string {
	_, after, _ := strings.Cut(target, "Sign=")
	sign, _, _ := strings.Cut(after, "&")
	return sign
}

// TestBotchedRotation: callbacks that are refused for wrong tokens, too late a time, or an app that
// the file does not know, come to Kafka once each when the file is right and they are admitted,
// with their time of receipt; forged ones stay.
func TestBotchedRotation(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	brokers := "--brokers=" + strings.Join(c.ListenAddrs(), ",")
	r := start(t, dir, brokers)
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(0))
	right := r.url(signedApp, schema.CommandQuotaAlarm)

	r.reloaded(t, strings.ReplaceAll(appsYAML, token, "botched"))
	began := time.Now().Truncate(time.Millisecond)
	const honest, unknown, forged = 300, 10, 5
	for n := range honest {
		r.refused(t, r.url(signedApp, schema.CommandQuotaAlarm), alarm(1+n), http.StatusUnauthorized)
	}
	for n := range unknown {
		r.refused(t, r.url(newApp, schema.CommandQuotaAlarm), alarm(1001+n), http.StatusForbidden)
	}
	for n := range forged {
		r.refused(t, strings.Replace(right, "Sign=", "Sign=0", 1), alarm(2001+n), http.StatusUnauthorized)
	}
	r.refused(t, r.url(signedApp, "State.StateChange"), "nobody wants it kept", http.StatusUnauthorized)
	ended := time.Now()

	admit := func(app int64, want string) {
		t.Helper()
		status, printed := command(t, "quarantine", "admit", "--journal-dir="+r.set.JournalDir, fmt.Sprint("--app=", app))
		if status != process.ExitOK || printed != want {
			t.Errorf("exit status %d\n%s\nwant\n%s", status, printed, want)
		}
	}
	const none = "0 admitted: they are in the journal, with their time of receipt and ce_admitted\n"
	admit(signedApp, "305 callbacks looked at\n"+none+"in quarantine stay: sign_wrong 305\n")
	admit(newApp, "10 callbacks looked at\n"+none+"in quarantine stay: app_unknown 10\n")

	// A second mistake, in time: with the right token, but long ago.
	r.reloaded(t, appsYAML+"  - {sdk_app_id: 1400000003, name: Quay}\n")
	sum := sha256.Sum256([]byte(token + "1669872112"))
	old := fmt.Sprintf("http://%s/?SdkAppid=%d&CallbackCommand=%s&RequestTime=1669872112&Sign=%s", r.listener.Addr(), signedApp, schema.CommandQuotaAlarm, hex.EncodeToString(sum[:]))
	r.refused(t, old, alarm(3001), http.StatusUnauthorized)
	admit(signedApp, "306 callbacks looked at\n301 admitted: they are in the journal, with their time of receipt and ce_admitted\n"+
		"1 of these came at another time than their RequestTime: whoever once saw their Sign can have sent them\nin quarantine stay: sign_wrong 5\n")
	admit(newApp, "10 callbacks looked at\n10 admitted: they are in the journal, with their time of receipt and ce_admitted\n"+
		"10 of these are not signed, as the app has no token: anyone may have sent them\n")
	admit(signedApp, "5 callbacks looked at\n"+none+"in quarantine stay: sign_wrong 5\n")

	var bodies []string
	for _, record := range consume(t, c, rawTopic, 1+honest+unknown+1) {
		body := string(record.Value)
		bodies = append(bodies, body)
		received, ok := schema.ParseTime([]byte(headerOf(record, schema.HeaderTime)))
		admitted, isAdmitted := schema.ParseTime([]byte(headerOf(record, "ce_admitted")))
		if !ok || isAdmitted == (body == alarm(0)) || isAdmitted && (received.Before(began) || admitted.Before(received)) || body == alarm(1) && received.After(ended) {
			t.Errorf("%s: received %v, admitted %v", body, received, admitted)
		}
		if _, err := schema.ParseCallback(&schema.Record{Topic: rawTopic, Key: record.Key, Value: record.Value, Headers: headersOf(record)}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	want := []string{alarm(0), alarm(3001)}
	for n := range honest {
		want = append(want, alarm(1+n))
	}
	for n := range unknown {
		want = append(want, alarm(1001+n))
	}
	slices.Sort(bodies)
	slices.Sort(want)
	if !slices.Equal(bodies, want) {
		t.Errorf("%d records, want %d", len(bodies), len(want))
	}
	must(t, r.stop())

	// After a restart: the forged ones are still there, and nothing is admitted again.
	logs := r.logs.String()
	r = start(t, dir, brokers)
	admit(signedApp, "5 callbacks looked at\n"+none+"in quarantine stay: sign_wrong 5\n")
	if got := r.delivery.journal.Stats(); got.Entries != 0 {
		t.Errorf("%+v", got)
	}
	_, metrics := r.page(t, "/metrics")
	_, ready := r.page(t, "/readyz?verbose")
	if !strings.Contains(metrics, "\ntidegate_gateway_quarantine_entries 5\n") || !strings.Contains(ready, "[+] quarantine (not required): 5 refused callbacks kept, ") {
		t.Errorf("metrics\n%s\n%s", metrics, ready)
	}
	if all := logs + r.logs.String(); strings.Contains(all, signOf(right)) || strings.Contains(all, "QuotaUsed") {
		t.Error("a Sign or a body is in the log")
	}
}

// TestRefusedDuringAFlood: while unknown apps flood the quarantine beyond what it takes, all that is
// refused of an honest app is kept, and comes once.
func TestRefusedDuringAFlood(t *testing.T) {
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","), "--quarantine-max-bytes=32MiB")
	var senders sync.WaitGroup
	defer senders.Wait()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	noise := strings.Repeat("x", 32<<10)
	for sender := range 4 {
		senders.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r.post(int64(1+sender+n%100), schema.CommandQuotaAlarm, noise)
			}
		})
	}
	eventually(t, "the flood is more than what is kept", func() bool {
		_, metrics := r.page(t, "/metrics")
		return !strings.Contains(metrics, "tidegate_gateway_quarantine_evicted_total 0\n") && !strings.Contains(metrics, `tidegate_gateway_quarantine_skipped_total{reason="part"} 0`+"\n")
	})
	r.reloaded(t, strings.ReplaceAll(appsYAML, token, "botched"))
	const honest = 200
	for n := range honest {
		r.refused(t, r.url(signedApp, schema.CommandQuotaAlarm), alarm(n), http.StatusUnauthorized)
	}
	r.reloaded(t, appsYAML)
	if status, printed := command(t, "quarantine", "admit", "--journal-dir="+r.set.JournalDir, fmt.Sprint("--app=", signedApp)); status != process.ExitOK || !strings.Contains(printed, "\n200 admitted") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	end()
	seen := map[string]bool{}
	for _, record := range consume(t, c, rawTopic, honest) {
		seen[string(record.Value)] = true
	}
	if len(seen) != honest {
		t.Errorf("%d different records of %d", len(seen), honest)
	}
}

// TestAdmitOverARestart: an admit that ended between the journal and its marks is finished by the
// next start, and nothing comes twice.
func TestAdmitOverARestart(t *testing.T) {
	c := broker(t, rawTopic)
	dir := t.TempDir()
	brokers := "--brokers=" + strings.Join(c.ListenAddrs(), ",")
	fails := vfs.NewFaulty(vfs.OS(), func(op vfs.Op) vfs.Fault {
		if op.Kind == vfs.KindWrite && strings.HasSuffix(op.Name, ".refused") && op.Size == 1 {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	})
	r := startWith(t, seams{fs: fails}, dir, brokers)
	for n := range 3 {
		r.refused(t, r.url(newApp, schema.CommandQuotaAlarm), alarm(n), http.StatusForbidden)
	}
	r.refused(t, r.url(newApp+1, schema.CommandQuotaAlarm), alarm(4), http.StatusForbidden) // so that its file stays
	r.reloaded(t, appsYAML+"  - {sdk_app_id: 1400000003, name: Quay}\n")
	admit := []string{"quarantine", "admit", "--journal-dir=" + r.set.JournalDir, fmt.Sprint("--app=", newApp)}
	status, printed := command(t, admit...)
	if status != process.ExitFailed || !strings.Contains(printed, "not everything was looked at, run it again to go on: remove what was admitted") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	must(t, r.stop())

	write(t, dir, "apps.yaml", appsYAML)
	r = start(t, dir, brokers)
	r.reloaded(t, appsYAML+"  - {sdk_app_id: 1400000003, name: Quay}\n")
	if status, printed := command(t, admit...); status != process.ExitOK || !strings.HasPrefix(printed, "0 callbacks looked at\n0 admitted") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	must(t, r.stop())
	if records := consume(t, c, rawTopic, 3); len(records) != 3 {
		t.Errorf("%d records", len(records))
	}
	_, ready := command(t, "quarantine", "list", "--journal-dir="+r.set.JournalDir)
	if !strings.Contains(ready, "1400000004  1 ") || strings.Contains(ready, "1400000003") {
		t.Errorf("%s", ready)
	}
}

// keptBy writes callbacks into the quarantine of a journal's directory.
func keptBy(t *testing.T, dir string, list ...*quarantine.Callback) {
	t.Helper()
	s, err := quarantine.Open(quarantine.Options{Dir: dir + "/journal/quarantine", MaxBytes: 64 << 20})
	must(t, err)
	for _, c := range list {
		c.Command, c.Body = []byte(schema.CommandQuotaAlarm), []byte("body\x1b[1m")
		if !s.Offer(c) {
			t.Fatal("not taken")
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	must(t, s.Run(ended)) // writes what waits
	must(t, s.Close())
}

// TestQuarantineCommands reads a dead gateway's quarantine; Sign is never printed.
func TestQuarantineCommands(t *testing.T) {
	dir := t.TempDir()
	const sign = "5161718191" // no right one
	at := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	signed := sha256.Sum256([]byte(token + "1"))
	keptBy(t, dir,
		&quarantine.Callback{ReceivedAt: at, Reason: quarantine.SignWrong, AppID: signedApp, Query: fmt.Appendf(nil, "SdkAppid=%d&CallbackCommand=%s&RequestTime=1&Sign=%s&a=b", signedApp, schema.CommandQuotaAlarm, sign)},
		&quarantine.Callback{ReceivedAt: at.Add(time.Minute), Reason: quarantine.SignWrong, AppID: signedApp, Query: fmt.Appendf(nil, "SdkAppid=%d&CallbackCommand=%s&RequestTime=1&%%53ign=%x", signedApp, schema.CommandQuotaAlarm, signed)},
		&quarantine.Callback{ReceivedAt: at, Reason: quarantine.AppUnknown, AppID: unsignedApp, Query: fmt.Appendf(nil, "SdkAppid=%d&CallbackCommand=%s", unsignedApp, schema.CommandQuotaAlarm)},
		&quarantine.Callback{ReceivedAt: at, Reason: quarantine.AppUnknown, AppID: newApp, Query: fmt.Appendf(nil, "SdkAppid=%d&CallbackCommand=%s", newApp, schema.CommandQuotaAlarm)},
	)
	for n := range maxUnlistedRows {
		keptBy(t, dir, &quarantine.Callback{ReceivedAt: at, Reason: quarantine.AppUnknown, AppID: int64(1 + n), Query: []byte("x")})
	}
	apps := write(t, dir, "apps.yaml", appsYAML)
	journalDir := "--journal-dir=" + dir + "/journal"
	var all strings.Builder
	run := func(want int, args ...string) string {
		t.Helper()
		status, printed := command(t, args...)
		if status != want {
			t.Errorf("%v: exit status %d\n%s", args, status, printed)
		}
		all.WriteString(printed)
		return strings.ReplaceAll(printed, dir, "DIR")
	}
	golden(t, "quarantine-list.txt", run(process.ExitOK, "quarantine", "list", journalDir))
	golden(t, "quarantine-list-apps.txt", run(process.ExitOK, "quarantine", "list", journalDir, "--apps="+apps))
	golden(t, "quarantine-show.txt", run(process.ExitOK, "quarantine", "show", journalDir, fmt.Sprint("--app=", signedApp)))
	golden(t, "quarantine-show-bodies.txt", run(process.ExitOK, "quarantine", "show", journalDir, "--limit=24", "--bodies"))
	var list struct{ Apps []quarantinedApp }
	if err := json.Unmarshal([]byte(run(process.ExitOK, "quarantine", "list", journalDir, "--apps="+apps, "--format=json")), &list); err != nil || len(list.Apps) != 3+maxUnlistedRows {
		t.Errorf("%+v, %v", list, err)
	}
	if a := list.Apps[0]; a.AppID != signedApp || a.Entries != 2 || a.Now["admitted"] != 1 || a.Now["sign_wrong"] != 1 || a.Name != "Harbor Chat" || a.Unsigned {
		t.Errorf("%+v", a)
	}
	lines := run(process.ExitOK, "quarantine", "show", journalDir, "--format=json", "--bodies", fmt.Sprint("--app=", signedApp))
	for line := range strings.Lines(lines) {
		var s shownCallback
		if err := json.Unmarshal([]byte(line), &s); err != nil || string(s.Body) != "body\x1b[1m" || s.RequestTime != "1" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if printed := run(process.ExitFailed, "quarantine", "admit", journalDir, "--app=1"); !strings.Contains(printed, "no gateway runs on this journal: start it") {
		t.Errorf("%s", printed)
	}
	if printed := run(process.ExitFailed, "quarantine", "list", journalDir, "--quarantine-dir="+dir+"/nowhere"); !strings.Contains(printed, "no quarantine is there") {
		t.Errorf("%s", printed)
	}
	if printed := run(process.ExitFailed, "quarantine", "list", "--quarantine-dir="+dir); !strings.Contains(printed, "foreign directory") {
		t.Errorf("%s", printed)
	}
	if text := all.String(); strings.Contains(text, sign) || strings.Contains(text, hex.EncodeToString(signed[:])) || strings.Contains(text, token) {
		t.Errorf("a Sign or a token is printed:\n%s", text)
	}
}

// TestNoQuarantine: switched off, or in a directory that is not its own, callbacks are taken all
// the same, and everyone can see it.
func TestNoQuarantine(t *testing.T) {
	for name, row := range map[string]struct{ flag, ready string }{
		"off":     {"--quarantine-max-bytes=0", "[+] quarantine (not required): off"},
		"foreign": {"--quarantine-dir=DIR", "[-] quarantine (not required): refused callbacks are not kept: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", strings.ReplaceAll(row.flag, "DIR", dir))
			r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
			r.refused(t, r.url(newApp, schema.CommandQuotaAlarm), alarm(2), http.StatusForbidden)
			if _, ready := r.page(t, "/readyz?verbose"); !strings.Contains(ready, row.ready) {
				t.Errorf("%q is not in\n%s", row.ready, ready)
			}
			if got := ask(t, r.set.JournalDir, "POST", "/quarantine/admit?app=1"); !strings.HasPrefix(got, "409 Conflict this gateway has no quarantine: ") {
				t.Errorf("%s", got)
			}
			if got := ask(t, r.set.JournalDir, "POST", "/quarantine/admit?app=x"); !strings.HasPrefix(got, "400 Bad Request app: ") {
				t.Errorf("%s", got)
			}
			if _, err := os.Stat(r.set.JournalDir + "/quarantine"); err == nil {
				t.Error("a quarantine was made")
			}
		})
	}
}

// TestCheckQuarantine: check says where it is and how full.
func TestCheckQuarantine(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	args := []string{"--apps=" + write(t, dir, "apps.yaml", appsYAML), "--journal-dir=" + dir + "/journal", "--brokers=" + nowhere}
	for _, step := range []struct {
		do   func()
		args []string
		want string
	}{
		{func() {}, nil, "ok:      quarantine DIR/journal/quarantine: is not there yet, the first start makes it\n"},
		{func() {}, []string{"--quarantine-max-bytes=0"}, "warning: --quarantine-max-bytes: 0 keeps no refused callbacks"},
		{func() {}, []string{"--quarantine-max-bytes=1MiB"}, "error:   --quarantine-max-bytes: want 0 or at least "},
		{func() {}, []string{"--quarantine-dir=" + dir + "/journal"}, "error:   --quarantine-dir: in --journal-dir only quarantine is free for it, have DIR/journal\n"},
		{func() {}, []string{"--quarantine-dir=" + dir + "/journal/parked"}, "error:   --quarantine-dir: in --journal-dir only quarantine is free for it, have DIR/journal/parked\n"},
		{func() {
			keptBy(t, dir, &quarantine.Callback{ReceivedAt: at, Reason: quarantine.AppUnknown, AppID: 1, Query: []byte("x")})
		}, nil, "ok:      quarantine DIR/journal/quarantine: 1 refused callbacks, 83 B of 256.0 MiB in use\n"},
		{func() { write(t, dir, "journal/quarantine/notes", "mine") }, nil, "error:   quarantine DIR/journal/quarantine: read quarantine DIR/journal/quarantine: it has a file notes: quarantine: foreign directory\n"},
	} {
		step.do()
		var out bytes.Buffer
		_ = execute(t.Context(), slices.Concat([]string{"check", "--gateway-name=g1"}, args, step.args), &out, &out)
		if printed := strings.ReplaceAll(out.String(), dir, "DIR"); !strings.Contains(printed, step.want) {
			t.Errorf("%q is not in\n%s", step.want, printed)
		}
	}
}
