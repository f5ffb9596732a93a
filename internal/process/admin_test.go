package process

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func startAdmin(t *testing.T, ready *Readiness) *Admin {
	t.Helper()
	a, err := NewAdmin("127.0.0.1:0", prometheus.NewRegistry(), ready, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if conn, err := net.Dial("tcp", a.Addr()); err == nil {
			conn.Close()
			t.Error("the listener is open after Run")
		}
	})
	return a
}

func get(t *testing.T, a *Admin, path string) (status int, body string) {
	t.Helper()
	res, err := http.Get("http://" + a.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func TestAdminPages(t *testing.T) {
	ready := new(Readiness)
	ready.Add("journal", true, func() (bool, string) { return true, "empty" })
	a := startAdmin(t, ready)
	a.Handle("GET /apps", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "two apps") }))
	for name, row := range map[string]struct {
		path   string
		status int
		body   string // a part of it
	}{
		"alive":           {"/livez", 200, "ok\n"},
		"ready":           {"/readyz", 200, "ready\n"},
		"ready, verbose":  {"/readyz?verbose", 200, "[+] journal: empty\nready\n"},
		"build":           {"/metrics", 200, `tidegate_build_info{goversion="go1`},
		"ready, metric":   {"/metrics", 200, "\ntidegate_ready 1\n"},
		"Go's metrics":    {"/metrics", 200, "go_goroutines "},
		"the process's":   {"/metrics", 200, "process_open_fds "},
		"a page of ours":  {"/apps", 200, "two apps"},
		"list of pages":   {"/", 200, "GET /apps\nGET /livez\nGET /metrics\nGET /readyz\n"},
		"nothing else":    {"/debug/pprof/", 404, ""},
		"no other method": {"/livez", 200, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, a, row.path)
			if status != row.status || !strings.Contains(body, row.body) {
				t.Errorf("%d\n%.500s", status, body)
			}
		})
	}
	ready.Draining(true)
	if _, body := get(t, a, "/metrics"); !strings.Contains(body, "\ntidegate_ready 0\n") {
		t.Error("tidegate_ready is not 0 while it drains")
	}
	ready.Draining(false)
	res, err := http.Post("http://"+a.Addr()+"/readyz", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

func TestAdminAddressTaken(t *testing.T) {
	a := startAdmin(t, new(Readiness))
	_, err := NewAdmin(a.Addr(), prometheus.NewRegistry(), new(Readiness), zap.NewNop())
	if err == nil || !strings.HasPrefix(err.Error(), "admin listener: listen tcp ") {
		t.Errorf("error %v", err)
	}
}

func TestAdminThatNeverRan(t *testing.T) {
	a, err := NewAdmin("127.0.0.1:0", prometheus.NewRegistry(), new(Readiness), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadiness(t *testing.T) {
	yes := func() (bool, string) { return true, "fine" }
	no := func() (bool, string) { return false, "full" }
	for name, row := range map[string]struct {
		prepare func(r *Readiness)
		status  int
		verbose string
	}{
		"nothing known yet": {func(*Readiness) {}, 503, "not ready: starting\n"},
		"only the optional": {func(r *Readiness) { r.Add("kafka", false, yes) }, 503, "[+] kafka (not required): fine\nnot ready: starting\n"},
		"all good":          {func(r *Readiness) { r.Add("journal", true, yes) }, 200, "[+] journal: fine\nready\n"},
		"the optional bad":  {func(r *Readiness) { r.Add("journal", true, yes); r.Add("kafka", false, no) }, 200, "[+] journal: fine\n[-] kafka (not required): full\nready\n"},
		"a required bad":    {func(r *Readiness) { r.Add("a", true, yes); r.Add("journal", true, no); r.Add("z", true, no) }, 503, "[+] a: fine\n[-] journal: full\n[-] z: full\nnot ready: journal: full\n"},
		"draining":          {func(r *Readiness) { r.Add("journal", true, yes); r.Draining(true) }, 503, "[+] journal: fine\nnot ready: draining\n"},
		"drained no more":   {func(r *Readiness) { r.Add("journal", true, yes); r.Draining(true); r.Draining(false) }, 200, "[+] journal: fine\nready\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := new(Readiness)
			row.prepare(r)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz?verbose", nil))
			if w.Code != row.status || w.Body.String() != row.verbose {
				t.Errorf("%d\n%s", w.Code, w.Body)
			}
			short := httptest.NewRecorder()
			r.ServeHTTP(short, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if !strings.HasSuffix(row.verbose, short.Body.String()) || strings.Count(short.Body.String(), "\n") != 1 {
				t.Errorf("short: %s", short.Body)
			}
			if ok, _ := r.Ready(); ok != (row.status == 200) {
				t.Errorf("Ready is %v", ok)
			}
		})
	}
}
