//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers every request by handler until the test ends, and returns a load for it.
func serveHere(t *testing.T, handler http.HandlerFunc) load {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: handler}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close() })
	address := ln.Addr().String()
	return load{address: address, requests: requests(address, 200, time.Now()), pid: os.Getpid(), conns: 8, stages: []stage{{length: 100 * time.Millisecond}}}
}

// The driver counts what the server answered, refusals apart, and an error ends the run.
func TestDriverAgainstAServer(t *testing.T) {
	var refuse, status, served atomic.Int64 // one in refuse requests is answered with status
	l := serveHere(t, func(w http.ResponseWriter, _ *http.Request) {
		if n := refuse.Load(); n > 0 && served.Add(1)%n == 0 {
			w.WriteHeader(int(status.Load()))
			_, _ = w.Write([]byte(`{"ActionStatus":"FAIL","ErrorInfo":"not taken: too busy","ErrorCode":21}`))
			return
		}
		_, _ = w.Write([]byte(envelope))
	})
	seen, err := l.run()
	if err != nil || seen.accepted == 0 || seen.refused != 0 {
		t.Fatalf("counted %d and %d refused, error %v", seen.accepted, seen.refused, err)
	}
	// Of what was sent before the counted stage the answer is counted, but not the time.
	if n := seen.latency.TotalCount(); n > seen.accepted || n < seen.accepted-8 {
		t.Errorf("latencies of %d of %d", n, seen.accepted)
	}
	if seen.serverCPU <= 0 || seen.serverRSS < 1<<20 {
		t.Errorf("the server used %v and %d bytes", seen.serverCPU, seen.serverRSS)
	}
	refuse.Store(4)
	status.Store(http.StatusServiceUnavailable)
	seen, err = l.run()
	if err != nil || seen.latency.TotalCount() > seen.accepted {
		t.Fatalf("counted %d, latencies %d, error %v", seen.accepted, seen.latency.TotalCount(), err)
	}
	if got := (turn{}).measured(seen); got.RefusedShare < 0.2 || got.RefusedShare > 0.3 || got.speaks() || !strings.Contains(got.Refusal, "too busy") {
		t.Errorf("one in four was refused, seen %v (%s), speaks %v", got.RefusedShare, got.Refusal, got.speaks())
	}
	status.Store(http.StatusInternalServerError)
	if _, err := l.run(); err == nil || !strings.Contains(err.Error(), "500") {
		t.Fatalf("a failing server gave %v", err)
	}
}

// Over TLS it is the same, also where a request does not go in one piece.
func TestDriverOverTLS(t *testing.T) {
	p, err := newPair(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	var bodies, short atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bodies.Add(1)
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 1<<20 {
			short.Add(1)
		}
		_, _ = w.Write([]byte(envelope))
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	address := server.Listener.Addr().String()
	seen, err := load{
		address: address, requests: requests(address, 1<<20, time.Now())[:3], pid: os.Getpid(), conns: 8, tls: p.client(true), stages: []stage{{length: 500 * time.Millisecond}},
	}.run()
	if err != nil || seen.accepted == 0 || short.Load() > 8 || bodies.Load() < seen.accepted {
		t.Errorf("counted %d of %d, %d of them cut, error %v", seen.accepted, bodies.Load(), short.Load(), err)
	}
	if p.client(false) != nil {
		t.Error("a plain connection has a config")
	}
}

// Stages follow one another, what begins with them runs beside them, and its error ends
// up in the run's; only the last stage is counted.
func TestStages(t *testing.T) {
	var counted atomic.Bool
	var before, during atomic.Int64
	l := serveHere(t, func(w http.ResponseWriter, _ *http.Request) {
		if counted.Load() {
			during.Add(1)
		} else {
			before.Add(1)
		}
		_, _ = w.Write([]byte(envelope))
	})
	l.stages = []stage{
		{length: 100 * time.Millisecond},
		{length: 50 * time.Millisecond, begin: func() error { counted.Store(true); return nil }},
	}
	seen, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	if n := during.Load(); before.Load() == 0 || seen.accepted > n+int64(l.conns)+before.Load()/4 || seen.elapsed != 50*time.Millisecond {
		t.Errorf("%d requests before, %d in the counted stage, of which %d were counted in %v", before.Load(), n, seen.accepted, seen.elapsed)
	}
	broken := errors.New("broken")
	l.stages[0].begin = func() error { return broken }
	if _, err := l.run(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
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
