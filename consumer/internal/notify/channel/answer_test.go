package channel

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/leaks"
)

// receiver is a server that answers always the same and keeps the last request.
type receiver struct {
	*httptest.Server
	header http.Header
	body   []byte
	count  int
}

func receive(t *testing.T, status int, answer string, header ...string) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.count++
		r.header = req.Header
		r.body, _ = io.ReadAll(req.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		typ    Type
		status int
		body   string
		header []string
		want   Result
		after  time.Duration
		detail string // in Detail
	}{
		{"taken", Webhook, 204, "", nil, Sent, 0, "HTTP 204"},
		{"taken by Alertmanager", Alertmanager, 200, "", nil, Sent, 0, "HTTP 200"},
		{"taken by Slack", Slack, 200, "ok", nil, Sent, 0, "HTTP 200 ok"},
		{"taken by WeCom", WeCom, 200, `{"errcode":0,"errmsg":"ok"}`, nil, Sent, 0, "code 0: ok"},
		{"taken by DingTalk", DingTalk, 200, `{"errcode":0,"errmsg":"ok"}`, nil, Sent, 0, "code 0: ok"},
		{"taken by Feishu", Feishu, 200, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`, nil, Sent, 0, "code 0: success"},

		{"too many, seconds", Slack, 429, "slow down", []string{"Retry-After", "30"}, Retry, 30 * time.Second, "HTTP 429 slow down"},
		{"too many, a date", Webhook, 429, "", []string{"Retry-After", "Fri, 09 Dec 2022 08:28:54 GMT"}, Retry, 119877 * time.Millisecond, "HTTP 429"},
		{"too many, for ever", Webhook, 429, "", []string{"Retry-After", "99999999"}, Retry, time.Hour, "HTTP 429"},
		{"too many, for longer than there are years", Webhook, 429, "", []string{"Retry-After", "99999999999999999999999"}, Retry, time.Hour, "HTTP 429"},
		{"too many, less than nothing", Webhook, 429, "", []string{"Retry-After", "-5"}, Retry, 0, "HTTP 429"},
		{"too many, nonsense", Webhook, 429, "", []string{"Retry-After", "soon"}, Retry, 0, "HTTP 429"},
		{"too many, long ago", Webhook, 503, "", []string{"Retry-After", "Fri, 09 Dec 2011 08:28:54 GMT"}, Retry, 0, "HTTP 503"},
		{"away for a while", Alertmanager, 503, "", []string{"Retry-After", "5"}, Retry, 5 * time.Second, "HTTP 503"},
		{"fails", Alertmanager, 500, "boom", nil, Retry, 0, "HTTP 500 boom"},
		{"a timeout of theirs", Webhook, 408, "", nil, Retry, 0, "HTTP 408"},
		{"WeCom's limit", WeCom, 200, `{"errcode":45009,"errmsg":"api freq out of limit"}`, nil, Retry, time.Minute, "code 45009: api freq out of limit"},
		{"DingTalk's limit", DingTalk, 200, `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`, nil, Retry, 10 * time.Minute, "code 130101: send too fast"},
		{"DingTalk's limit, then", DingTalk, 302, "", []string{"Location", "/elsewhere"}, Retry, 10 * time.Minute, "HTTP 302"},
		{"Feishu's limit", Feishu, 400, `{"code":11232,"msg":"frequency limited"}`, nil, Retry, time.Minute, "code 11232: frequency limited"},
		{"WeCom is busy", WeCom, 200, `{"errcode":-1,"errmsg":"system busy"}`, nil, Retry, 0, "code -1: system busy"},
		{"a code that is not known", Feishu, 400, `{"code":4711,"msg":"?"}`, nil, Retry, 0, "code 4711"},
		{"a page of a sign-in", WeCom, 200, "<html>please sign in</html>", nil, Retry, 0, "not a robot's answer: HTTP 200 <html>"},

		{"refused", Alertmanager, 400, "bad labels", nil, Refused, 0, "HTTP 400 bad labels"},
		{"gone", Webhook, 410, "", nil, Refused, 0, "HTTP 410"},
		{"not found", Slack, 404, "no_service", nil, Refused, 0, "HTTP 404 no_service"},
		{"a redirect is not followed", Webhook, 307, "", []string{"Location", "/elsewhere"}, Refused, 0, "HTTP 307"},
		{"WeCom knows no such key", WeCom, 200, `{"errcode":93000,"errmsg":"invalid webhook url"}`, nil, Refused, 0, "code 93000: invalid webhook url"},
		{"DingTalk's signature", DingTalk, 200, `{"errcode":310000,"errmsg":"sign not match"}`, nil, Refused, 0, "code 310000: sign not match"},
		{"Feishu's signature", Feishu, 200, `{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}`, nil, Refused, 0, "code 19021: sign match fail"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := receive(t, test.status, test.body, test.header...)
			s := settingsOf(test.typ, English)
			s.URL = r.URL
			a := newChannel(t, s, nil).Tell(t.Context(), Samples(English)[0])
			if a.Result != test.want || a.RetryAfter != test.after || a.Status != test.status || !strings.Contains(a.Detail, test.detail) {
				t.Errorf("%+v", a)
			}
			if r.count != 1 {
				t.Errorf("%d requests, want 1", r.count)
			}
		})
	}
}

// TestAnswerThatBreaksOff: whose status says that it took the message has taken it, and people
// would see it again with every attempt of a day; a robot says so in the body.
func TestAnswerThatBreaksOff(t *testing.T) {
	for typ, want := range map[Type]Result{Webhook: Sent, Alertmanager: Sent, Slack: Sent, WeCom: Retry, DingTalk: Retry, Feishu: Retry} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"errcode":`)
		}))
		s := settingsOf(typ, English)
		s.URL = server.URL
		a := newChannel(t, s, nil).Tell(t.Context(), Samples(English)[0])
		server.Close()
		if a.Result != want || a.Status != 200 || a.Result == Retry && !strings.Contains(a.Detail, "unexpected EOF") {
			t.Errorf("%s: %+v", typ, a)
		}
	}
}

