package reference

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Record is one record of the raw topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Value     []byte
	Headers   map[string]string
}

// Limits of a body that is read.
const (
	maxBody  = 1 << 20
	maxDepth = 64
)

// maxNumber is the largest integer that every JSON reader holds exactly.
const maxNumber = 1<<53 - 1

const (
	typePrefix   = "com.tencent.im."
	alarmCommand = "Group.CallbackOnDailyGroupQuotaAlarm"
)

// body is what an alarm's body says.
type body struct {
	used, quota int64
	event       int64 // milliseconds; 0: the vendor sent none
}

// Judge returns why a record is a dead letter, or "" where it is an alarm.
func Judge(r *Record) string {
	_, reason := decode(r)
	return reason
}

// decode reads a record's body. Of several reasons the outermost is returned.
func decode(r *Record) (b body, reason string) {
	command, found := strings.CutPrefix(r.Headers["ce_type"], typePrefix)
	switch {
	case !found || r.Headers["ce_id"] == "" || r.Headers["ce_time"] == "" || r.Headers["ce_subject"] != r.Key:
		return b, "bad_headers"
	case len(r.Value) > maxBody:
		return b, "too_large"
	case !utf8.Valid(r.Value):
		return b, "bad_utf8"
	case !json.Valid(r.Value) || bytes.TrimLeft(r.Value, " \t\r\n")[0] != '{':
		return b, "bad_json"
	}
	depth, twice := walk(r.Value)
	switch {
	case depth > maxDepth:
		return b, "too_large"
	case twice:
		return b, "duplicate_key"
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(r.Value, &fields); err != nil {
		return b, "bad_json"
	}
	var inBody *string
	if err := json.Unmarshal(fields["CallbackCommand"], &inBody); err != nil || inBody == nil {
		return b, "bad_field"
	}
	switch {
	case *inBody != command:
		return b, "command_mismatch"
	case command != alarmCommand:
		return b, "unknown_command"
	}
	var usedOK, quotaOK, eventOK bool
	b.used, usedOK = number(string(fields["QuotaUsed"]), 0, maxNumber)
	b.quota, quotaOK = number(string(fields["Quota"]), 1, maxNumber)
	b.event, eventOK = eventTime(fields)
	if !usedOK || !quotaOK || !eventOK {
		return b, "bad_field"
	}
	return b, ""
}

// number reads digits, and nothing but digits, within low and high.
func number(text string, low, high int64) (int64, bool) {
	if strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= low && n <= high
}

// eventTime reads milliseconds, written as a number or as a string of digits, or none.
func eventTime(fields map[string]json.RawMessage) (int64, bool) {
	raw, found := fields["EventTime"]
	if !found {
		return 0, true
	}
	text := string(raw)
	if text[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, false
		}
	}
	return number(text, 1_000_000_000_000, 9_999_999_999_999)
}

// walk returns how deep valid JSON is nested, and whether a key stands twice in an object.
func walk(value []byte) (depth int, twice bool) {
	type level struct {
		keys  map[string]bool // nil: an array
		isKey bool            // the next string is a key
	}
	var open []level
	tokens := json.NewDecoder(bytes.NewReader(value))
	tokens.UseNumber()
	for {
		token, err := tokens.Token()
		if err == io.EOF || err != nil {
			return depth, twice
		}
		top := len(open) - 1
		if key, isString := token.(string); isString && top >= 0 && open[top].isKey {
			twice = twice || open[top].keys[key]
			open[top].keys[key] = true
			open[top].isKey = false
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{keys: map[string]bool{}, isKey: true})
			depth = max(depth, len(open))
			continue
		case json.Delim('['):
			open = append(open, level{})
			depth = max(depth, len(open))
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
			top--
		}
		if top >= 0 && open[top].keys != nil {
			open[top].isKey = true // a value is over
		}
	}
}
