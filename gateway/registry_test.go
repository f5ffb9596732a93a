package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

const refusedFile = "file cannot be used, the last good one stays in use"

// rewrite puts another apps file in place and has it read. taken says whether it has to be.
func (r *running) rewrite(t *testing.T, text string, taken bool) {
	t.Helper()
	write(t, r.dir, "apps.yaml", text)
	if _, err := r.apps.Reload(); (err == nil) != taken {
		t.Errorf("%q is taken: %v, error %v", text, err == nil, err)
	}
	want := `tidegate_reload_success{file="apps"} 0`
	if taken {
		want = `tidegate_reload_success{file="apps"} 1`
	}
	if _, metrics := r.page(t, "/metrics"); !strings.Contains(metrics, "\n"+want+"\n") {
		t.Errorf("%s is not in /metrics", want)
	}
}

// TestEmptiedAppsFile: a template that renders no app, and one that renders no token, change
// nothing; an operator who means it says so.
func TestEmptiedAppsFile(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	before := r.apps.Status().SHA256
	for range 2 { // a file that is written once more is told once
		r.rewrite(t, "apps: []\n", false)
	}
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	r.mustPost(t, unsignedApp, schema.CommandQuotaAlarm, alarm(2))
	status, page := r.page(t, "/readyz?verbose")
	if want := "[-] file apps (not required): " + r.dir + "/apps.yaml, sha256 " + before[:12]; status != http.StatusOK || !strings.Contains(page, want) {
		t.Errorf("%d, %q is not in\n%s", status, want, page)
	}
	const why = "2 of 2 apps are gone, more than a tenth, and these are not under removed: 1400000001 (Harbor Chat), 1400000002 (Lantern); if that is meant, add removed: [1400000001, 1400000002]"
	if !strings.Contains(page, why) {
		t.Errorf("the page does not say why:\n%s", page)
	}
	if n := strings.Count(r.logs.String(), refusedFile); n != 1 || !strings.Contains(r.logs.String(), why) {
		t.Errorf("told %d times", n)
	}

	r.rewrite(t, strings.Replace(appsYAML, `["plain:xxxxyyyy"]`, "[]", 1), false)
	if status, answer := r.post(unsignedApp, schema.CommandQuotaAlarm, alarm(3)); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	forged, _, _ := strings.Cut(r.url(signedApp, schema.CommandQuotaAlarm), "&Sign=")
	if res, err := http.Post(forged, "", strings.NewReader(alarm(4))); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a Sign: %v, %v", res, err)
	} else {
		res.Body.Close()
	}

	r.rewrite(t, "apps: []\nremoved: [1400000001, 1400000002]\n", true)
	if status, _ := r.post(signedApp, schema.CommandQuotaAlarm, alarm(5)); status != http.StatusForbidden {
		t.Errorf("after it was removed: %d", status)
	}
}

// TestAppThatSentIsNotRemoved: one of many, by its callbacks alone.
func TestAppThatSentIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	list := func(without ...int) string {
		var b strings.Builder
		b.WriteString("apps:\n")
		for n := range 20 {
			if len(without) == 0 || n != without[0] {
				fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: App %d}\n", 2_000_000_000+n, n)
			}
		}
		return b.String()
	}
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	r.rewrite(t, list()+"removed: [1400000001, 1400000002]\n", true)
	r.mustPost(t, 2_000_000_007, schema.CommandQuotaAlarm, alarm(1))
	r.rewrite(t, list(7), false)
	r.mustPost(t, 2_000_000_007, schema.CommandQuotaAlarm, alarm(2))
	r.rewrite(t, list(8), true) // it sent nothing, and is not more than a tenth
	r.rewrite(t, list(7)+"removed: [2000000007]\n", true)
}

// TestEmptiedRoutesFile: a reload that takes every route out changes nothing.
func TestEmptiedRoutesFile(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", "--routes="+write(t, dir, "routes.yaml", "routes: [{command: \"State.*\", topic: im.callbacks.raw}]\n"))
	write(t, dir, "routes.yaml", "routes: []\n")
	if _, err := r.routes.Reload(); err == nil {
		t.Error("taken")
	}
	if got := r.routes.Get().Topics(); !slices.Contains(got, "im.callbacks.raw") {
		t.Errorf("topics %q", got)
	}
	write(t, dir, "routes.yaml", "routes: [{command: \"*\", drop: true}]\n")
	if _, err := r.routes.Reload(); err != nil {
		t.Error(err)
	}
}

