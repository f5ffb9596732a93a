package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/internal/leaks"
	"github.com/tidegate/tidegate/internal/process"
)

// receiver is where channels send to in the tests. It answers 200 and ok, which every
// robot takes.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	status int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies = append(r.bodies, req.URL.Path+" "+string(body))
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok","code":0,"msg":"ok"}`)
	}))
	t.Cleanup(r.Close)
	return r
}

// got returns all that came.
func (r *receiver) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.bodies, "\n")
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func writeNotify(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// list runs `notify list`.
func (b *bench) list(more ...string) string {
	b.t.Helper()
	var out bytes.Buffer
	if status := execute(b.t.Context(), append([]string{"notify", "list", "--store", b.store}, more...), &out, &out); status != process.ExitOK {
		b.t.Fatalf("notify list: status %d: %s", status, out.String())
	}
	return out.String()
}

// TestNoticeGoesAllTheWay from the raw record to a receiver, and to one that is added while
// the consumer runs.
func TestNoticeGoesAllTheWay(t *testing.T) {
	b := newBench(t, allTopics())
	first, second := newReceiver(t), newReceiver(t)
	channels := "channels:\n  - {name: first, type: webhook, url: '" + first.URL + "'}\n  - {name: second, type: feishu, url: 'plain:" + second.URL + "/hook/t0ken-t0ken', language: zh}\n"
	file := writeNotify(t, channels+"default: [first]\n")
	r := b.run("--notify", file)
	b.produce("im.alarms.raw", 1400000001, alarm(9100))
	eventually(t, "the notice", func() bool { return strings.Contains(first.got(), "[critical] Harbor Chat (1400000001): 91 %") })
	eventually(t, "the mark", func() bool { return r.metric(`tidegate_consumer_notices_total{channel="first",result="sent"}`) == "1" })
	eventually(t, "nothing that waits", func() bool { return r.metric("tidegate_consumer_notices_oldest_pending_seconds") == "0" })
	if got := b.list(); !strings.Contains(got, "first    sent   step  critical  Harbor Chat (1400000001)") || strings.Count(got, "\n") != 2 {
		t.Errorf("list:\n%s", got)
	}

	if err := os.WriteFile(file, []byte(channels+"default: [second]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is read", func() bool { return r.metric(`tidegate_reloads_total{file="notify",result="ok"}`) == "1" })
	second.answer(http.StatusServiceUnavailable)
	b.produce("im.alarms.raw", 1400000001, alarm(10000))
	eventually(t, "the failure shows", func() bool {
		_, page := r.get("/readyz?verbose")
		return strings.Contains(page, "[-] notices (not required): second: HTTP 503")
	})
	if status, _ := r.get("/readyz"); status != http.StatusOK {
		t.Errorf("a dead channel makes the consumer not ready: %d", status)
	}
	second.answer(http.StatusOK)
	eventually(t, "the next notice", func() bool { return strings.Contains(b.list("--channel=second", "--state=sent"), "exhausted") })
	if !strings.Contains(second.got(), "【用尽】Harbor Chat（1400000001）：今日建群配额已用 100%") {
		t.Errorf("came:\n%s", second.got())
	}
	if got := b.list("--format=json", "--limit=1"); !strings.HasPrefix(got, `{"id":2,"channel":"second","state":"sent","sdk_app_id":1400000001,"app_name":"Harbor Chat"`) {
		t.Errorf("list as JSON: %s", got)
	}
	if strings.Contains(r.logs.String(), "t0ken") {
		t.Errorf("a robot's URL is in the log:\n%s", r.logs)
	}
}

// TestNotifyTest sends a test through every type of channel, and prints no secret.
func TestNotifyTest(t *testing.T) {
	const key, sign, header = "t0ken-t0ken-0123", "plain-signing-key-99", "Bearer header-secret-77"
	find := leaks.New()
	find.Add("the URL's key", key)
	find.Add("the signing key", sign)
	find.Add("the webhook's key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	find.Add("the header", header)
	r := newReceiver(t)
	robot := "url: 'plain:" + r.URL + "/hook?key=" + key + "'"
	file := writeNotify(t, `channels:
  - {name: alertmanager, type: alertmanager, url: '`+r.URL+`', authorization: 'plain:`+header+`'}
  - {name: webhook, type: webhook, `+robot+`, secret: 'plain:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'}
  - {name: slack, type: slack, `+robot+`}
  - {name: wecom, type: wecom, `+robot+`}
  - {name: dingtalk, type: dingtalk, `+robot+`, secret: 'plain:`+sign+`'}
  - {name: feishu, type: feishu, `+robot+`, secret: 'plain:`+sign+`', language: zh}
default: []
`)
	try := func(name string) (int, string) {
		var out bytes.Buffer
		status := execute(t.Context(), []string{"notify", "test", name, "--notify", file}, &out, &out)
		for _, leak := range find.In(out.Bytes()) {
			t.Errorf("%s: %s", name, leak)
		}
		return status, out.String()
	}
	for _, typ := range channel.Types() {
		name := string(typ)
		before := len(r.got())
		if status, out := try(name); status != process.ExitOK || !strings.Contains(out, "took the message: HTTP 200") {
			t.Errorf("%s: status %d, %s", name, status, out)
		}
		if came := r.got()[before:]; !strings.Contains(came, "[test]") && !strings.Contains(came, "【测试】") || name == "alertmanager" && !strings.Contains(came, "/api/v2/alerts") {
			t.Errorf("%s: came %s", name, came)
		} else if !strings.Contains(came, "are made up") && !strings.Contains(came, "均为虚构") || strings.Contains(came, "2022-12-09") {
			t.Errorf("%s: a test that does not say so, or that tells of another day: %s", name, came)
		}
		r.answer(http.StatusUnauthorized)
		if status, out := try(name); status != process.ExitFailed || !strings.Contains(out, "did not take the message") || !strings.Contains(out, "HTTP 401") {
			t.Errorf("%s, refused: status %d, %s", name, status, out)
		}
		r.answer(http.StatusOK)
	}
	if status, out := try("pager"); status != process.ExitFailed || !strings.Contains(out, `no channel "pager"`) || !strings.Contains(out, "alertmanager, webhook, slack") {
		t.Errorf("unknown channel: status %d, %s", status, out)
	}
	r.Close()
	if status, out := try("wecom"); status != process.ExitFailed || !strings.Contains(out, "it would be tried again") {
		t.Errorf("nobody there: status %d, %s", status, out)
	}
}

func TestNotifyCommandsWithoutWhatTheyNeed(t *testing.T) {
	var out bytes.Buffer
	if status := execute(t.Context(), []string{"notify", "test", "x"}, &out, &out); status != process.ExitFailed || !strings.Contains(out.String(), "--notify: want the file") {
		t.Errorf("no file: status %d, %s", status, out.String())
	}
	out.Reset()
	missing := "sqlite:" + filepath.Join(t.TempDir(), "none.db")
	if status := execute(t.Context(), []string{"notify", "list", "--store", missing}, &out, &out); status != process.ExitOK || !strings.Contains(out.String(), "no consumer has saved anything there yet") {
		t.Errorf("no store: status %d, %s", status, out.String())
	}
}

func TestCheckNotify(t *testing.T) {
	apps := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(apps, []byte(appsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HARBOR_ROBOT", "https://robot.example/t0ken-t0ken")
	for _, test := range []struct {
		name, yaml string
		offline    bool
		status     int
		want       string
	}{
		{"good", "channels: [{name: a, type: wecom, url: 'env:HARBOR_ROBOT'}]\ndefault: [a]\n", false, process.ExitFailed, "ok:      "}, // no brokers
		{"good, offline", "channels: [{name: a, type: wecom, url: 'env:HARBOR_ROBOT'}]\ndefault: [a]\n", true, process.ExitOK, "a secret of channel a comes from the environment"},
		{"secrets are not read offline", "channels: [{name: a, type: wecom, url: 'env:NOT_SET_HERE'}]\ndefault: [a]\n", true, process.ExitOK, "1 channels"},
		{"and else they are", "channels: [{name: a, type: wecom, url: 'env:NOT_SET_HERE'}]\ndefault: [a]\n", false, process.ExitFailed, "notify.yaml:1:40: channels[0].url: env:NOT_SET_HERE is not set"},
		{"nobody", "channels: []\ndefault: []\n", true, process.ExitOK, "warning: "},
		{"a mistake", "channels: [{name: a, type: wecom, url: 'https://robot.example/t0ken-t0ken'}]\ndefault: [a]\n", true, process.ExitFailed, "so it is a secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"--apps", apps, "--notify", writeNotify(t, test.yaml)}
			if test.offline {
				args = append(args, "--offline")
			}
			status, out := check(t, args...)
			if status != test.status || !strings.Contains(out, test.want) || strings.Contains(out, "t0ken") {
				t.Errorf("status %d, want %d and %q:\n%s", status, test.status, test.want, out)
			}
		})
	}
	if _, out := check(t, "--apps", apps, "--offline"); !strings.Contains(out, "note:    --notify: not given, so notices are saved and nobody is told") {
		t.Errorf("without a file:\n%s", out)
	}
}
