package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// ask sends a request to the control socket and returns the answer's text, or the error's.
func ask(t *testing.T, dir, method, path string) string {
	t.Helper()
	client, err := dialControl(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	path, query, _ := strings.Cut(path, "?")
	request, err := http.NewRequestWithContext(t.Context(), method, "http://gateway"+path+"?"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status + " " + string(body)
}

// TestControlSocket: it is its user's only, has the profiles, which the admin port has not, and
// is gone after the stop.
func TestControlSocket(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	dir := r.set.JournalDir
	info, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("socket %v: %v", info.Mode(), err)
	}
	for path, want := range map[string]string{
		"/debug/pprof/":                     "200 OK profile?seconds=30\n",
		"/debug/pprof/goroutine?debug=1":    "200 OK goroutine profile: total ",
		"/debug/pprof/heap":                 "200 OK \x1f\x8b",
		"/debug/pprof/profile?seconds=0.01": "200 OK \x1f\x8b",
		"/debug/pprof/trace?seconds=0.01":   "200 OK go 1.",
		"/debug/pprof/profile?seconds=1e9":  "400 Bad Request seconds: want more than 0 and at most 300",
		"/debug/pprof/nothing":              "404 Not Found unknown profile",
		"/metrics":                          "404 Not Found",
		"/journal/skip?lsn=x":               "400 Bad Request lsn: ",
		"/journal/skip?lsn=1&parked=maybe":  "400 Bad Request parked: ",
		"/journal/replay?order=1":           "405 Method Not Allowed",
	} {
		if got := ask(t, dir, "GET", path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.200q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/journal/skip?lsn=1&parked=false&sha256=00": "400 Bad Request sha256: ",
		"/journal/replay?order=x":                    "400 Bad Request order: ",
	} {
		if got := ask(t, dir, "POST", path); !strings.HasPrefix(got, want) {
			t.Errorf("POST %s: %.200q, want %q", path, got, want)
		}
	}
	if status, _ := r.page(t, "/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("the admin port answers %d for profiles", status)
	}
	if _, pattern := http.DefaultServeMux.Handler(&http.Request{Method: "GET", URL: &url.URL{Path: "/debug/pprof/"}}); pattern != "" {
		t.Errorf("http.DefaultServeMux has %s", pattern)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after the stop: %v", err)
	}
	if _, err := dialControl(t.Context(), dir); !errors.Is(err, errNoGateway) {
		t.Errorf("dial after the stop: %v", err)
	}
}

// TestControlSocketOfAKilledGateway is replaced; a client that finds it says that nobody is there.
func TestControlSocketOfAKilledGateway(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/journal", 0o700))
	stale, err := net.Listen("unix", dir+"/journal/"+socketName)
	must(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	if _, err := dialControl(t.Context(), dir+"/journal"); !errors.Is(err, errNoGateway) {
		t.Errorf("dial: %v", err)
	}
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s") // and the journal takes the directory, which is new
	if got := ask(t, r.set.JournalDir, "GET", "/debug/pprof/"); !strings.HasPrefix(got, "200 OK") {
		t.Errorf("after the start: %.200q", got)
	}
}

// TestControlSocketInALongPath: longer than a socket's address may be.
func TestControlSocketInALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	must(t, os.MkdirAll(dir, 0o700))
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	switch _, _, err := socketAddress(r.set.JournalDir); {
	case err == nil:
		if got := ask(t, r.set.JournalDir, "GET", "/debug/pprof/"); !strings.HasPrefix(got, "200 OK") {
			t.Errorf("%.200q", got)
		}
	case !strings.Contains(r.logs.String(), "no control socket: "): // not on Linux
		t.Errorf("no warning in the log:\n%s", r.logs)
	}
	must(t, r.stop())
	if _, err := os.Stat(filepath.Join(r.set.JournalDir, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after the stop: %v", err)
	}
}

// TestNoControlSocket: what is in the way is left alone, and the gateway takes callbacks.
func TestNoControlSocket(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/journal", 0o700))
	write(t, dir+"/journal", socketName, "mine")
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	if n := strings.Count(r.logs.String(), "no control socket: "); n != 1 {
		t.Errorf("%d warnings", n)
	}
	// A command cannot reach it, nor open its journal, and says why.
	must(t, os.Rename(dir+"/journal/"+socketName, dir+"/moved"))
	var out bytes.Buffer
	status := execute(t.Context(), []string{"journal", "skip", "--lsn=1", "--to-file=" + dir + "/kept", "--journal-dir=" + r.set.JournalDir}, &out, &out)
	if status != process.ExitFailed || !strings.Contains(out.String(), "a process has the journal open") {
		t.Errorf("exit status %d\n%s", status, &out)
	}
	if text, err := os.ReadFile(dir + "/moved"); err != nil || string(text) != "mine" {
		t.Errorf("what was in the way: %q, %v", text, err)
	}
}

// TestControlEndsWithTheGateway: a profile that is being taken does not hold up a stop.
func TestControlEndsWithTheGateway(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	client, err := dialControl(t.Context(), r.set.JournalDir)
	must(t, err)
	defer client.close()
	body, err := client.call(context.WithoutCancel(t.Context()), "GET", "/debug/pprof/goroutine", nil)
	must(t, err)
	body.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if body, err := client.call(context.WithoutCancel(t.Context()), "GET", "/debug/pprof/trace", map[string][]string{"seconds": {"300"}}); err == nil {
			_, _ = io.Copy(io.Discard, body)
			body.Close()
		}
	}()
	must(t, r.stop())
	<-ended
}
