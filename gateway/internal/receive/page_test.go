package receive

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// get asks for /apps.
func get(g *gate, method, target, accept string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, nil)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	g.AppsPage().ServeHTTP(w, req)
	return w
}

func (g *gate) handle(raw string) { g.Handler(newContext(raw)) }

func decodePage(t *testing.T, g *gate) page {
	t.Helper()
	w := get(g, "GET", "/apps?format=json", "")
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return p
}

func TestAppsPage(t *testing.T) {
	g := newGate(t, nil)
	g.handle(post(signed(alarm), alarmBody))
	g.handle(post(signed("State.StateChange"), "{}"))
	g.clock.add(time.Second)
	g.handle(post(target(signedApp, alarm)+"&RequestTime=1669872112&Sign="+sign("wrong", "1669872112"), "{}"))
	g.handle(post("/?SdkAppid=1400000001&CallbackCommand=", "{}"))
	g.handle(post(target(unknownApp, alarm), "{}"))
	g.handle("GET / HTTP/1.1\r\n\r\n")

	p := decodePage(t, g)
	if len(p.Apps) != 3 || p.Apps[0].ID != signedApp || p.Apps[1].ID != unsignedApp || p.Apps[2].ID != rotatingApp {
		t.Fatalf("apps of the page: %+v", p.Apps)
	}
	app := p.Apps[0]
	if app.Name != "Harbor Chat" || app.Owner != "team-harbor" || !app.Registered || !app.Signed {
		t.Errorf("%+v", app)
	}
	if app.Accepted != 1 || app.Dropped != 1 || app.Refused != 2 || app.Reasons["sign_wrong"] != 1 || app.Reasons["command_malformed"] != 1 {
		t.Errorf("counters %+v", app.pageCounters)
	}
	if app.LastCallback == nil || !app.LastCallback.Equal(vectorNow) {
		t.Errorf("last callback %v, want %v: a refused one is none", app.LastCallback, vectorNow)
	}
	if len(app.Tokens) != 1 || app.Tokens[0].LastMatched == nil || !app.Tokens[0].LastMatched.Equal(vectorNow) {
		t.Errorf("tokens %+v", app.Tokens)
	}
	want := pageRefusal{When: vectorNow.Add(time.Second), Reason: "sign_wrong", Source: "192.0.2.7", App: signedApp, Command: alarm}
	if len(app.Refusals) != 2 || app.Refusals[0].Reason != "command_malformed" || app.Refusals[1] != want {
		t.Errorf("refusals %+v", app.Refusals)
	}
	if p.Apps[1].LastCallback != nil || p.Apps[1].Signed || len(p.Apps[1].Refusals) != 0 {
		t.Errorf("an app that sent nothing: %+v", p.Apps[1])
	}
	if p.Others.Refused != 2 || p.Others.Reasons["app_unknown"] != 1 || p.Others.Reasons["method"] != 1 || p.Others.Refusals[1].App != unknownApp {
		t.Errorf("others %+v", p.Others)
	}
	if len(p.Routes) == 0 || !p.Since.Equal(vectorNow) {
		t.Errorf("routes %q, since %v", p.Routes, p.Since)
	}
}

// TestLastRefusals: there are as many as fit, newest first.
func TestLastRefusals(t *testing.T) {
	g := newGate(t, nil)
	for range lastRefusals + 5 {
		g.handle(post(target(signedApp, alarm), "{}"))
		g.clock.add(time.Second)
	}
	p := decodePage(t, g)
	list := p.Apps[0].Refusals
	if len(list) != lastRefusals || p.Apps[0].Refused != lastRefusals+5 {
		t.Fatalf("%d refusals shown of %d", len(list), p.Apps[0].Refused)
	}
	for i, f := range list {
		if want := vectorNow.Add(time.Duration(lastRefusals+4-i) * time.Second); !f.When.Equal(want) {
			t.Errorf("refusal %d at %v, want %v", i, f.When, want)
		}
	}
}

func TestAppsPageFormats(t *testing.T) {
	g := newGate(t, func(o *Options) { o.AcceptUnknown = true })
	g.handle(post(target(unknownApp, alarm), "{}"))
	for _, tt := range []struct {
		name, method, target, accept string
		status                       int
		contentType                  string
	}{
		{"a browser", "GET", "/apps", "text/html,*/*", 200, "text/html; charset=utf-8"},
		{"curl", "GET", "/apps", "*/*", 200, "text/html; charset=utf-8"},
		{"a program", "GET", "/apps", "application/json", 200, "application/json"},
		{"a link", "GET", "/apps?format=json", "text/html", 200, "application/json"},
		{"a link back", "GET", "/apps?format=html", "application/json", 200, "text/html; charset=utf-8"},
		{"a write", "POST", "/apps", "", 405, "text/plain; charset=utf-8"},
	} {
		w := get(g, tt.method, tt.target, tt.accept)
		if w.Code != tt.status || w.Header().Get("Content-Type") != tt.contentType {
			t.Errorf("%s: %d, %s", tt.name, w.Code, w.Header().Get("Content-Type"))
		}
		if tt.status == http.StatusOK && !strings.Contains(w.Body.String(), "1499999999") {
			t.Errorf("%s: the accepted unknown app is not shown", tt.name)
		}
	}
	if body := get(g, "GET", "/apps", "").Body.String(); !strings.Contains(body, "not in the apps file") || !strings.Contains(body, "Harbor Chat") {
		t.Errorf("page:\n%s", body)
	}
}

// TestPageTellsNoSecrets sends secrets in every place that a request has, and hostile text
// where it is shown, and looks for both on the page.
func TestPageTellsNoSecrets(t *testing.T) {
	g := newGate(t, nil)
	g.handle(post(signed(alarm), "s3cret-body"))
	g.handle(post(target(signedApp, alarm)+"&RequestTime=1669872112&Sign=s3cret-sign", "s3cret-body"))
	g.handle(post(target(signedApp, "s3cret<script>")+"&x=s3cret-query", "{}"))
	g.handle(post("/s3cret-path?SdkAppid=s3cret-app", "{}"))
	for _, format := range []string{"json", "html"} {
		body := get(g, "GET", "/apps?format="+format, "").Body.String()
		for _, secret := range []string{"s3cret", vectorToken, vectorSign, "new-token"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s shows %q:\n%s", format, secret, body)
			}
		}
	}
}
