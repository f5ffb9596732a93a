//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// envelope is what every accepted callback is answered with.
const envelope = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

// verdict is what came back on a connection.
type verdict uint8

const (
	partial  verdict = iota // more is to come
	accepted                // 200 with the envelope
	refused                 // 503 or 429 with an envelope that says why
)

var (
	accepted200 = []byte("HTTP/1.1 200 ")
	refused503  = []byte("HTTP/1.1 503 ")
	refused429  = []byte("HTTP/1.1 429 ")
	headEnd     = []byte("\r\n\r\n")
)

// judge says what answer, all that has come for one request so far, is. An error is
// anything that a server under load must not answer: it ends the run.
func judge(answer []byte) (verdict, error) {
	end := bytes.Index(answer, headEnd)
	if end < 0 {
		return partial, nil
	}
	head, body := answer[:end+2], answer[end+4:]
	switch {
	case bytes.HasPrefix(head, accepted200):
		if len(body) < len(envelope) {
			return partial, nil
		}
		if string(body) != envelope {
			return partial, fmt.Errorf("driver: answered with body %q", body)
		}
		return accepted, nil
	case bytes.HasPrefix(head, refused503), bytes.HasPrefix(head, refused429):
		return judgeRefusal(head, body)
	}
	return partial, fmt.Errorf("driver: answered %q", bytes.TrimSpace(answer))
}

// judgeRefusal wants the vendor's envelope with a failure: a 503 of something else than
// the server under test is an error.
func judgeRefusal(head, body []byte) (verdict, error) {
	length, err := contentLength(head)
	if err != nil {
		return partial, fmt.Errorf("driver: answered %q: %w", bytes.TrimSpace(head), err)
	}
	if len(body) < length {
		return partial, nil
	}
	var failure struct {
		ActionStatus string
		ErrorCode    int
	}
	if err := json.Unmarshal(body, &failure); err != nil || failure.ActionStatus != "FAIL" || failure.ErrorCode == 0 {
		return partial, fmt.Errorf("driver: refused without the envelope: %q", body)
	}
	return refused, nil
}

var errNoLength = errors.New("no Content-Length")

// contentLength is the length that head, the status line and headers, announces.
func contentLength(head []byte) (int, error) {
	const name = "\r\ncontent-length:"
	at := bytes.Index(bytes.ToLower(head), []byte(name))
	if at < 0 {
		return 0, errNoLength
	}
	value, _, _ := bytes.Cut(head[at+len(name):], []byte("\r\n"))
	n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("content length %q: %w", value, errNoLength)
	}
	return n, nil
}

// bodyOf is the body of a whole answer.
func bodyOf(answer []byte) []byte { return answer[bytes.Index(answer, headEnd)+len(headEnd):] }
