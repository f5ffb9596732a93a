package channel

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// many returns notices of n apps.
func many(n int) (all []Notice) {
	for i := range n {
		one := SampleNotice(quota.KindStep, sampleTime)
		name := fmt.Sprintf("潮汐 %d", i)
		one.AppID, one.Alarm.SdkAppID, one.Alarm.AppName = int64(1400000001+i), int64(1400000001+i), &name
		all = append(all, one)
	}
	return all
}

// TestLongTextsAreCut: within the limit of each place, between lines, with a mark of how
// much is missing.
func TestLongTextsAreCut(t *testing.T) {
	for _, test := range []struct {
		typ   Type
		limit int
		whole bool // the limit is of the whole body
	}{
		{Slack, slackTextBytes, false}, {WeCom, wecomTextBytes, false}, {DingTalk, dingtalkBodyBytes, true}, {Feishu, feishuBodyBytes, true},
	} {
		for _, language := range Languages() {
			r := &recorder{}
			c := newChannel(t, settingsOf(test.typ, language), r)
			c.Tell(t.Context(), Compose(language, "oncall", many(500), sampleTime))
			_, body, _ := strings.Cut(r.requests[0], "\n\n")
			body = strings.TrimSuffix(body, "\n")
			text := textOf(t, body)
			size := len(text)
			if test.whole {
				size = len(body)
			}
			if size > test.limit || size < test.limit*9/10 {
				t.Errorf("%s, %s: %d bytes, want at most %d and not much less", test.typ, language, size, test.limit)
			}
			last := text[strings.LastIndex(text, "\n")+1:]
			shown := strings.Count(text, "潮汐")
			if missing := fmt.Sprintf(wordsOf(language).cut, 500-shown); last != missing {
				t.Errorf("%s, %s: ends with %q, %d apps are shown", test.typ, language, last, shown)
			}
			if !strings.Contains(text, "500") {
				t.Errorf("%s, %s: does not say how many apps", test.typ, language)
			}
		}
	}
}

