package channel

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Secrets of the tests. The key of the webhook is the specification's own.
const (
	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	robotSecret   = "SECthis-is-secret"
	urlSecret     = "0123-url-secret-4567"
	authorization = "Bearer header-secret-89"
)

// settingsOf returns a channel of each type, with all that it can have.
func settingsOf(typ Type, language Language) Settings {
	s := Settings{Name: "oncall", Type: typ, Language: language}
	switch typ {
	case Alertmanager:
		s.URL, s.Authorization = "http://alertmanager.example:9093/prefix/", authorization
	case Webhook:
		s.URL, s.Secret, s.Authorization = "https://hooks.example/in?key="+urlSecret, webhookSecret, authorization
	case Slack:
		s.URL = "https://hooks.slack.com/services/T0000/B0000/" + urlSecret
	case WeCom:
		s.URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=" + urlSecret
	case DingTalk:
		s.URL, s.Secret = "https://oapi.dingtalk.com/robot/send?access_token="+urlSecret, robotSecret
	case Feishu:
		s.URL, s.Secret = "https://open.feishu.cn/open-apis/bot/v2/hook/"+urlSecret, robotSecret
	}
	return s
}

func newChannel(t *testing.T, s Settings, transport http.RoundTripper) *Channel {
	t.Helper()
	c, err := New(s, transport)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recorder is a transport that keeps requests and answers as it is told.
type recorder struct {
	requests []string
	answer   func(r *http.Request) (*http.Response, error)
}

// RoundTrip writes the request down, as it is.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", req.Method, req.URL)
	for _, key := range slices.Sorted(maps.Keys(req.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", strings.ToLower(key), strings.Join(req.Header[key], " | "))
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(req.Body); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "\n%s\n", &body)
	r.requests = append(r.requests, b.String())
	if r.answer != nil {
		return r.answer(req)
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
}

// TestGoldenRequests holds every channel's exact request of every kind of message, in both
// languages, to a file.
func TestGoldenRequests(t *testing.T) {
	for _, typ := range Types() {
		for _, language := range Languages() {
			name := fmt.Sprintf("%s-%s", typ, language)
			t.Run(name, func(t *testing.T) {
				r := &recorder{}
				c := newChannel(t, settingsOf(typ, language), r)
				if c.KeepsAlive() {
					c.Alert(t.Context(), sampleTime, sampleAlerts())
					c.Tell(t.Context(), Samples(language)[0])
				} else {
					for _, m := range Samples(language) {
						c.Tell(t.Context(), m)
					}
				}
				golden(t, name+".http", strings.Join(r.requests, "\n----\n\n"))
			})
		}
	}
}

// sampleAlerts are one that fires, one that forecasts, one that is late, one that is over.
func sampleAlerts() (all []Alert) {
	for _, kind := range []quota.Kind{quota.KindStep, quota.KindForecast, quota.KindDigest} {
		all = append(all, Alert{Notice: SampleNotice(kind, sampleTime), Starts: sampleTime, Ends: sampleTime.Add(KeepAliveFor)})
	}
	over := all[0]
	over.Ends = sampleTime
	return append(all, over)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew. Got\n%s", path, got)
	}
}

// TestNoNumbersInLabels: each would make another alert of the same app.
func TestNoNumbersInLabels(t *testing.T) {
	r := &recorder{}
	c := newChannel(t, settingsOf(Alertmanager, English), r)
	c.Alert(t.Context(), sampleTime, sampleAlerts())
	var posted []alert
	_, body, _ := strings.Cut(r.requests[0], "\n\n")
	if err := json.Unmarshal([]byte(body), &posted); err != nil {
		t.Fatal(err)
	}
	for _, a := range posted {
		for name, value := range a.Labels {
			if name != "sdk_app_id" && strings.ContainsAny(value, "0123456789") {
				t.Errorf("label %s is %q", name, value)
			}
			if !slices.Contains([]string{"alertname", "app", "sdk_app_id", "owner", "step", "severity"}, name) {
				t.Errorf("label %s", name)
			}
		}
	}
	// What is posted to end an alert is the same alert.
	if fired, over := posted[0], posted[3]; !maps.Equal(fired.Labels, over.Labels) || fired.StartsAt != over.StartsAt || over.EndsAt != over.StartsAt {
		t.Errorf("fired %+v, ended by %+v", fired, over)
	}
}

// TestSeverities: watch is information, exhausted pages.
func TestSeverities(t *testing.T) {
	for step, want := range map[schema.Severity]string{
		schema.SeverityWatch: "info", schema.SeverityWarning: "warning", schema.SeverityCritical: "critical",
		schema.SeverityExhausted: "critical", "of a later release": "warning",
	} {
		n := SampleNotice(quota.KindStep, sampleTime)
		n.Step = step
		a := alertOf(English, &Alert{Notice: n})
		if a.Labels["severity"] != want || a.Labels["step"] != string(step) {
			t.Errorf("%s: labels %v, want severity %s", step, a.Labels, want)
		}
	}
}

// TestSameIDForTheSame: the id of what is sent again is the same, and of nothing else.
func TestSameIDForTheSame(t *testing.T) {
	id := func(channel string, at time.Time, change func(*Notice)) string {
		n := SampleNotice(quota.KindStep, sampleTime)
		if change != nil {
			change(&n)
		}
		return Compose(English, channel, []Notice{n}, at).ID
	}
	first := id("oncall", sampleTime, nil)
	if again := id("oncall", sampleTime.Add(time.Hour), nil); again != first {
		t.Errorf("sent again as %s, at first as %s", again, first)
	}
	for name, other := range map[string]string{
		"another channel": id("other", sampleTime, nil),
		"another app":     id("oncall", sampleTime, func(n *Notice) { n.AppID++ }),
		"another period":  id("oncall", sampleTime, func(n *Notice) { n.Period += "#2" }),
		"another kind":    id("oncall", sampleTime, func(n *Notice) { n.Kind = quota.KindForecast }),
		"another step":    id("oncall", sampleTime, func(n *Notice) { n.Step = "exhausted" }),
	} {
		if other == first {
			t.Errorf("%s has the same id", name)
		}
	}
}
