package channel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Result is what became of a request.
type Result int

// The results of a request.
const (
	Sent    Result = iota // the place took it
	Retry                 // it may take it later
	Refused               // it will never take it: to try again is no use
)

// Answer is what a place said.
type Answer struct {
	Result     Result
	Status     int           // of HTTP; 0: nothing answered
	Detail     string        // one line, without any secret
	RetryAfter time.Duration // of Retry: not before; 0: the place did not say
}

// Bounds of what a place may ask for, and of what is shown of what it says.
const (
	maxRetryAfter  = time.Hour
	maxDetailBytes = 300
)

// judge says what an HTTP answer means where the body does not say more.
func judge(status int, header http.Header, body []byte, now time.Time) Answer {
	a := Answer{Result: Refused, Status: status, Detail: strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, printable(body)))}
	switch {
	case status/100 == 2:
		a.Result = Sent
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status/100 == 5:
		a.Result, a.RetryAfter = Retry, retryAfter(header.Get("Retry-After"), now)
	}
	return a
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110, 10.2.3). What
// cannot be read says nothing; more than an hour is taken for an hour.
func retryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(seconds) * time.Second // out of range: the most that there is
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(0, wait), maxRetryAfter)
}

// robotAnswer is what WeCom, DingTalk and Feishu answer, whatever the HTTP status.
type robotAnswer struct {
	ErrCode *int64 `json:"errcode"` // WeCom, DingTalk
	ErrMsg  string `json:"errmsg"`
	Code    *int64 `json:"code"` // Feishu
	Msg     string `json:"msg"`
}

// robotCodes are the codes of one robot that need no second try, and those that say that
// too much was sent. Any other code is tried again, unless the status says no: the worker
// gives up in the end.
type robotCodes struct {
	refused []int64
	tooFast []int64
	wait    time.Duration // after tooFast
}

// judge says what a robot's answer means. A 200 without a code is not the robot's: of a
// proxy in between, or the page of a sign-in.
func (c robotCodes) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	a := judge(status, header, body, now)
	var r robotAnswer
	err := json.Unmarshal(body, &r)
	code, text := r.ErrCode, r.ErrMsg
	if code == nil {
		code, text = r.Code, r.Msg
	}
	if err != nil || code == nil {
		if a.Result == Sent {
			a.Result, a.Detail = Retry, "not a robot's answer: "+a.Detail
		}
		return a
	}
	a.Detail = strings.TrimSpace(fmt.Sprintf("HTTP %d, code %d: %s", status, *code, printable([]byte(text))))
	switch {
	case *code == 0 && a.Result == Sent:
	case slices.Contains(c.tooFast, *code):
		a.Result, a.RetryAfter = Retry, max(a.RetryAfter, c.wait)
	case slices.Contains(c.refused, *code):
		a.Result = Refused
	case a.Result == Sent, a.Result == Refused && status == http.StatusBadRequest:
		a.Result = Retry
	}
	return a
}

// printable returns one line of what a place said.
func printable(body []byte) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(body), "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxDetailBytes {
		text = cutRunes(text, maxDetailBytes) + "..."
	}
	return text
}
