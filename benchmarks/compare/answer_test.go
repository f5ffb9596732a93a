//go:build linux

package main

import (
	"strconv"
	"strings"
	"testing"
)

// Every beginning of an answer is a part; the whole of it has a verdict.
func TestJudge(t *testing.T) {
	const busy = `{"ActionStatus":"FAIL","ErrorInfo":"not taken: too busy","ErrorCode":21}`
	answer := func(status, body string) string {
		return "HTTP/1.1 " + status + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	for name, c := range map[string]struct {
		answer string
		want   verdict
	}{
		"accepted":             {answer("200 OK", envelope), accepted},
		"busy":                 {answer("503 Service Unavailable", busy), refused},
		"rate":                 {answer("429 Too Many Requests", busy), refused},
		"header in small case": {strings.Replace(answer("503 Service Unavailable", busy), "Content-Length", "content-length", 1), refused},
	} {
		for n := range len(c.answer) {
			if got, err := judge([]byte(c.answer[:n])); got != partial || err != nil {
				t.Fatalf("%s, first %d bytes: verdict %d, error %v", name, n, got, err)
			}
		}
		if got, err := judge([]byte(c.answer)); got != c.want || err != nil {
			t.Errorf("%s: verdict %d, error %v", name, got, err)
		}
	}
	for name, bad := range map[string]string{
		"other status":               answer("500 Internal Server Error", busy),
		"other body":                 answer("200 OK", strings.Replace(envelope, "OK", "KO", 1)),
		"bytes after the answer":     answer("200 OK", envelope) + "x",
		"bytes after the refusal":    answer("503 Service Unavailable", busy) + "x",
		"refusal that says OK":       answer("503 Service Unavailable", envelope),
		"refusal of something else":  answer("503 Service Unavailable", "upstream is away"),
		"refusal without its length": "HTTP/1.1 503 Service Unavailable\r\n\r\n" + busy,
	} {
		if _, err := judge([]byte(bad)); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}