// TestFileInfo: of each file that is reloaded, the sum of the one in use.
func TestFileInfo(t *testing.T) {
	dir := t.TempDir()
	const routes = "routes: [{command: \"State.*\", drop: true}]\n"
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", "--routes="+write(t, dir, "routes.yaml", routes))
	want := func(apps string) {
		t.Helper()
		_, metrics := r.page(t, "/metrics")
		for file, text := range map[string]string{"apps": apps, "routes": routes} {
			sum := sha256.Sum256([]byte(text))
			if line := fmt.Sprintf("\ntidegate_file_info{file=%q,sha256=\"%x\"} 1\n", file, sum); !strings.Contains(metrics, line) {
				t.Errorf("%s is not in /metrics", line)
			}
		}
		if n := strings.Count(metrics, "\ntidegate_file_info{"); n != 2 {
			t.Errorf("%d series", n)
		}
	}
	want(appsYAML)
	r.rewrite(t, "apps: []\n", false)
	want(appsYAML)
	r.rewrite(t, appsYAML+"# read again\n", true)
	want(appsYAML + "# read again\n")
}

// signedBy is the URL of a quota alarm of signedApp that is signed now with a token.
func (r *running) signedBy(token string) string {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	sum := sha256.Sum256([]byte(token + now))
	values := url.Values{
		"SdkAppid": {strconv.Itoa(signedApp)}, "CallbackCommand": {schema.CommandQuotaAlarm}, "RequestTime": {now}, "Sign": {hex.EncodeToString(sum[:])},
	}
	return "http://" + r.listener.Addr().String() + "/?" + values.Encode()
}

// TestRotationUnderTraffic: two token files of which the second becomes the first, by one swapped
// link as Kubernetes does it. Not one callback that is signed with the token of both states is refused.
func TestRotationUnderTraffic(t *testing.T) {
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	must(t, os.Mkdir(secrets, 0o700))
	for state, tokens := range map[string][2]string{"..v1": {"old", "new"}, "..v2": {"new", "third"}} {
		must(t, os.Mkdir(filepath.Join(secrets, state), 0o700))
		write(t, filepath.Join(secrets, state), "current", tokens[0])
		write(t, filepath.Join(secrets, state), "next", tokens[1])
	}
	must(t, os.Symlink("..v1", filepath.Join(secrets, "..data")))
	for _, name := range []string{"current", "next"} {
		must(t, os.Symlink("..data/"+name, filepath.Join(secrets, name)))
	}
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", "--journal-max-bytes=64MiB", "--auth-failures-per-second=0")
	r.rewrite(t, fmt.Sprintf(`{defaults: {alarm_rate_limit: {per_second: 1000000, burst: 1000000}},
apps: [{sdk_app_id: 1400000001, name: Harbor Chat, tokens: ["file:%[1]s/current", "file:%[1]s/next"]}], removed: [1400000002]}`, secrets), true)

	send := func(token string) (status int) {
		res, err := http.Post(r.signedBy(token), "", strings.NewReader(alarm(1)))
		if err != nil {
			t.Error(err)
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	var senders sync.WaitGroup
	var sent atomic.Int64
	stop := make(chan struct{})
	defer senders.Wait()
	for range 2 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // two senders are traffic enough
				}
				if status := send("new"); status != http.StatusOK {
					t.Errorf("answer %d", status)
					return
				}
				sent.Add(1)
			}
		})
	}
	if status := send("old"); status != http.StatusOK {
		t.Errorf("the old token before the rotation: %d", status)
	}
	before := sent.Load()
	eventually(t, "traffic", func() bool { return sent.Load() > before+20 })
	must(t, os.Symlink("..v2", filepath.Join(secrets, "..tmp")))
	must(t, os.Rename(filepath.Join(secrets, "..tmp"), filepath.Join(secrets, "..data")))
	eventually(t, "the third token is taken", func() bool { return send("third") == http.StatusOK })
	before = sent.Load()
	eventually(t, "traffic", func() bool { return sent.Load() > before+20 })
	close(stop)
	senders.Wait()
	if status := send("old"); status != http.StatusUnauthorized {
		t.Errorf("the old token after the rotation: %d", status)
	}
	list, err := askApps(t.Context(), r.admin.Addr())
	must(t, err)
	if tokens := list[0].Tokens; tokens[0].LastMatched == nil || !tokens[0].Since.Before(tokens[1].Since) {
		t.Errorf("the new token is at another position, and what is known of it is not: %+v", tokens)
	}
}

