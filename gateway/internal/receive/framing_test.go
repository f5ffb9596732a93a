package receive

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/reload"
)

func TestScanHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, raw   string
		last, ok    bool
		traceparent string
	}{
		{name: "none", ok: true},
		{name: "traced", raw: "Host: h\r\ntraceParent: \ta \r\n\r\n", ok: true, traceparent: "a"},
		{name: "traced twice", raw: "Traceparent: a\r\nTraceparent: b\r\n\r\n", ok: true, traceparent: "a"},
		{name: "what a client sends", raw: "Host: h\r\nContent-Length: 2\r\nAccept: */*\r\n\r\n", ok: true},
		{name: "chunked", raw: "Host: h\r\ntransfer-ENCODING:\tChunked \r\n\r\n", last: true, ok: true},
		{name: "asks first", raw: "Expect: 100-Continue\r\n\r\n", ok: true},
		{name: "a length and chunks", raw: "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", last: true},
		{name: "another coding", raw: "Transfer-Encoding: identity\r\n\r\n"},
		{name: "a list of codings", raw: "Transfer-Encoding: chunked, chunked\r\n\r\n"},
		{name: "another expectation", raw: "Expect: miracles\r\n\r\n", ok: false},
		{name: "bare LF", raw: "A: b\nC: d\r\n\r\n"},
		{name: "bare LF at the end", raw: "A: b\r\n\n"},
		{name: "LF only", raw: "\n"},
		{name: "a line that goes on", raw: "A: b\r\n c\r\n\r\n"},
		{name: "a blank in a name", raw: "A B: c\r\n\r\n"},
		{name: "no name", raw: ": c\r\n\r\n"},
		{name: "no colon", raw: "A\r\n\r\n"},
		{name: "bytes behind the end", raw: "A: b\r\n\r\nC: d\r\n"},
		{name: "goes on", raw: "Connection: keep-alive, ,x\r\n\r\n", ok: true},
		{name: "says that it ends", raw: "Connection: Close\r\n\r\n", last: true, ok: true},
		{name: "says so in a list", raw: "Connection: x,\tclose ,y\r\n\r\n", last: true, ok: true},
		{name: "says so, then otherwise", raw: "Connection: close\r\nConnection: keep-alive\r\n\r\n", last: true, ok: true},
		{name: "close is part of an option", raw: "Connection: a-close, closed\r\n\r\n", ok: true},
		{name: "blanks within an option", raw: "Connection: a close\r\n\r\n"},
		{name: "a tab within an option", raw: "Connection: a, close\tb\r\n\r\n"},
		{name: "a host that is none", raw: "Host: a b\r\n\r\n"},
	} {
		b, ok := scanHeaders([]byte(tt.raw))
		if ok != tt.ok || ok && (b.last != tt.last || string(b.traceparent) != tt.traceparent) {
			t.Errorf("%s: %+v, ok %t", tt.name, b, ok)
		}
	}
}

func TestValidHost(t *testing.T) {
	for host, want := range map[string]bool{
		"gate.example": true, "gate.example:8080": true, "10.0.0.1": true, "a_b-c.d": true, "h:": true,
		"[::1]": true, "[2001:db8::1.2.3.4]:443": true,
		"": false, ":80": false, "[]": false, "[::1": false, "[::1]x": false, "[::1%25eth0]": false, "a:b": false, "a b": false,
		"a,b": false, "a/b": false, "u@h": false, "h:80:80": false, "\xff": false, "h\x00": false,
	} {
		if validHost([]byte(host)) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}

// TestRequestLine goes through two requests that come in pieces of every size, whole and with each
// thing that cannot be seen of them afterwards.
func TestRequestLine(t *testing.T) {
	const good, lf = "POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\nHost: h\r\n\r\n"
	for _, tt := range []struct {
		name, first, second string
		firstOdd, secondOdd bool
	}{
		{name: "both good", first: good, second: good},
		{name: "second ends its line with LF", first: good, second: lf, secondOdd: true},
		{name: "second begins with an empty line", first: good, second: "\r\n" + good, secondOdd: true},
		{name: "second begins with LF and ends its line so", first: good, second: "\n" + lf, secondOdd: true},
		{name: "first ends its line with LF", first: lf, second: good, firstOdd: true},
		{name: "first begins with LF and ends its line so", first: "\n" + lf, second: good, firstOdd: true},
	} {
		for piece := 1; piece <= len(tt.first)+len(tt.second); piece++ {
			var l requestLine
			all := []byte(tt.first + tt.second)
			arriveUpTo := func(n int) {
				for int(l.got) < n {
					end := min(len(all), int(l.got)+piece)
					l.arrived(all[l.got:end])
				}
			}
			arriveUpTo(len(tt.first))
			if ok := l.handled(int64(len(tt.first))); ok == tt.firstOdd {
				t.Errorf("%s, pieces of %d: the first is said to be good: %t", tt.name, piece, ok)
			}
			if tt.firstOdd {
				continue // the connection ends
			}
			arriveUpTo(len(all))
			if ok := l.handled(int64(len(tt.second))); ok == tt.secondOdd {
				t.Errorf("%s, pieces of %d: the second is said to be good: %t", tt.name, piece, ok)
			}
		}
	}
}

// again is a connection that brings the same request with each read, and takes everything.
type again struct {
	memoryConn
	raw  []byte
	left int
}

func (c *again) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.EOF
	}
	return copy(p, c.raw), nil
}

func (c *again) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkConnection serves one connection from memory: fasthttp, the framing, the stages, a
// journal that does nothing.
func BenchmarkConnection(b *testing.B) {
	headers := "Host: gate.example.com\r\nUser-Agent: TencentIM/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
	raw := []byte(strings.Replace(post(signed(alarm), alarmBody), "Host: h\r\n", headers, 1))
	g := newGate(b, func(o *Options) {
		unlimited(b)(o)
		o.Routes = reload.Fixed("routes", parseRoutes(b, wireRoutes))
	})
	all := newConnections(timeouts{})
	b.ReportAllocs()
	b.ResetTimer()
	one := all.add(&again{raw: raw, left: b.N}, g.Receiver)
	_ = g.server.ServeConn(one)
}

// BenchmarkScanHeaders is what every request pays for being unambiguous.
func BenchmarkScanHeaders(b *testing.B) {
	raw := []byte("Host: gate.example.com\r\nUser-Agent: TencentIM/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 120\r\n\r\n")
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, ok := scanHeaders(raw); !ok {
			b.Fatal(bytes.Clone(raw))
		}
	}
}
