// Package ledger is what the load generator writes down: every request it sent and what
// came of it, kept outside of what is tested, so that afterwards nobody has to be believed.
//
// # Format
//
// A ledger is a text file, one JSON object a line (see Entry for the fields), appended in
// the order in which requests ended. A line is written when its request has ended, whether
// or not there was an answer; a request that was never sent has no line, so
//
//	lines = requests that left this machine, or were refused a connection
//
// The file is written through a buffer that is flushed every 100 ms and at Close: a killed
// generator leaves at most one torn last line, which Read reports and leaves out.
//
// # What it proves
//
// Compare holds a ledger against the records of a topic. An app's bodies differ within a run,
// so an entry and a record belong together when app and body digest are the same.
package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// Kind says what was sent.
type Kind string

// The kinds of requests.
const (
	KindAlarm     Kind = "alarm"     // a well-formed quota alarm
	KindCallback  Kind = "callback"  // a well-formed callback of another command
	KindMalformed Kind = "malformed" // an alarm whose body the consumer cannot use
	KindUnsigned  Kind = "unsigned"  // an alarm without the Sign that its app's token asks for
)

// Failure says why a request got no answer. The zero value: it got one.
type Failure string

// The failures.
const (
	FailureConnect   Failure = "connect"    // no connection: the request never left, so its callback cannot be anywhere
	FailureReset     Failure = "reset"      // the connection was reset before any of the answer: most likely nobody read the request
	FailureClosed    Failure = "closed"     // the connection was closed before any of the answer: the callback may have been taken
	FailureCut       Failure = "cut"        // the connection ended in the middle of the answer: the callback may have been taken
	FailureTimeout   Failure = "timeout"    // no whole answer in time: the callback may have been taken
	FailureBadAnswer Failure = "bad_answer" // what came is not an HTTP answer with the vendor's envelope
)

// Entry is one request and its answer. Times are Unix microseconds of one clock, which
// within a run never goes back.
type Entry struct {
	Seq       int64   `json:"seq"`               // arrival number in the run, from 1
	App       int64   `json:"app"`               // SdkAppid
	N         int64   `json:"n"`                 // the app's own number, from 1, in the order in which its requests were made
	Kind      Kind    `json:"kind"`              //
	Command   string  `json:"command"`           // CallbackCommand in the URL
	EventTime int64   `json:"event_time"`        // Unix milliseconds, 0: none was sent
	Used      int64   `json:"used"`              // QuotaUsed
	Quota     int64   `json:"quota"`             //
	Digest    string  `json:"digest"`            // Digest of the body
	Due       int64   `json:"due_us"`            // when the schedule wanted it sent (without a schedule: when it was sent)
	Sent      int64   `json:"sent_us"`           // when it was sent
	Done      int64   `json:"done_us"`           // when the answer was there, or it was given up
	Status    int     `json:"status"`            // HTTP status, 0: no answer
	Code      int     `json:"code"`              // ErrorCode of the envelope
	Failure   Failure `json:"failure,omitempty"` //
	Exchange  int64   `json:"exchange"`          // which request of its connection, from 1; 0: it had no connection
	Close     bool    `json:"close,omitempty"`   // the answer said that it was the last of its connection
	Retry     int     `json:"retry,omitempty"`   // seconds after which the answer said to try again, 0: it did not say
}

// Latency is the time from the scheduled arrival to the answer: what a caller that does
// not wait for others sees. A generator that falls behind shows here, not as a lower load.
func (e *Entry) Latency() time.Duration {
	return time.Duration(e.Done-e.Due) * time.Microsecond
}

// Accepted reports whether the answer was 200: from here on the callback must exist.
func (e *Entry) Accepted() bool { return e.Status == 200 }

// Digest returns the identity of a body: the first 8 bytes of its SHA-256, in hex.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	var text [16]byte
	hex.Encode(text[:], sum[:8])
	return string(text[:])
}

// appendLine appends e as one line of JSON to dst. It exists because encoding/json costs
// more than sending the request does, and the generator shares its two cores with what it
// measures. A test holds it equal to encoding/json.
func appendLine(dst []byte, e *Entry) []byte {
	field := func(name string, v int64) {
		dst = append(dst, name...)
		dst = strconv.AppendInt(dst, v, 10)
	}
	field(`{"seq":`, e.Seq)
	field(`,"app":`, e.App)
	field(`,"n":`, e.N)
	dst = append(dst, `,"kind":`...)
	dst = appendString(dst, string(e.Kind))
	dst = append(dst, `,"command":`...)
	dst = appendString(dst, e.Command)
	field(`,"event_time":`, e.EventTime)
	field(`,"used":`, e.Used)
	field(`,"quota":`, e.Quota)
	dst = append(dst, `,"digest":`...)
	dst = appendString(dst, e.Digest)
	field(`,"due_us":`, e.Due)
	field(`,"sent_us":`, e.Sent)
	field(`,"done_us":`, e.Done)
	field(`,"status":`, int64(e.Status))
	field(`,"code":`, int64(e.Code))
	if e.Failure != "" {
		dst = append(dst, `,"failure":`...)
		dst = appendString(dst, string(e.Failure))
	}
	field(`,"exchange":`, e.Exchange)
	if e.Close {
		dst = append(dst, `,"close":true`...)
	}
	if e.Retry != 0 {
		field(`,"retry":`, int64(e.Retry))
	}
	return append(dst, '}', '\n')
}

// appendString appends s as a JSON string: plain where nothing has to be escaped, which is
// every command of the vendor.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
