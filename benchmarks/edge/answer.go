//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// answer is what is looked at of an HTTP answer.
type answer struct {
	status int
	last   bool // the server closes the connection behind it
}

var (
	headEnd   = []byte("\r\n\r\n")
	lengthIs  = []byte("\r\nContent-Length: ")
	lastOne   = []byte("\r\nConnection: close\r\n")
	envelopes = map[bool][]byte{true: []byte(`{"ActionStatus":"OK"`), false: []byte(`{"ActionStatus":"FAIL"`)}
)

// errBadAnswer: what came is not HTTP/1.1 with a Content-Length and the vendor's envelope, in
// which only a 200 is OK. It ends the run: no load excuses it.
var errBadAnswer = errors.New("not an answer of the gateway's")

// parseAnswer looks at in, all that has come for one request so far. whole is false, without
// an error, where more is to come.
func parseAnswer(in []byte) (a answer, whole bool, err error) {
	end := bytes.Index(in, headEnd)
	if end < 0 {
		return a, false, nil
	}
	head, body := in[:end+2], in[end+4:]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return a, false, fmt.Errorf("%w: %q", errBadAnswer, in)
	}
	if a.status, err = strconv.Atoi(string(head[9:12])); err != nil || a.status < 100 || a.status > 599 {
		return a, false, fmt.Errorf("%w: %q", errBadAnswer, in)
	}
	at := bytes.Index(head, lengthIs)
	if at < 0 {
		return a, false, fmt.Errorf("%w: %q", errBadAnswer, in)
	}
	digits, _, _ := bytes.Cut(head[at+len(lengthIs):], []byte("\r\n"))
	length, err := strconv.Atoi(string(digits))
	if err != nil || length < 0 || len(body) > length {
		return a, false, fmt.Errorf("%w: %q", errBadAnswer, in)
	}
	if len(body) < length {
		return a, false, nil
	}
	if !bytes.HasPrefix(body, envelopes[a.status == 200]) {
		return a, false, fmt.Errorf("%w: %q", errBadAnswer, in)
	}
	a.last = bytes.Contains(head, lastOne)
	return a, true, nil
}
