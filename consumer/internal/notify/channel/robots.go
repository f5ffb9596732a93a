package channel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// slack is an incoming webhook of Slack (docs.slack.dev, "Sending messages using incoming
// webhooks"): plain HTTP statuses, one message a second, "ok" for an answer.
type slack struct{}

// slackTextBytes is what Slack advises as the longest text of a message.
const slackTextBytes = 4000

// slackEscapes are the characters that mean something to Slack.
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (slack) request(m *Message) (request, error) {
	head := "*" + slackEscapes.Replace(m.Title) + "*\n"
	text := fit(m, "\n", func(text string) bool { return len(head)+len(slackEscapes.Replace(text)) <= slackTextBytes })
	return asJSON(map[string]string{"text": head + slackEscapes.Replace(text)})
}

func (slack) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	return judge(status, header, body, now)
}

// markdown is the message that WeCom's robot takes, and but for its title DingTalk's.
type markdown struct {
	MsgType  string       `json:"msgtype"`
	Markdown markdownText `json:"markdown"`
}

type markdownText struct {
	Title   string `json:"title,omitempty"`   // DingTalk
	Text    string `json:"text,omitempty"`    // DingTalk
	Content string `json:"content,omitempty"` // WeCom
}

// wecom is a group robot of WeCom (developer.work.weixin.qq.com/document/path/91770): the
// key is in the URL, nothing is signed, markdown of at most 4096 bytes, 20 messages a
// minute.
type wecom struct{}

const wecomTextBytes = 4096

// wecomCodes: the key is unknown (93000), or what was sent cannot be (40008 type, 40058
// parameter, 44004 empty, 45002 too long); 45009 and 45033 are too many calls.
var wecomCodes = robotCodes{
	refused: []int64{93000, 40008, 40058, 44004, 45002}, tooFast: []int64{45009, 45033}, wait: time.Minute,
}

func (wecom) request(m *Message) (request, error) {
	head := "**" + m.Title + "**\n"
	text := fit(m, "\n", func(text string) bool { return len(head)+len(text) <= wecomTextBytes })
	return asJSON(markdown{MsgType: "markdown", Markdown: markdownText{Content: head + text}})
}

func (wecom) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	return wecomCodes.judge(status, header, body, now)
}

// dingtalk is a custom robot of DingTalk (open.dingtalk.com/document/robots/custom-robot-access):
// the signature is in the query, a body of at most 20,000 bytes, 20 messages a minute;
// who sends more is refused for ten minutes, first by a code and then by a redirect.
type dingtalk struct{ secret string }

const dingtalkBodyBytes = 20_000

// dingtalkCodes: the token is unknown (300001), or signature, keyword or address do not fit
// (310000), or what was sent cannot be (400xxx); 130101 and 90030 are too many messages.
var dingtalkCodes = robotCodes{
	refused: []int64{300001, 300005, 310000, 400013, 400101, 400102, 400105, 400106, 43004, 40035},
	tooFast: []int64{130101, 90030, 410100}, wait: 10 * time.Minute,
}

func (d dingtalk) request(m *Message) (request, error) {
	// A line break of markdown is two of the text's.
	write := func(text string) (request, error) {
		return asJSON(markdown{MsgType: "markdown", Markdown: markdownText{Title: m.Title, Text: "**" + m.Title + "**\n\n" + text}})
	}
	r, err := write(fit(m, "\n\n", func(text string) bool {
		r, err := write(text)
		return err == nil && len(r.body) <= dingtalkBodyBytes
	}))
	if d.secret != "" {
		millis := strconv.FormatInt(m.SentAt.UnixMilli(), 10)
		r.query = url.Values{"timestamp": {millis}, "sign": {dingtalkSign(d.secret, millis)}}
	}
	return r, err
}

// dingtalkSign signs a time in milliseconds: the secret is the key, and what is signed is
// the time, a line break and the secret once more.
func dingtalkSign(secret, millis string) string { return sign(secret, millis+"\n"+secret) }

func (dingtalk) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	a := dingtalkCodes.judge(status, header, body, now)
	if status/100 == 3 {
		a.Result, a.RetryAfter = Retry, dingtalkCodes.wait
	}
	return a
}

// feishu is a custom bot of Feishu, or Lark (open.feishu.cn/document/client-docs/bot-v3/add-custom-bot):
// the signature is in the body, a body of at most 20 KiB, 100 messages a minute and five a
// second. Some codes come with HTTP 400.
type feishu struct{ secret string }

const feishuBodyBytes = 20 << 10

// feishuCodes: what was sent cannot be (9499, 19002), the token is unknown (19001), or
// signature, address or keyword do not fit (19021, 19022, 19024); 11232, 230020 and
// 99991400 are too many messages.
var feishuCodes = robotCodes{
	refused: []int64{9499, 19001, 19002, 19021, 19022, 19024}, tooFast: []int64{11232, 230020, 99991400}, wait: time.Minute,
}

// feishuBody is what Feishu's bot takes.
type feishuBody struct {
	Timestamp string            `json:"timestamp,omitempty"`
	Sign      string            `json:"sign,omitempty"`
	MsgType   string            `json:"msg_type"`
	Content   map[string]string `json:"content"`
}

func (f feishu) request(m *Message) (request, error) {
	b := feishuBody{MsgType: "text"}
	if f.secret != "" {
		b.Timestamp = strconv.FormatInt(m.SentAt.Unix(), 10)
		b.Sign = feishuSign(f.secret, b.Timestamp)
	}
	write := func(text string) (request, error) {
		b.Content = map[string]string{"text": m.Title + "\n" + text}
		return asJSON(b)
	}
	return write(fit(m, "\n", func(text string) bool {
		r, err := write(text)
		return err == nil && len(r.body) <= feishuBodyBytes
	}))
}

// feishuSign signs a time in seconds: the time, a line break and the secret are the key,
// and nothing is signed with it.
func feishuSign(secret, seconds string) string { return sign(seconds+"\n"+secret, "") }

func (feishu) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	return feishuCodes.judge(status, header, body, now)
}

// sign returns the HMAC-SHA256 of text in base64.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
