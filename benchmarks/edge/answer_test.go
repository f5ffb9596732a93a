//go:build linux

package main

import (
	"errors"
	"fmt"
	"testing"
)

const okBody = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
const failBody = `{"ActionStatus":"FAIL","ErrorInfo":"Sign is wrong","ErrorCode":16}`

// answerText is an answer as the gateway writes it.
func answerText(status int, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Text\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), headers, body)
}

func TestAnswersAreWholeWithTheirLastByte(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want answer
	}{
		"accepted":       {answerText(200, "", okBody), answer{status: 200}},
		"refused":        {answerText(401, "WWW-Authenticate: Sign\r\n", failBody), answer{status: 401}},
		"refused, close": {answerText(413, "Connection: close\r\n", failBody), answer{status: 413, last: true}},
	} {
		for n := range len(c.text) {
			if _, whole, err := parseAnswer([]byte(c.text[:n])); whole || err != nil {
				t.Fatalf("%s: %d of %d bytes are whole: %v, %v", name, n, len(c.text), whole, err)
			}
		}
		if got, whole, err := parseAnswer([]byte(c.text)); !whole || err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, %v", name, got, whole, err)
		}
	}
}

func TestWhatTheGatewayNeverAnswersEndsTheRun(t *testing.T) {
	for name, text := range map[string]string{
		"a 200 that says FAIL":  answerText(200, "", failBody),
		"a 401 that says OK":    answerText(401, "", okBody),
		"no envelope":           answerText(400, "", "bad request"),
		"no length":             "HTTP/1.1 200 OK\r\n\r\n" + okBody,
		"another protocol":      "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"more than one asked":   answerText(200, "", okBody) + "H",
		"a status that is none": "HTTP/1.1 9x9 No\r\nContent-Length: 0\r\n\r\n",
	} {
		if _, _, err := parseAnswer([]byte(text)); !errors.Is(err, errBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
