package main

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/tidegate/tidegate/internal/leaks"
)

// noSecrets fails the test where a secret of the tests is in text: what a gateway printed or
// served, or what a command printed.
func noSecrets(t *testing.T, what, text string) {
	t.Helper()
	finder := leaks.New()
	finder.AddToken("the token", token)
	for _, leak := range finder.In([]byte(text)) {
		t.Errorf("leak: %s: %s", what, leak)
	}
}

// tellsNoSecrets looks through the pages of a gateway, while it runs; goroutine?debug=2 is what a
// panic prints. The other profiles hold nothing but names and numbers.
func (r *running) tellsNoSecrets(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/", "/metrics", "/readyz?verbose", "/apps", "/apps?format=json"} {
		if response, err := http.Get("http://" + r.admin.Addr() + path); err == nil {
			noSecrets(t, path, bodyOf(response))
		}
	}
	client, err := dialControl(context.Background(), r.set.JournalDir) // the test's context is over
	if err != nil {
		return // the test has stopped the gateway
	}
	defer client.close()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=2"} {
		if response, err := client.http.Get("http://gateway" + path); err == nil {
			noSecrets(t, path, bodyOf(response))
		}
	}
}

// bodyOf returns what came of an answer's body.
func bodyOf(response *http.Response) string {
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // what came of it
	return string(text)
}