// TestNoHalfSecretInAnswers: an answer is cut to what is shown after the secrets are out of it,
// or the beginning of one would stay.
func TestNoHalfSecretInAnswers(t *testing.T) {
	s := settingsOf(Webhook, English)
	s.URL, s.Authorization = "https://harbor:user-password-1@hook.example/services/"+urlSecret, "Bearer bearer-token-1"
	for _, secret := range []string{urlSecret, s.Secret, "user-password-1", "bearer-token-1", "harbor:user-password-1"} {
		for before := range maxDetailBytes + 1 {
			r := &recorder{answer: func(*http.Request) (*http.Response, error) {
				body := strings.Repeat("x", before) + " " + secret
				return &http.Response{StatusCode: 500, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
			}}
			a := newChannel(t, s, r).Tell(t.Context(), Samples(English)[0])
			if strings.Contains(a.Detail, secret[:8]) {
				t.Fatalf("%d bytes before %s: %s", before, secret, a.Detail)
			}
		}
	}
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s := settingsOf(Slack, English)
	s.URL = "http://" + address + "/services/" + urlSecret
	a := newChannel(t, s, nil).Tell(t.Context(), Samples(English)[0])
	if a.Result != Retry || a.Status != 0 || !strings.Contains(a.Detail, "connection refused") || strings.Contains(a.Detail, urlSecret) {
		t.Errorf("%+v", a)
	}
}

func TestWhoeverIsSlowIsLeft(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer server.Close()
	defer close(held)
	s := settingsOf(WeCom, English)
	s.URL = server.URL + "/?key=" + urlSecret
	c := newChannel(t, s, nil)
	c.client.Timeout = 20 * time.Millisecond
	a := c.Tell(t.Context(), Samples(English)[0])
	if a.Result != Retry || !strings.Contains(a.Detail, "no answer within") || strings.Contains(a.Detail, urlSecret) {
		t.Errorf("%+v", a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := c.Tell(ctx, Samples(English)[0]); a.Result != Retry {
		t.Errorf("after the end of its context: %+v", a)
	}
}

// TestNoSecretInAnswers: whatever a place says, it does not repeat a secret to us.
func TestNoSecretInAnswers(t *testing.T) {
	find := leaks.New()
	find.Add("the secret in the URL", urlSecret)
	find.Add("the robot's key", robotSecret)
	find.Add("the webhook's key", webhookSecret)
	find.Add("the header", authorization)
	echo := strings.Join([]string{urlSecret, robotSecret, webhookSecret, authorization}, " and ")
	for _, typ := range Types() {
		for _, status := range []int{200, 400, 500} {
			r := &recorder{answer: func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(echo))}, nil
			}}
			s := settingsOf(typ, English)
			if typ == Alertmanager { // has no secret but the header
				s.URL += urlSecret
			}
			a := newChannel(t, s, r).Tell(t.Context(), Samples(English)[0])
			own := map[Type][]string{
				Alertmanager: {"the header"}, Webhook: {"the secret in the URL", "the webhook's key", "the header"},
				Slack: {"the secret in the URL"}, WeCom: {"the secret in the URL"},
				DingTalk: {"the secret in the URL", "the robot's key"}, Feishu: {"the secret in the URL", "the robot's key"},
			}
			for _, found := range find.In([]byte(a.Detail)) {
				for _, what := range own[typ] {
					if strings.HasPrefix(found, what) {
						t.Errorf("%s, HTTP %d: %s", typ, status, found)
					}
				}
			}
		}
	}
}
