package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

const envelope = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

func TestAnswerParser(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 50\r\n\r\n" + envelope
	for _, test := range []struct {
		name string
		in   string
		want answer
		bad  bool
		part bool
	}{
		{name: "200", in: whole, want: answer{status: 200}},
		{name: "503 with a code, last of its connection",
			in:   "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 19\r\n\r\n" + `{"ErrorCode": 7001}`,
			want: answer{status: 503, code: 7001, last: true}},
		{name: "says when to try again",
			in:   "HTTP/1.1 503 X\r\nretry-after: 5\r\nContent-Length: 15\r\n\r\n" + `{"ErrorCode":1}`,
			want: answer{status: 503, code: 1, retryAfter: 5}},
		{name: "negative code", in: "HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\n" + `{"ErrorCode":-1}`, want: answer{status: 400, code: -1}},
		{name: "no envelope", in: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", bad: true},
		{name: "empty body", in: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", bad: true},
		{name: "no length", in: "HTTP/1.1 200 OK\r\n\r\n" + envelope, bad: true},
		{name: "more than was announced", in: whole + "x", bad: true},
		{name: "not HTTP", in: "SSH-2.0-OpenSSH_9\r\n\r\n", bad: true},
		{name: "a page", in: "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", bad: true},
		{name: "length of nonsense", in: "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got answer
			complete, err := got.parse([]byte(test.in))
			if test.bad {
				if !errors.Is(err, errBadAnswer) {
					t.Fatalf("error %v, want errBadAnswer", err)
				}
				return
			}
			if err != nil || !complete || got != test.want {
				t.Fatalf("got %+v, %v, %v, want %+v", got, complete, err, test.want)
			}
			for cut := range len(test.in) {
				var part answer
				if complete, err := part.parse([]byte(test.in[:cut])); complete || err != nil {
					t.Fatalf("cut at %d of %d: complete %v, %v", cut, len(test.in), complete, err)
				}
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + envelope))
	f.Add([]byte("HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 15\r\n\r\n" + `{"ErrorCode":1}`))
	f.Add([]byte("HTTP/1.1 200\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var a answer
		if whole, err := a.parse(in); whole && err == nil && (a.status < -99 || a.status > 999) {
			t.Fatalf("status %d of %q", a.status, in)
		}
	})
}

// gateway is a stand-in that notes what it got.
type gateway struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   map[string]int // guarded by mu: by app and digest
	inFlight map[string]int // guarded by mu: by app
	overlap  bool           // guarded by mu: an app had two callbacks in flight
}

func newGateway(t *testing.T, handle func(w http.ResponseWriter, n int) (answered bool)) *gateway {
	t.Helper()
	g := &gateway{bodies: map[string]int{}, inFlight: map[string]int{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		app := r.URL.Query().Get("SdkAppid")
		g.mu.Lock()
		g.bodies[app+" "+ledger.Digest(body)]++
		n := len(g.bodies)
		g.inFlight[app]++
		g.overlap = g.overlap || g.inFlight[app] > 1
		g.mu.Unlock()
		answered := handle != nil && handle(w, n)
		g.mu.Lock()
		g.inFlight[app]--
		g.mu.Unlock()
		if !answered {
			fmt.Fprint(w, envelope)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// load runs the generator and returns its summary, its ledger and its error.
func load(ctx context.Context, t *testing.T, args ...string) (Summary, []ledger.Entry, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	var out bytes.Buffer
	runErr := execute(ctx, append([]string{"--ledger", path, "--format", "json"}, args...), &out)
	var s Summary
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatalf("summary %q: %v (run: %v)", out.String(), err, runErr)
	}
	entries, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return s, entries, runErr
}

func TestEveryRequestIsInTheLedgerAndAtTheGateway(t *testing.T) {
	g := newGateway(t, nil)
	s, entries, err := load(t.Context(), t, "--url", g.URL, "--requests", "500", "--connections", "8", "--mix", "alarm=3,State.StateChange=1", "--malformed", "0.2")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 500 || s.Requests != 500 || s.OK != 500 || s.Outcomes["200 0"] != 500 || len(g.bodies) != 500 {
		t.Errorf("%d entries, summary %+v, %d bodies at the gateway", len(entries), s, len(g.bodies))
	}
	seen := map[int64]bool{}
	for _, e := range entries {
		seen[e.Seq] = true
		if g.bodies[strconv.FormatInt(e.App, 10)+" "+e.Digest] != 1 || e.Status != 200 || e.Done < e.Sent || e.Sent < e.Due {
			t.Fatalf("entry %+v", e)
		}
	}
	if len(seen) != 500 {
		t.Errorf("%d different numbers", len(seen))
	}
}

func TestSequentialAppsNeverHaveTwoInFlight(t *testing.T) {
	g := newGateway(t, nil)
	_, entries, err := load(t.Context(), t, "--url", g.URL, "--requests", "400", "--connections", "16", "--app-count", "5", "--sequential")
	if err != nil {
		t.Fatal(err)
	}
	if g.overlap {
		t.Error("an app had two callbacks in flight")
	}
	done := map[int64]int64{}
	for _, e := range entries { // in the order in which they ended
		if e.Sent < done[e.App] {
			t.Fatalf("app %d sent number %d before the one before was answered", e.App, e.N)
		}
		done[e.App] = e.Done
	}
	if len(done) != 5 {
		t.Errorf("%d apps, want 5", len(done))
	}
}

// A server that stalls once is charged with everyone who was due meanwhile: that is what
// an open loop is for.
func TestOpenLoopChargesAStallToAllWhoWereDue(t *testing.T) {
	const stall = 400 * time.Millisecond
	stalled := make(chan struct{})
	var once sync.Once
	g := newGateway(t, func(_ http.ResponseWriter, n int) bool {
		if n == 20 {
			once.Do(func() {
				time.AfterFunc(stall, func() { close(stalled) })
				<-stalled
			})
		}
		return false
	})
	s, entries, err := load(t.Context(), t, "--url", g.URL, "--rate", "200", "--requests", "200", "--connections", "1")
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, e := range entries {
		if e.Latency() > stall/4 {
			late++
		}
	}
	// In 400 ms 80 callbacks were due; one connection alone would have seen one slow answer.
	if late < 40 {
		t.Errorf("%d requests were charged with the stall, want at least 40", late)
	}
	if s.Latency.Max < 400 || s.Latency.P50 > s.Latency.Max {
		t.Errorf("latency %+v", s.Latency)
	}
}

func TestScheduleIsKept(t *testing.T) {
	g := newGateway(t, nil)
	s, entries, err := load(t.Context(), t, "--url", g.URL, "--rate", "500", "--duration", "400ms", "--warmup", "200ms", "--connections", "4")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 200 {
		t.Errorf("%d requests at 500/s for 400 ms, want 200", len(entries))
	}
	if s.Requests != 100 {
		t.Errorf("%d requests in the summary, want the 100 after the warm-up", s.Requests)
	}
	first := entries[0].Due
	for _, e := range entries {
		first = min(first, e.Due)
	}
	for _, e := range entries {
		if want := first + (e.Seq-1)*2000; e.Due < want-1 || e.Due > want+1 {
			t.Fatalf("arrival %d is due at %d us, want %d", e.Seq, e.Due-first, want-first)
		}
	}
}

func TestOutcomesAreToldApart(t *testing.T) {
	for _, test := range []struct {
		name    string
		handle  func(w http.ResponseWriter)
		outcome string
		failure ledger.Failure
		status  int
		code    int
		last    bool // of its connection, as the answer says
		retry   int
		next    int64
	}{
		{name: "refused by the application", outcome: "503 7", status: 503, code: 7, retry: 5, next: 3, handle: func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "5")
			w.Header().Set("Content-Length", "15")
			w.WriteHeader(503)
			fmt.Fprint(w, `{"ErrorCode":7}`)
		}},
		{name: "last of its connection", outcome: "200 0", status: 200, last: true, next: 1, handle: func(w http.ResponseWriter) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, envelope)
		}},
		{name: "closed without an answer", outcome: "closed", failure: ledger.FailureClosed, next: 1, handle: func(http.ResponseWriter) {
			panic(http.ErrAbortHandler)
		}},
		{name: "reset", outcome: "reset", failure: ledger.FailureReset, next: 1, handle: func(w http.ResponseWriter) {
			hijack(t, w, func(conn *net.TCPConn) error { return conn.SetLinger(0) })
		}},
		{name: "half an answer", outcome: "cut", failure: ledger.FailureCut, next: 1, handle: func(w http.ResponseWriter) {
			hijack(t, w, func(conn *net.TCPConn) error {
				_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
				return err
			})
		}},
		{name: "not the envelope", outcome: "bad_answer", failure: ledger.FailureBadAnswer, next: 1, handle: func(w http.ResponseWriter) {
			fmt.Fprint(w, "<html>")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, func(w http.ResponseWriter, n int) bool {
				if n == 2 {
					test.handle(w)
				}
				return n == 2
			})
			s, entries, err := load(t.Context(), t, "--url", g.URL, "--requests", "3", "--connections", "1")
			if err != nil {
				t.Fatal(err)
			}
			e := entries[1]
			if s.Outcomes[test.outcome] < 1 || s.Requests != 3 || e.Failure != test.failure || e.Status != test.status || e.Code != test.code ||
				e.Exchange != 2 || e.Close != test.last || e.Retry != test.retry {
				t.Errorf("summary %+v, entry %+v", s, e)
			}
			if entries[2].Status != 200 || entries[2].Exchange != test.next {
				t.Errorf("the next request, want it to be number %d of its connection: %+v", test.next, entries[2])
			}
		})
	}
}