// textOf returns the longest text in a body.
func textOf(t *testing.T, body string) (longest string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if len(v) > len(longest) {
				longest = v
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(v)
	return longest
}

// TestLongNameIsCut: it stands in the title, which is not cut, and a message that is too long
// for a robot is refused for good.
func TestLongNameIsCut(t *testing.T) {
	n := SampleNotice(quota.KindStep, sampleTime)
	name := strings.Repeat("&潮", 5000)
	n.Alarm.AppName = &name
	other := n
	other.AppID++
	for typ, limit := range map[Type]int{Slack: slackTextBytes, WeCom: wecomTextBytes, DingTalk: dingtalkBodyBytes, Feishu: feishuBodyBytes} {
		for _, notices := range [][]Notice{{n}, {n, other}} {
			r := &recorder{}
			newChannel(t, settingsOf(typ, Chinese), r).Tell(t.Context(), Compose(Chinese, "oncall", notices, sampleTime))
			_, body, _ := strings.Cut(r.requests[0], "\n\n")
			text := textOf(t, body)
			if len(text) > limit || !utf8.ValidString(text) || !strings.Contains(text, "1400000001") {
				t.Errorf("%s, %d apps: %d bytes, want at most %d", typ, len(notices), len(text), limit)
			}
		}
	}
}

func TestOneLineThatIsTooLong(t *testing.T) {
	n := SampleNotice(quota.KindStep, sampleTime)
	owner := strings.Repeat("队", 3000)
	n.Alarm.Owner = &owner
	m := Compose(Chinese, "oncall", []Notice{n}, sampleTime)
	m.Lines = []string{strings.Join(m.Lines, " ")}
	for limit := 60; limit < 80; limit++ { // at every place of a character
		text := fit(m, "\n", func(text string) bool { return len(text) <= limit })
		if len(text) > limit || !utf8.ValidString(text) || !strings.Contains(text, "还有 1 行") {
			t.Errorf("limit %d: %d bytes, %q", limit, len(text), text)
		}
	}
}

func TestDigestOfOneAppIsNoDigest(t *testing.T) {
	first, second := SampleNotice(quota.KindStep, sampleTime), SampleNotice(quota.KindStep, sampleTime)
	first.Step = schema.SeverityWatch
	m := Compose(English, "oncall", []Notice{first, second}, sampleTime)
	if m.Kind != KindStep || len(m.Apps) != 1 || m.Apps[0].Step != "critical" {
		t.Errorf("%s of %+v", m.Kind, m.Apps)
	}
}

func TestDigestBeginsWithTheMostUrgent(t *testing.T) {
	all := many(5)
	for i, step := range []schema.Severity{schema.SeverityWatch, schema.SeverityExhausted, schema.SeverityWarning, schema.SeverityExhausted, schema.SeverityWatch} {
		all[i].Step = step
		all[i].Alarm.UsedPercent = 70 + float64(i)
	}
	all[4].Kind = quota.KindResolve
	m := Compose(English, "oncall", append(all, all[0]), sampleTime)
	var order []int64
	for _, a := range m.Apps {
		order = append(order, a.SdkAppID-1400000001)
	}
	if got := fmt.Sprint(order); got != "[3 1 2 0 4]" || m.Title != "5 more apps" {
		t.Errorf("%s: %s", m.Title, got)
	}
	for i := range all {
		all[i].Late = true
	}
	if late := Compose(English, "oncall", all, sampleTime); late.Title != "[late] 5 apps" || !strings.Contains(late.Lines[0], "as of 2022-12-09 16:26") {
		t.Errorf("%s\n%s", late.Title, late.Text())
	}
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct{ name, template, contentType, err string }{
		{"good", `{"summary": {{json .Title}}, "text": {{json .Text}}, "apps": [{{range $i, $a := .Apps}}{{if $i}},{{end}}{{json $a.Name}}{{end}}]}`, "", ""},
		{"text", "{{.Title}}\n{{join .Lines \"; \"}}", "text/plain", ""},
		{"does not parse", "{{.Title", "", "template: template: template:1: unclosed action"},
		{"no such field", `{"x": {{json .Tittle}}}`, "", "tried with a message of kind step: template: template:1:"},
		{"only for digests", `{"x": {{json (index .Apps 1).Name}}}`, "", "kind step"},
		{"not JSON", `{"x": {{.Title}}}`, "", "is not JSON; write text with {{json .Title}}"},
		{"without an end", `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "text/plain", "template"},
		{"too much", `{{range .Apps}}{{printf "%300000d" 1}}{{end}}`, "text/plain", "more than 262144 bytes"},
		{"two lines of a header", "x", "text/plain\nX: y", "content_type: is not one line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := settingsOf(Webhook, English)
			s.Template, s.ContentType = test.template, test.contentType
			_, err := New(s, nil)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("%v, want %q", err, test.err)
			}
		})
	}
}

// TestTemplateThatFailsLater: an app's name that nobody tried must not keep a notice back.
func TestTemplateThatFailsLater(t *testing.T) {
	for _, test := range []struct{ contentType, want, header string }{
		{"", `{"type":"tidegate.notice.step"`, "application/json"},
		{"text/csv", "[critical] Two, Words (1400000001): 93.4 % of today's groups used\nUsed: at least", "text/plain"},
	} {
		s := settingsOf(Webhook, English)
		s.ContentType = test.contentType
		s.Template = `{"x": "{{with index .Apps 0}}{{if eq .Name "Two, Words"}}{{index .Name 99}}{{end}}{{end}}"}`
		r := &recorder{}
		c := newChannel(t, s, r)
		n := SampleNotice(quota.KindStep, sampleTime)
		name := "Two, Words"
		n.Alarm.AppName = &name
		c.Tell(t.Context(), Compose(English, "oncall", []Notice{n}, sampleTime))
		head, body, _ := strings.Cut(r.requests[0], "\n\n")
		if !strings.HasPrefix(body, test.want) || !strings.Contains(head, "content-type: "+test.header) || !strings.Contains(head, "webhook-signature: v1,") {
			t.Errorf("sent\n%s", r.requests[0])
		}
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for name, s := range map[string]Settings{
		"url: no scheme":     {Type: Slack, URL: "hooks.slack.com/services/" + urlSecret},
		"url: another":       {Type: Slack, URL: "ftp://hooks/" + urlSecret},
		"url: not one":       {Type: Slack, URL: "https://a b/\x00" + urlSecret},
		"type: of somebody":  {Type: "pager", URL: "https://pager.example"},
		"secret: of webhook": {Type: Webhook, URL: "https://x.example", Secret: "plain-" + urlSecret},
	} {
		key, _, _ := strings.Cut(name, ":")
		_, err := New(s, nil)
		if err == nil || !strings.HasPrefix(err.Error(), key+": ") || strings.Contains(err.Error(), urlSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
