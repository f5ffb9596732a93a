//go:build linux

package main

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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

// The driver counts what the server answered, refusals apart, and an error ends the run.
func TestDriverAgainstAServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var refuse, status atomic.Int64 // one in refuse requests is answered with status
	var served atomic.Int64
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := refuse.Load(); n > 0 && served.Add(1)%n == 0 {
			w.WriteHeader(int(status.Load()))
			_, _ = w.Write([]byte(`{"ActionStatus":"FAIL","ErrorInfo":"not taken: too busy","ErrorCode":21}`))
			return
		}
		_, _ = w.Write([]byte(envelope))
	})}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	l := load{address: ln.Addr().String(), requests: requests(ln.Addr().String(), 200, time.Now()), conns: 8, duration: 100 * time.Millisecond, pid: os.Getpid()}
	seen, err := l.run()
	if err != nil || seen.accepted == 0 || seen.refused != 0 || seen.latency.TotalCount() != seen.accepted {
		t.Fatalf("counted %d and %d refused, latencies %d, error %v", seen.accepted, seen.refused, seen.latency.TotalCount(), err)
	}
	refuse.Store(4)
	status.Store(http.StatusServiceUnavailable)
	seen, err = l.run()
	if err != nil || seen.latency.TotalCount() != seen.accepted {
		t.Fatalf("counted %d, latencies %d, error %v", seen.accepted, seen.latency.TotalCount(), err)
	}
	if got := newTurn("memory", 8, 0, seen); got.RefusedShare < 0.2 || got.RefusedShare > 0.3 || got.speaks() {
		t.Errorf("one in four was refused, seen %v, speaks %v", got.RefusedShare, got.speaks())
	}
	status.Store(http.StatusInternalServerError)
	if _, err := l.run(); err == nil || !strings.Contains(err.Error(), "500") {
		t.Fatalf("a failing server gave %v", err)
	}
}

func TestRequestsHaveTheBodyAskedFor(t *testing.T) {
	for _, n := range []int{120, 1024, 16384} {
		for _, r := range requests("127.0.0.1:1", n, time.Now())[:3] {
			_, body, _ := strings.Cut(string(r), "\r\n\r\n")
			if len(body) != n {
				t.Errorf("body of %d bytes, want %d", len(body), n)
			}
		}
	}
}

// Ratios are taken within a round: a round in which the machine was slow hits both alike.
func TestRatiosAreTakenWithinTheRound(t *testing.T) {
	bare := []turn{{RequestsPerSec: 100, ServerCPUMicros: 5}, {RequestsPerSec: 10, ServerCPUMicros: 50}}
	mine := []turn{{RequestsPerSec: 50, ServerCPUMicros: 10}, {RequestsPerSec: 5, ServerCPUMicros: 100}}
	rate, cpu := ratios(mine, bare)
	if rate[0] != 0.5 || rate[1] != 0.5 || cpu[0] != 2 || cpu[1] != 2 {
		t.Errorf("ratios %v, %v", rate, cpu)
	}
	if middle([]float64{3, 1, 2}) != 2 {
		t.Error("the middle of 1, 2, 3 is 2")
	}
}

// A turn with refusals is marked and is in no median; one that is all refusals has no figures.
func TestTurnsWithRefusalsAreMarked(t *testing.T) {
	bare := []turn{{RequestsPerSec: 100, ServerCPUMicros: 5}, {RequestsPerSec: 100, ServerCPUMicros: 5}}
	mine := []turn{{RequestsPerSec: 50, ServerCPUMicros: 10, RefusedShare: 0.0005}, {RequestsPerSec: 5, ServerCPUMicros: 10, RefusedShare: 0.2}}
	line := row(64, "memory", mine, bare)
	for _, want := range []string{"| 50 | 0.50 (0.50-0.50) |", "up to 20.00 %: 1 of 2 turns say nothing about speed"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
	if line := row(64, "memory", mine[1:], bare[1:]); !strings.Contains(line, "| memory | - | - |") {
		t.Errorf("figures of refusals: %s", line)
	}
}
