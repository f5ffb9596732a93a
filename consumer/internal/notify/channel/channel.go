package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Type is a kind of place.
type Type string

// The types of channels.
const (
	Alertmanager Type = "alertmanager"
	Webhook      Type = "webhook"
	Slack        Type = "slack"
	WeCom        Type = "wecom"
	DingTalk     Type = "dingtalk"
	Feishu       Type = "feishu"
)

// Types returns every type.
func Types() []Type { return []Type{Alertmanager, Webhook, Slack, WeCom, DingTalk, Feishu} }

// Timeout bounds one request, from the look-up of the name to the answer's last byte.
const Timeout = 10 * time.Second

// maxAnswerBytes is how much of an answer is read.
const maxAnswerBytes = 64 << 10

// Settings describe a channel. Secrets are in clear; nothing of this package prints them.
type Settings struct {
	Name          string
	Type          Type
	URL           string // of Alertmanager, its base; a secret of the others
	Language      Language
	Secret        string // signs: whsec_... of a webhook, SEC... of DingTalk, Feishu's; empty: not signed
	Authorization string // header of that name, of Alertmanager and webhooks; empty: none
	Template      string // body of a webhook; empty: JSON with every field of Message
	ContentType   string // of that body; empty: application/json
}

// Channel is one place. It is immutable and may be used from any number of goroutines.
type Channel struct {
	Settings
	client *http.Client
	form   form
}

// form is what one type of channel needs: its requests, and what the answers mean.
type form interface {
	// request returns the body and further headers of a message, and what is added to
	// the URL's query.
	request(m *Message) (request, error)
	judge(status int, header http.Header, body []byte, now time.Time) Answer
}

// request is one request but for where it goes.
type request struct {
	body        []byte
	contentType string
	header      [][2]string
	query       url.Values
}

// ErrSettings says what is wrong with a channel's settings; its text names the key first.
// The operator corrects the file.
var ErrSettings = errors.New("channel cannot be used")

// SettingsError is one mistake in the settings of a channel.
type SettingsError struct {
	Key  string // of notify.yaml, such as "url"
	Text string // without any secret
}

// Error returns the key and the mistake.
func (e *SettingsError) Error() string { return e.Key + ": " + e.Text }

// Is says that the error is an ErrSettings.
func (e *SettingsError) Is(target error) bool { return target == ErrSettings }

// New returns the channel of s, whose template it tries with a message of each kind. An
// error is a *SettingsError. transport nil: the one that all channels share.
func New(s Settings, transport http.RoundTripper) (*Channel, error) {
	if s.Language == "" {
		s.Language = English
	}
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &SettingsError{"url", "is not a URL that begins with http:// or https://"}
	}
	if transport == nil {
		transport = shared
	}
	c := &Channel{Settings: s, client: &http.Client{Transport: transport, Timeout: Timeout, CheckRedirect: noRedirect}}
	var err error
	switch s.Type {
	case Alertmanager:
		c.form = alertmanager{}
	case Webhook:
		c.form, err = newWebhook(&c.Settings)
	case Slack:
		c.form = slack{}
	case WeCom:
		c.form = wecom{}
	case DingTalk:
		c.form = dingtalk{secret: s.Secret}
	case Feishu:
		c.form = feishu{secret: s.Secret}
	default:
		err = &SettingsError{"type", "is not known"}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// shared is the transport of all channels: connections are kept, so that a burst of
// messages needs one.
var shared = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 2
	return t
}()

// noRedirect has a redirect answered as it came: to follow it would hand a secret to
// whoever answered.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// KeepsAlive says that the channel takes Alert, and Tell only for a test.
func (c *Channel) KeepsAlive() bool { return c.Type == Alertmanager }

// Tell sends a message. It returns when the place has answered, Timeout is over, or ctx
// has ended, and never fails otherwise: what went wrong is in the Answer.
func (c *Channel) Tell(ctx context.Context, m *Message) Answer {
	r, err := c.form.request(m)
	if err != nil {
		return Answer{Result: Refused, Detail: c.redacted("write the message: " + err.Error())}
	}
	return c.post(ctx, &r, m.SentAt)
}

// target returns where requests go.
func (c *Channel) target() string {
	if c.Type == Alertmanager {
		return strings.TrimSuffix(c.URL, "/") + "/api/v2/alerts"
	}
	return c.URL
}

// post makes one request.
func (c *Channel) post(ctx context.Context, r *request, now time.Time) Answer {
	req, err := c.httpRequest(ctx, r)
	if err != nil {
		return Answer{Result: Refused, Detail: "the URL cannot be used"}
	}
	res, err := c.client.Do(req)
	if err != nil {
		return Answer{Result: Retry, Detail: c.redacted(reason(err))}
	}
	defer func() { _ = res.Body.Close() }()
	body, broken := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	// Before it is cut to what is shown: half a secret would not be found.
	body = []byte(c.redacted(string(body)))
	a := c.form.judge(res.StatusCode, res.Header, body, now)
	if broken != nil && a.Result == Retry {
		// Where the status alone says that the message was taken, it was.
		a.Detail = "read the answer: " + reason(broken) + ": " + a.Detail
	}
	a.Detail = c.redacted(a.Detail)
	return a
}

// httpRequest puts a request together.
func (c *Channel) httpRequest(ctx context.Context, r *request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if len(r.query) > 0 {
		query := r.query.Encode()
		if req.URL.RawQuery != "" {
			query = req.URL.RawQuery + "&" + query
		}
		req.URL.RawQuery = query
	}
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("User-Agent", "tidegate-consumer")
	if c.Authorization != "" {
		req.Header.Set("Authorization", c.Authorization)
	}
	for _, h := range r.header {
		req.Header.Set(h[0], h[1])
	}
	return req, nil
}

// reason drops the URL, which is a secret, from an error of the client.
func reason(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return fmt.Sprintf("no answer within %s: %v", Timeout, e.Err)
		}
		err = e.Err
	}
	return err.Error()
}

// redacted takes the channel's secrets out of a text: a place may repeat what it was sent.
func (c *Channel) redacted(text string) string {
	secrets := append([]string{c.Secret, c.Authorization}, strings.Fields(c.Authorization)...)
	u, err := url.Parse(c.URL)
	if err == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.User.String(), password)
	}
	if err == nil && c.Type != Alertmanager {
		secrets = append(secrets, c.URL, u.RequestURI(), u.RawQuery, u.Path, strings.Trim(u.Path, "/"))
		for _, values := range u.Query() {
			secrets = append(secrets, values...)
		}
		parts := strings.Split(u.Path, "/")
		secrets = append(secrets, parts[len(parts)-1])
	}
	for _, secret := range secrets {
		if len(secret) >= minSecretBytes {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// minSecretBytes is the length from which a part of a URL can be a secret: shorter ones are
// words such as "send", whose replacement would only make a text unreadable.
const minSecretBytes = 8

// encode returns v as JSON that shows & and < as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// asJSON returns the request whose body is v.
func asJSON(v any) (request, error) {
	body, err := encode(v)
	return request{body: body, contentType: "application/json; charset=utf-8"}, err
}
