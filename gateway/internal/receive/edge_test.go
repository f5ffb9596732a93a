package receive

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/internal/reload"
)

// certificate is the test server's of the standard library, with what its clients need.
func certificate(t testing.TB) (*reload.File[*edge.Certificate], *tls.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	pair := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{
		certPath: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyPath: {Type: "PRIVATE KEY", Bytes: key},
	} {
		write(t, path, string(pem.EncodeToMemory(block)))
	}
	file, err := reload.Open("certificate", certPath, edge.ParseCertificate(keyPath), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return file, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// newEdge serves behind an edge.Listener.
func newEdge(t testing.TB, o edge.Options, change func(*Options)) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = time.Minute
	}
	return newGate(t, change).serveOn(t, edge.NewListener(ln, o))
}

// secure returns c over TLS.
func (c *client) secure(config *tls.Config) *client {
	secure := tls.Client(c.conn, config)
	return &client{t: c.t, conn: secure, r: bufio.NewReader(secure)}
}

// TestAnswersOverTLS: the same answers as over plain TCP, the connection is kept, and requests
// that come together are answered in order.
func TestAnswersOverTLS(t *testing.T) {
	file, config := certificate(t)
	g := newEdge(t, edge.Options{Certificate: file}, nil)
	c := g.dial(t).secure(config)
	for range 3 {
		c.send(post(signed(alarm), alarmBody))
		c.read("POST").wantOK(t)
		c.send(post(target(unknownApp, alarm), "{}"))
		c.read("POST").wantRefusal(t, refusedAppUnknown)
	}
	c.send(post(signed(alarm), "1") + post(target(unknownApp, alarm), "{}") + post(signed("Broker.X"), "2"))
	c.read("POST").wantOK(t)
	c.read("POST").wantRefusal(t, refusedAppUnknown)
	c.read("POST").wantOK(t)
	if n := len(g.journal.entries(t)); n != 5 {
		t.Errorf("%d entries", n)
	}
}

// TestRefusedBodyOverTLS: who sends more than is taken gets the answer, although nobody reads
// the rest.
func TestRefusedBodyOverTLS(t *testing.T) {
	file, config := certificate(t)
	g := newEdge(t, edge.Options{Certificate: file}, nil)
	for range 5 {
		c := g.dial(t).secure(config)
		c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", signed(alarm), 1<<20, strings.Repeat("x", 1<<20)))
		c.read("POST").wantRefusal(t, refusedBodySize)
		c.closed()
	}
}

// TestFailedHandshakeIsNoRequest: whoever speaks no TLS gets no answer and is no refusal.
func TestFailedHandshakeIsNoRequest(t *testing.T) {
	file, _ := certificate(t)
	g := newEdge(t, edge.Options{Certificate: file}, nil)
	c := g.dial(t)
	c.send(post(signed(alarm), alarmBody))
	if b, err := io.ReadAll(c.r); err == nil && len(b) > 7 { // an alert has 7 bytes
		t.Errorf("answered %q", b)
	}
	for f := range g.accounts.nobody.outcomes {
		if n := g.accounts.nobody.outcomes[f].Load(); n != 0 {
			kind, reason := outcome(f).labels()
			t.Errorf("%d %s for %s", n, kind, reason)
		}
	}
}

// TestTooManyConnectionsOverTLS: one too many ends, and nothing is said that it could not read.
func TestTooManyConnectionsOverTLS(t *testing.T) {
	file, config := certificate(t)
	g := newEdge(t, edge.Options{Certificate: file}, func(o *Options) { o.MaxConnections = 1 })
	first := g.dial(t).secure(config)
	first.send(post(signed(alarm), alarmBody))
	first.read("POST").wantOK(t)
	second := g.dial(t)
	if b, err := io.ReadAll(second.r); err == nil && len(b) > 0 {
		t.Errorf("it was told %q", b)
	}
	first.send(post(signed(alarm), alarmBody))
	first.read("POST").wantOK(t)
}

