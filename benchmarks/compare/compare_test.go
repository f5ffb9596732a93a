//go:build linux

package main

import (
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestCompleteTellsWholeAnswersFromPartsAndErrors(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n" + envelope
	for n := range len(whole) {
		if done, err := complete([]byte(whole[:n])); done || err != nil {
			t.Fatalf("first %d bytes: whole %v, error %v", n, done, err)
		}
	}
	if done, err := complete([]byte(whole)); !done || err != nil {
		t.Fatalf("whole answer: %v, %v", done, err)
	}
	for _, bad := range []string{
		"HTTP/1.1 503 Service Unavailable\r\n\r\n" + envelope,
		"HTTP/1.1 200 OK\r\n\r\n" + strings.Replace(envelope, "OK", "KO", 1),
		whole + "x",
	} {
		if _, err := complete([]byte(bad)); err == nil {
			t.Errorf("%q passed for a good answer", bad)
		}
	}
}

// The driver counts what the server answered, and a server that refuses ends the run.
func TestDriverAgainstAServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var status atomic.Int64
	status.Store(http.StatusOK)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte(envelope))
	})}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()
	l := load{address: ln.Addr().String(), requests: requests(ln.Addr().String(), 200, time.Now()), conns: 8, duration: 100 * time.Millisecond, pid: os.Getpid()}
	seen, err := l.run()
	if err != nil || seen.requests == 0 || seen.latency.TotalCount() != seen.requests {
		t.Fatalf("counted %d, latencies %d, error %v", seen.requests, seen.latency.TotalCount(), err)
	}
	status.Store(http.StatusServiceUnavailable)
	if _, err := l.run(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Fatalf("a refusing server gave %v", err)
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
