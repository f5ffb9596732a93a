package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/internal/reload"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var serial = big.NewInt(1)

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.pem = a.sign(t, template, template, &a.key.PublicKey)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey) (*x509.Certificate, []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue returns a certificate for name and 127.0.0.1, and its key.
func (a *authority) issue(t testing.TB, name string, change func(*x509.Certificate)) (certPEM, keyPEM []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	_, certPEM = a.sign(t, template, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// client returns what a client of the authority's servers uses.
func (a *authority) client(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// pair are the two files of a certificate.
type pair struct{ cert, key string }

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p pair) write(t testing.TB, certPEM, keyPEM []byte) {
	t.Helper()
	write(t, p.cert, certPEM)
	write(t, p.key, keyPEM)
}

// newPair writes a certificate for name into a folder of its own.
func newPair(t testing.TB, a *authority, name string) pair {
	t.Helper()
	dir := t.TempDir()
	p := pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	certPEM, keyPEM := a.issue(t, name, nil)
	p.write(t, certPEM, keyPEM)
	return p
}

// echo is a server over a Listener that sends back what it reads, and remembers who sent it.
type echo struct {
	*Listener
	addr    string
	metrics *prometheus.Registry
	eof     chan error // of the first Read of each connection that brought nothing

	mu      sync.Mutex
	sources []string // guarded by mu: of connections that brought something
}

func newEcho(t testing.TB, o Options) *echo {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{metrics: prometheus.NewPedanticRegistry(), addr: ln.Addr().String(), eof: make(chan error, 1000)}
	if reg, given := o.Metrics.(*prometheus.Registry); given {
		e.metrics = reg
	}
	o.Metrics = e.metrics
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = time.Minute // what a busy machine needs is not what these tests are about
	}
	e.Listener = NewListener(ln, o)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := e.Accept()
			if err != nil {
				return
			}
			all.Go(func() { e.serve(c) })
		}
	})
	t.Cleanup(func() {
		e.Close()
		all.Wait()
	})
	return e
}

func (e *echo) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 1024)
	for first := true; ; first = false {
		n, err := c.Read(buf)
		if err != nil {
			if first {
				e.eof <- err
			}
			return
		}
		if first {
			e.mu.Lock()
			e.sources = append(e.sources, Peer(c.RemoteAddr()).String())
			e.mu.Unlock()
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// lastSource returns the source of the last connection that brought something.
func (e *echo) lastSource() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sources[len(e.sources)-1]
}

// dial connects, with a deadline for everything.
func (e *echo) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake makes a TLS connection and sends something there and back.
func (e *echo) handshake(t testing.TB, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c := tls.Client(e.dial(t), config)
	defer c.Close()
	if err := c.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	err := roundTrip(c, "ping")
	return c.ConnectionState(), err
}

func roundTrip(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, []byte(text)) {
		return errors.New("came back as " + string(got))
	}
	return nil
}

// ended fails the test unless c ends without a byte more than an alert, which has 7.
func ended(t testing.TB, c net.Conn) {
	t.Helper()
	n, err := io.ReadFull(c, make([]byte, 8))
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		t.Fatal("the connection stays open")
	} else if err == nil {
		t.Fatalf("%d bytes came", n)
	}
}

// value returns a metric, summed over its labels or of one value of them.
func (e *echo) value(t testing.TB, name, label string) (sum float64) {
	t.Helper()
	families, err := e.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			match := label == ""
			for _, l := range m.GetLabel() {
				match = match || l.GetValue() == label
			}
			if f.GetName() == name && match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (e *echo) failures(t testing.TB, reason string) float64 {
	t.Helper()
	return e.value(t, "tidegate_gateway_handshake_failures_total", reason)
}

// wantFailure waits for the server's side of a connection that ended early and checks how it
// was counted.
func (e *echo) wantFailure(t testing.TB, reason string, before float64) {
	t.Helper()
	select {
	case err := <-e.eof:
		if !errors.Is(err, io.EOF) {
			t.Errorf("the server read %v, want io.EOF: anything else is answered", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the server still waits")
	}
	if got := e.failures(t, reason); got != before+1 {
		t.Errorf("%s counted %v times, want %v", reason, got, before+1)
	}
}

func open[T any](t testing.TB, name, path string, parse reload.Parse[T], reg prometheus.Registerer) *reload.File[T] {
	t.Helper()
	f, err := reload.Open(name, path, parse, reload.Options{Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (p pair) open(t testing.TB) *reload.File[*Certificate] {
	t.Helper()
	return open(t, "certificate", p.cert, ParseCertificate(p.key), nil)
}
