package receive

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// BenchmarkWire sends callbacks over loopback connections, one in flight on each, to a bare
// fasthttp handler that answers the envelope, and to the Receiver over a journal that does
// nothing and over the real one. The client takes its share of the processor, so that only
// the relation between the rows says something.
func BenchmarkWire(b *testing.B) {
	const connections = 64
	raw := []byte(post(signed(alarm), alarmBody))
	for _, bb := range []struct {
		name  string
		serve func(b *testing.B, ln net.Listener)
	}{
		{"bare", serveBare},
		{"fake", func(b *testing.B, ln net.Listener) { serveGate(b, ln, new(sink)) }},
		{"disk", func(b *testing.B, ln net.Listener) {
			j := openJournal(b, b.TempDir(), journal.Options{MaxBytes: 4 << 30})
			b.Cleanup(func() { closeJournal(b, j) })
			serveGate(b, ln, j)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			bb.serve(b, ln)
			left := atomic.Int64{}
			left.Store(int64(b.N))
			done := make(chan error, connections)
			b.ReportAllocs()
			b.ResetTimer()
			for range connections {
				go func() { done <- sendAll(ln.Addr().String(), raw, &left, http.StatusOK) }()
			}
			for range connections {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
}

func serveBare(b *testing.B, ln net.Listener) {
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) { answer(ctx, okEnvelope) }}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	b.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			b.Error(err)
		}
		<-done
	})
}

func serveGate(b *testing.B, ln net.Listener, j appender) {
	g := newGate(b, func(o *Options) {
		unlimited(b)(o)
		o.Journal, o.Now = j, nil
	})
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	b.Cleanup(func() {
		if err := g.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		<-done
	})
}

// sendAll sends raw again and again on one connection while there is something left, and wants each
// answered with that status; 0: any.
func sendAll(addr string, raw []byte, left *atomic.Int64, want int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for left.Add(-1) >= 0 {
		if _, err := conn.Write(raw); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if want != 0 && resp.StatusCode != want {
			return &net.AddrError{Err: resp.Status, Addr: addr}
		}
	}
	return nil
}