// hijack lets do treat the connection of an answer, and closes it.
func hijack(t *testing.T, w http.ResponseWriter, do func(*net.TCPConn) error) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	if err := errors.Join(do(conn.(*net.TCPConn)), conn.Close()); err != nil {
		t.Error(err)
	}
}

func TestSilenceIsATimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s, entries, err := load(t.Context(), t, "--url", "http://"+listener.Addr().String(), "--requests", "2", "--connections", "1", "--timeout", "50ms")
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("error %v, want that there was no answer", err)
	}
	if s.Outcomes["timeout"] != 2 || entries[0].Failure != ledger.FailureTimeout {
		t.Errorf("summary %+v", s)
	}
}

func TestNobodyListensIsNoRequest(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	s, entries, err := load(t.Context(), t, "--url", "http://"+listener.Addr().String(), "--duration", "100ms", "--connections", "2")
	if err == nil || s.Outcomes["connect"] == 0 || entries[0].Exchange != 0 {
		t.Errorf("error %v, summary %+v", err, s)
	}
	// Two connections, one attempt each 5 ms: it must not spin.
	if s.Requests > 60 {
		t.Errorf("%d attempts in 100 ms", s.Requests)
	}
}

func TestInterruptedRunAccountsForWhatItSent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := newGateway(t, func(_ http.ResponseWriter, n int) bool {
		if n == 50 {
			cancel()
		}
		return false
	})
	_, entries, err := load(ctx, t, "--url", g.URL, "--duration", "0s", "--connections", "4")
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(entries) != len(g.bodies) || len(entries) < 50 {
		t.Errorf("%d entries, %d requests at the gateway", len(entries), len(g.bodies))
	}
	for _, e := range entries {
		if e.Status != 200 {
			t.Errorf("a request was cut short: %+v", e)
		}
	}
}