// TestRemoveToken asks a live gateway.
func TestRemoveToken(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	ask := func(args ...string) (int, string) {
		return check(t, dir, append([]string{"--apps=" + dir + "/none.yaml", "--admin-listen=" + r.admin.Addr()}, args...)...)
	}
	for name, row := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"not matched yet": {[]string{"--remove-token", "1400000001", "0"}, process.ExitFailed, "error:   app 1400000001 (Harbor Chat): token 0 (plain:***): no match yet, but it has been watched for "},
		"its only one":    {[]string{"--remove-token=1400000001", "0"}, process.ExitFailed, "is the app's only one: without it anyone could send in its name\n"},
		"no such token":   {[]string{"--remove-token", "1400000001", "1"}, process.ExitFailed, "has no token at position 1: it has 1, counted from 0\n"},
		"unsigned":        {[]string{"--remove-token", "1400000002", "0"}, process.ExitFailed, "has no token at position 0: it has 0, counted from 0\n"},
		"no such app":     {[]string{"--remove-token", "5", "0"}, process.ExitFailed, "has no app 5 in its apps file\n"},
		"nobody there":    {[]string{"--remove-token", "5", "0", "--admin-listen=" + nowhere}, process.ExitFailed, "error:   --remove-token: no gateway answers at --admin-listen=127.0.0.1:1, and only a live one knows which tokens matched: "},
		"not a gateway":   {[]string{"--remove-token", "5", "0", "--admin-listen=" + r.listener.Addr().String()}, process.ExitFailed, "has no /apps of a gateway: status 4"},
	} {
		status, printed := ask(row.args...)
		if status != row.status || !strings.Contains(printed, row.want) {
			t.Errorf("%s: exit status %d\n%s", name, status, printed)
		}
	}
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	if status, printed := ask("--remove-token", "1400000001", "0"); status != process.ExitFailed || !strings.Contains(printed, "last matched 0 s ago: callbacks signed with it would be refused\n") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	for _, args := range []string{"--remove-token 1400000001", "--remove-token x 0", "--remove-token 1400000001 -1", "--remove-token 1400000001 first"} {
		status, printed := command(t, append([]string{"check", "--apps=a"}, strings.Fields(args)...)...)
		if status != process.ExitUsage || strings.Count(printed, "\n") != 1 || !strings.Contains(printed, "--remove-token") {
			t.Errorf("%s: exit status %d\n%s", args, status, printed)
		}
	}
}

// TestJudgeToken is what may be said of a token by when it and the others matched.
func TestJudgeToken(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time {
		at := now.Add(-d)
		return &at
	}
	const (
		who     = "app 7 (Harbor): token 1 (file:old): "
		note    = "note:    each gateway knows of its own callbacks only: ask all that this app's reach\n"
		unclear = "warning: " + who + "no other token of the app matched in the last 60 min either, so that which one the vendor signs with is not to be seen here\n"
	)
	for name, row := range map[string]struct {
		since       time.Duration // of the token
		last, other *time.Time    // matches of it and of the app's other one
		want        string
		errors      int
	}{
		"in use":                           {26 * time.Hour, ago(3 * time.Minute), nil, "error:   " + who + "last matched 3 min ago: callbacks signed with it would be refused\n", 1},
		"in use, as the other":             {26 * time.Hour, ago(59 * time.Minute), ago(0), "error:   " + who + "last matched 59 min ago: callbacks signed with it would be refused\n", 1},
		"never, and the other is":          {26 * time.Hour, nil, ago(time.Minute), "ok:      " + who + "no match in the 26 h since this gateway began to take it\n" + note, 0},
		"no longer":                        {100 * time.Hour, ago(75 * time.Hour), ago(time.Minute), "ok:      " + who + "last matched 3 days ago, and not since\n" + note, 0},
		"watched too short":                {5 * time.Minute, nil, ago(time.Minute), "error:   " + who + "no match yet, but it has been watched for 5 min only: ask again when that is 60 min\n", 1},
		"never, and neither the other":     {26 * time.Hour, nil, nil, "ok:      " + who + "no match in the 26 h since this gateway began to take it\n" + unclear + note, 0},
		"no longer, and the other neither": {26 * time.Hour, ago(5 * time.Hour), ago(2 * time.Hour), "ok:      " + who + "last matched 5 h ago, and not since\n" + unclear + note, 0},
	} {
		t.Run(name, func(t *testing.T) {
			app := seenApp{ID: 7, Name: "Harbor", Registered: true, Tokens: []seenToken{
				{Position: 0, Source: "file:new", Since: now.Add(-30 * time.Hour), LastMatched: row.other},
				{Position: 1, Source: "file:old", Since: now.Add(-row.since), LastMatched: row.last},
			}}
			var out buffer
			f := process.NewFindings(&out)
			judgeToken(f, &app, 1, now)
			if out.String() != row.want || f.Errors() != row.errors {
				t.Errorf("%d errors\n%s\nwant\n%s", f.Errors(), &out, row.want)
			}
		})
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9180": "127.0.0.1:9180", ":9180": "127.0.0.1:9180", "0.0.0.0:9180": "127.0.0.1:9180", "[::]:9180": "[::1]:9180",
		"admin.local:9180": "admin.local:9180", "[2001:db8::1]:9180": "[2001:db8::1]:9180",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}
