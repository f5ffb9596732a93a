package pipeline

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/bytedance/sonic"

	"github.com/tidegate/tidegate/schema"
)

// codec decodes bodies and encodes events. Keys are matched exactly: like encoding/json,
// sonic would take "quota" for "Quota" otherwise. Strings are copied, so that nothing
// holds on to a record.
var codec = sonic.Config{
	CaseSensitive:  true,
	CopyString:     true,
	ValidateString: true,
}.Froze()

// body is the alarm's body as the vendor documents it (trtc.io/document/57455), the
// values not looked at yet. Nil: the key is absent. Unknown keys are normal.
type body struct {
	CallbackCommand json.RawMessage
	QuotaUsed       json.RawMessage
	Quota           json.RawMessage
	EventTime       json.RawMessage
}

// maxQuota bounds both numbers: the largest integer that every reader of the event holds
// exactly.
const maxQuota = schema.MaxAppID

// parseBody reads the alarm from a body that the walker passed, and adds what is wrong.
// command is the header's; empty where that could not be read.
func parseBody(data, command []byte, a *schema.QuotaAlarm, ps *problems) {
	var b body
	if err := codec.Unmarshal(data, &b); err != nil {
		if len(*ps) == 0 {
			ps.add(schema.ReasonBadJSON, "the decoder refuses the body: %.200s", err.Error())
		}
		return
	}
	checkCommand(b.CallbackCommand, string(command), ps)
	a.QuotaUsed = number("QuotaUsed", b.QuotaUsed, 0, ps)
	a.Quota = number("Quota", b.Quota, 1, ps)
	a.EventTime = eventTime(b.EventTime, ps)
}

// checkCommand holds the body's command against the header's, which is the URL's, and
// both against what this topic is for.
func checkCommand(raw json.RawMessage, header string, ps *problems) {
	inBody, ok := text(raw)
	switch {
	case raw == nil:
		ps.add(schema.ReasonBadField, "CallbackCommand is missing")
	case !ok:
		ps.add(schema.ReasonBadField, "CallbackCommand is %s, not a string", kind(raw))
	case header != "" && inBody != header:
		ps.add(schema.ReasonCommandMismatch, "the URL says command %.80q, the body %.80q", header, inBody)
		return
	}
	if header != "" && header != schema.CommandQuotaAlarm {
		ps.add(schema.ReasonUnknownCommand, "command %.80q does not belong to this topic", header)
	}
}

// number reads a whole number of at least lowest. A number in a string, a sign, a
// fraction and an exponent are refused: the vendor sends none of them.
func number(name string, raw json.RawMessage, lowest int64, ps *problems) int64 {
	if raw == nil {
		ps.add(schema.ReasonBadField, "%s is missing", name)
		return 0
	}
	n, ok := digits(string(raw))
	switch {
	case raw[0] == '-':
		ps.add(schema.ReasonBadField, "%s is negative: %.40s", name, raw)
	case strings.ContainsAny(string(raw[:1]), "0123456789") && strings.ContainsAny(string(raw), ".eE"):
		ps.add(schema.ReasonBadField, "%s is not a whole number: %.40s", name, raw)
	case raw[0] < '0' || raw[0] > '9':
		ps.add(schema.ReasonBadField, "%s is %s, not a number", name, kind(raw))
	case !ok || n > maxQuota:
		ps.add(schema.ReasonBadField, "%s is too large: %.40s, more than %d", name, raw, int64(maxQuota))
	case n < lowest:
		ps.add(schema.ReasonBadField, "%s is %d, less than %d", name, n, lowest)
	default:
		return n
	}
	return 0
}

// eventTime reads milliseconds, as a whole number (the vendor's table) or as digits in a
// string (its sample). Absent is the zero time. null is refused: the vendor documents
// none, and a sender that writes one has lost the time it had.
func eventTime(raw json.RawMessage, ps *problems) time.Time {
	if raw == nil {
		return time.Time{}
	}
	s, isText := text(raw)
	if !isText {
		s = string(raw)
	}
	ms, ok := digits(s)
	switch {
	case ok && ms >= schema.MinEventMillis && ms <= schema.MaxEventMillis:
		return time.UnixMilli(ms).UTC()
	case ok:
		ps.add(schema.ReasonBadField, "EventTime is %d, not a plausible time in milliseconds", ms)
	case isText:
		ps.add(schema.ReasonBadField, "EventTime is %.40q, not digits", s)
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		ps.add(schema.ReasonBadField, "EventTime is not a plausible time in whole milliseconds: %.40s", raw)
	default:
		ps.add(schema.ReasonBadField, "EventTime is %s, neither a whole number nor a string of digits", kind(raw))
	}
	return time.Time{}
}

// digits reads a number that is written in digits only.
func digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 || n > (math.MaxInt64-int64(d))/10 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// text returns the string that raw is, and whether it is one.
func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	if err := codec.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, true
}

// kind names what a JSON value is, for a message.
func kind(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