func TestTextAndHistogram(t *testing.T) {
	g := newGateway(t, nil)
	path := filepath.Join(t.TempDir(), "latency.hgrm")
	var out bytes.Buffer
	if err := execute(t.Context(), []string{"run", "--url", g.URL, "--requests", "20", "--histogram", path}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"closed loop", "20 requests, 20 answered", "20  200 0", "latency", "generator CPU"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("summary lacks %q:\n%s", want, out.String())
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "TotalCount") {
		t.Errorf("histogram %q, %v", data, err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, test := range []struct{ args, err string }{
		{"--rate=-1", "negative"},
		{"--connections 0", "positive"},
		{"--timeout 0s", "positive"},
		{"--signed 1.5", "shares"},
		{"--malformed=-0.1", "shares"},
		{"--warmup 20s", "--warmup"},
		{"--body-bytes x", "--body-bytes"},
		{"--body-bytes 9-3", "--body-bytes"},
		{"--mix nonsense", "--mix"},
		{"--url http://192.0.2.7/", "loopback"},
		{"--event-time float", "event-time"},
		{"--app-count=-1", "negative"},
		{"apps --apps-file x --app-count 0", "positive"},
	} {
		err := execute(t.Context(), strings.Fields(test.args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", test.args, err, test.err)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	c := newComposer(newRecipe(b, nil), sampleFleet(b, 64))
	now := time.Now()
	for seq := int64(0); b.Loop(); seq++ {
		c.compose(seq, nil, now)
	}
}