// TestShutdownOverTLS: connections in their handshake, silent ones and kept ones hold nobody up,
// and no request is cut.
func TestShutdownOverTLS(t *testing.T) {
	file, config := certificate(t)
	g := newEdge(t, edge.Options{Certificate: file, ProxyFrom: networks(t, "127.0.0.2")}, unlimited(t))
	silent, half, kept := g.dial(t), g.dial(t), g.dial(t).secure(config)
	half.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	kept.send(post(signed(alarm), alarmBody))
	kept.read("POST").wantOK(t)
	var clients sync.WaitGroup
	const n = 16
	begun, told := make(chan struct{}, n), make(chan error, n)
	for range n {
		conn, err := tls.Dial("tcp", g.addr, config)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() { told <- untilLast(conn, begun) })
	}
	for range n {
		<-begun
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	clients.Wait()
	for range n {
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	for _, c := range []*client{silent, half, kept} {
		if _, err := io.ReadAll(c.r); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
				t.Error("a connection stays open")
			}
		}
	}
}

// TestDeafClientOverTLS: one that takes no answers is given up in time, and holds up neither
// others nor the stop.
func TestDeafClientOverTLS(t *testing.T) {
	file, config := certificate(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.WriteTimeout = time.Second
	}).serveOn(t, edge.NewListener(narrow{ln}, edge.Options{Certificate: file, HandshakeTimeout: time.Minute}))
	deaf, other := g.dial(t).secure(config), g.dial(t).secure(config)
	many := strings.Repeat(post(target(unsignedApp, alarm), "{}"), 100)
	for sent := 0; ; sent++ {
		if _, err := io.WriteString(deaf.conn, many); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
				t.Fatal("the gateway waits for a client that does not read")
			}
			break
		}
		if sent == 100_000 {
			t.Fatal("the gateway takes everything of a client that does not read")
		}
	}
	other.send(post(target(unsignedApp, alarm), "{}"))
	other.read("POST").wantOK(t)
}

// TestBehindProxyHeader: the address that the front end names is the source, answers are held
// as over any plain connection, and what comes with the header is a request like any other.
func TestBehindProxyHeader(t *testing.T) {
	g := newEdge(t, edge.Options{ProxyFrom: networks(t, "127.0.0.1")}, func(o *Options) {
		o.AllowedSources = reload.Fixed("sources", networks(t, "203.0.113.0/24"))
	})
	from := func(source string) string {
		b, err := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.ParseIP(source), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 80), Port: 80}).Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	c := g.dial(t)
	c.send(from("203.0.113.7") + post(signed(alarm), alarmBody))
	c.read("POST").wantOK(t)
	for range 3 {
		c.send(post(signed(alarm), alarmBody))
		c.read("POST").wantOK(t)
	}
	c.send(post(target(signedApp, alarm), "{}"))
	c.read("POST").wantRefusal(t, refusedSignMissing)
	if got := g.sourcesShown(t); len(got) != 1 || got[0] != "203.0.113.7" {
		t.Errorf("shown are %v", got)
	}
	other := g.dial(t)
	other.send(from("198.51.100.7") + post(signed(alarm), alarmBody))
	other.read("POST").wantRefusal(t, refusedSource)
	other.closed()
}

// TestHeldBehindTheEdge: where bytes for the kernel are what the client reads, and only there.
func TestHeldBehindTheEdge(t *testing.T) {
	file, _ := certificate(t)
	for _, c := range []struct {
		name string
		o    edge.Options
		want bool
	}{
		{"plain", edge.Options{}, true},
		{"PROXY header", edge.Options{ProxyFrom: networks(t, "127.0.0.1")}, true},
		{"TLS", edge.Options{Certificate: file}, false},
		{"both", edge.Options{Certificate: file, ProxyFrom: networks(t, "127.0.0.1")}, false},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := edge.NewListener(ln, c.o)
		peer, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		one := &conn{Conn: accepted}
		one.prepare(newGate(t, nil).Receiver)
		if (one.held.socket != nil) != c.want {
			t.Errorf("%s: can hold answers: %v", c.name, !c.want)
		}
		for _, end := range []io.Closer{accepted, peer, l} {
			_ = end.Close()
		}
	}
}
