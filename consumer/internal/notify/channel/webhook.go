package channel

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/template"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// webhook is a receiver of Standard Webhooks
// (github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
type webhook struct {
	signer      *standardwebhooks.Webhook // nil: not signed
	template    *template.Template        // nil: the message as JSON
	contentType string
}

const (
	contentJSON = "application/json"

	// The specification wants keys of 24 to 64 bytes.
	minKeyBytes = 24
	maxKeyBytes = 64

	maxBodyBytes = 256 << 10 // of what a template writes
)

// newWebhook checks the settings and tries the template with a message of each kind.
func newWebhook(s *Settings) (*webhook, error) {
	w := &webhook{contentType: s.ContentType}
	if w.contentType == "" {
		w.contentType = contentJSON
	}
	if strings.ContainsFunc(w.contentType, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, &SettingsError{"content_type", "is not one line of plain text"}
	}
	if s.Secret != "" {
		encoded, ok := strings.CutPrefix(s.Secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minKeyBytes || len(key) > maxKeyBytes {
			return nil, &SettingsError{"secret", fmt.Sprintf("want whsec_ and %d to %d bytes in base64", minKeyBytes, maxKeyBytes)}
		}
		if w.signer, err = standardwebhooks.NewWebhook(s.Secret); err != nil {
			return nil, &SettingsError{"secret", "cannot be used"}
		}
	}
	if s.Template == "" {
		return w, nil
	}
	var err error
	// missingkey: a field that a map does not have is a mistake, not "<no value>".
	w.template, err = template.New("template").Option("missingkey=error").Funcs(template.FuncMap{"json": jsonText, "join": strings.Join}).Parse(s.Template)
	if err != nil {
		return nil, &SettingsError{"template", err.Error()}
	}
	for _, m := range Samples(s.Language) {
		if _, err := w.written(m); err != nil {
			return nil, &SettingsError{"template", fmt.Sprintf("tried with a message of kind %s: %v", m.Kind, err)}
		}
	}
	return w, nil
}

// jsonText is the template's function json: any value as JSON, text with its quotes.
func jsonText(v any) (string, error) {
	body, err := encode(v)
	return string(body), err
}

// Errors of a template's output.
var (
	errNotJSON = errors.New("what it writes is not JSON; write text with {{json .Title}}, or set content_type")
	errTooLong = fmt.Errorf("it writes more than %d bytes", maxBodyBytes)
)

// written returns what the template writes of a message.
func (w *webhook) written(m *Message) ([]byte, error) {
	var b bytes.Buffer
	if err := w.template.Execute(&limited{&b, maxBodyBytes}, m); err != nil {
		return nil, err
	}
	if strings.HasPrefix(w.contentType, contentJSON) && !json.Valid(b.Bytes()) {
		return nil, errNotJSON
	}
	return b.Bytes(), nil
}

// limited is a writer that takes so many bytes: a template may loop.
type limited struct {
	io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errTooLong
	}
	return l.Writer.Write(p)
}

// webhookBody is the body of a webhook without a template: the shape that the
// specification advises, with the whole message as its data.
type webhookBody struct {
	Type      string      `json:"type"`
	Timestamp string      `json:"timestamp"`
	Data      webhookData `json:"data"`
}

type webhookData struct {
	Kind  Kind         `json:"kind"`
	Title string       `json:"title"`
	Text  string       `json:"text"`
	Apps  []webhookApp `json:"apps"`
}

type webhookApp struct {
	SdkAppID    int64    `json:"sdk_app_id"`
	Name        string   `json:"app_name"`
	Owner       *string  `json:"owner"`
	Tier        *string  `json:"tier"`
	Kind        Kind     `json:"kind"`
	Step        string   `json:"step"`
	Severity    string   `json:"severity"`
	Used        int64    `json:"quota_used"`
	Quota       int64    `json:"quota"`
	Percent     float64  `json:"used_percent"`
	RatePerHour *float64 `json:"rate_per_hour"`
	FullAt      *string  `json:"full_at"` // clock time
	TimeZone    string   `json:"time_zone"`
	EventTime   string   `json:"event_time"`
	Period      string   `json:"period"`
	Link        *string  `json:"link"`
}

// request writes the body and signs it. A template that fails now, although it did not when
// it was tried, must not keep the message back: the body without a template is sent, or for
// receivers of another form the plain text.
func (w *webhook) request(m *Message) (request, error) {
	r := request{contentType: w.contentType}
	var err error
	if w.template != nil {
		r.body, err = w.written(m)
	}
	switch {
	case w.template != nil && err == nil:
	case strings.HasPrefix(w.contentType, contentJSON):
		r.body, err = encode(bodyOf(m))
	default:
		r.body, r.contentType, err = []byte(m.Title+"\n"+m.Text()+"\n"), "text/plain; charset=utf-8", nil
	}
	if err != nil {
		return r, err
	}
	r.header = [][2]string{
		{standardwebhooks.HeaderWebhookID, m.ID},
		{standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.SentAt.Unix(), 10)},
	}
	if w.signer != nil {
		signature, err := w.signer.Sign(m.ID, m.SentAt, r.body)
		if err != nil {
			return r, fmt.Errorf("sign: %w", err)
		}
		r.header = append(r.header, [2]string{standardwebhooks.HeaderWebhookSignature, signature})
	}
	return r, nil
}

// bodyOf returns the body of a message without a template.
func bodyOf(m *Message) webhookBody {
	b := webhookBody{
		Type: "tidegate.notice." + string(m.Kind), Timestamp: m.SentAt.Format(time.RFC3339),
		Data: webhookData{Kind: m.Kind, Title: m.Title, Text: m.Text()},
	}
	for i := range m.Apps {
		a := &m.Apps[i]
		app := webhookApp{
			SdkAppID: a.SdkAppID, Name: a.Name, Owner: orNull(a.Owner), Tier: orNull(a.Tier), Kind: a.Kind, Step: a.Step, Severity: a.Severity,
			Used: a.Used, Quota: a.Quota, Percent: a.Percent, FullAt: orNull(a.FullAt), TimeZone: a.Zone,
			EventTime: a.EventTime, Period: a.Period, Link: orNull(a.Link),
		}
		if a.RateKnown {
			app.RatePerHour = &a.RatePerHour
		}
		b.Data.Apps = append(b.Data.Apps, app)
	}
	return b
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (*webhook) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	return judge(status, header, body, now)
}
