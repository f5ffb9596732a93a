package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTLS: 1.2 and 1.3 and no less, HTTP/1.1 and nothing else, and no plain text.
func TestTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	e := newEcho(t, Options{Certificate: newPair(t, ca, "gw.test").open(t)})
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
		alpn   string
	}{
		{"no wishes", func(*tls.Config) {}, true, ""},
		{"1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true, ""},
		{"1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true, ""},
		{"1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false, ""},
		{"HTTP/1.1", func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, true, "http/1.1"},
		{"HTTP/2 or 1.1", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, true, "http/1.1"},
		{"HTTP/2 alone", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false, ""},
		{"a weak suite", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
		}, false, ""},
	} {
		config := ca.client("gw.test")
		c.change(config)
		failed := e.failures(t, "tls")
		state, err := e.handshake(t, config)
		if (err == nil) != c.ok || state.NegotiatedProtocol != c.alpn {
			t.Errorf("%s: %q, %v", c.name, state.NegotiatedProtocol, err)
		}
		if !c.ok {
			e.wantFailure(t, "tls", failed)
		}
	}
	failed := e.failures(t, "tls")
	plain := e.dial(t)
	fmt.Fprint(plain, "POST / HTTP/1.1\r\nHost: h\r\n\r\n")
	ended(t, plain)
	e.wantFailure(t, "tls", failed)
}

// TestSessionTickets: a client that comes again need not do everything again.
func TestSessionTickets(t *testing.T) {
	ca := newAuthority(t, "ca")
	e := newEcho(t, Options{Certificate: newPair(t, ca, "gw.test").open(t)})
	config := ca.client("gw.test")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, want := range []bool{false, true} {
		if state, err := e.handshake(t, config); err != nil || state.DidResume != want {
			t.Errorf("connection %d: resumed %v, %v", i, state.DidResume, err)
		}
	}
}

// TestReloadCutsNobody: certificates are replaced under clients that make one connection after
// the other. Each handshake is done, and the last ones see the last certificate.
func TestReloadCutsNobody(t *testing.T) {
	ca := newAuthority(t, "ca")
	p := newPair(t, ca, "gw.test")
	file := p.open(t)
	e := newEcho(t, Options{Certificate: file})
	var stop atomic.Bool
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			for !stop.Load() {
				c, err := tls.Dial("tcp", e.addr, ca.client("gw.test"))
				if err == nil {
					err = roundTrip(c, "ping")
					c.Close()
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	kept := tls.Client(e.dial(t), ca.client("gw.test"))
	for i := range 30 {
		certPEM, keyPEM := ca.issue(t, "gw.test", func(c *x509.Certificate) { c.Subject.CommonName = fmt.Sprint(i) })
		write(t, p.cert, certPEM)
		if _, err := file.Reload(); err == nil {
			t.Fatal("half a new pair was taken")
		}
		write(t, p.key, keyPEM)
		if changed, err := file.Reload(); err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
		state, err := e.handshake(t, ca.client("gw.test"))
		if err != nil || state.PeerCertificates[0].Subject.CommonName != fmt.Sprint(i) {
			t.Fatalf("after reload %d: %v", i, err)
		}
		if err := roundTrip(kept, "pong"); err != nil {
			t.Fatalf("a connection from before reload %d: %v", i, err)
		}
	}
	stop.Store(true)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := e.failures(t, ""); n != 0 {
		t.Errorf("%v handshakes failed", n)
	}
}

// TestBadPairKeepsTheOldOne, and says what is wrong, and goes on to the next good one.
func TestBadPairKeepsTheOldOne(t *testing.T) {
	ca := newAuthority(t, "ca")
	p := newPair(t, ca, "gw.test")
	oldCert, oldKey, err := read(p)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	file := open(t, "certificate", p.cert, ParseCertificate(p.key), reg)
	e := newEcho(t, Options{Certificate: file, Metrics: reg})
	newCert, newKey := ca.issue(t, "new.test", nil)
	encrypted := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"the key of another", newCert, oldKey, "no pair"},
		{"the certificate of another", oldCert, newKey, "no pair"},
		{"garbage for a certificate", []byte("nonsense"), newKey, "holds no PEM block"},
		{"garbage for a key", newCert, []byte("nonsense"), "no pair"},
		{"half a certificate", newCert[:len(newCert)/2], newKey, "holds no PEM block"},
		{"one and a half", append(append([]byte{}, newCert...), newCert[:len(newCert)/2]...), newKey, "is cut off"},
		{"half a key", newCert, newKey[:len(newKey)/2], "no pair"},
		{"nothing", nil, nil, "is empty"},
		{"an encrypted key", newCert, encrypted, "is encrypted"},
		{"the key with the certificate", append(append([]byte{}, newCert...), newKey...), newKey, "private key; write that to a file of its own"},
		{"exchanged", newKey, newCert, "private key; write that to a file of its own"},
	} {
		p.write(t, c.cert, c.key)
		_, err := file.Reload()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else if secret := string(newKey[40:60]); strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s: the error quotes the file: %v", c.name, err)
		}
		if e.value(t, "tidegate_reload_success", "certificate") != 0 || file.Status().Err == nil {
			t.Errorf("%s: nobody is told", c.name)
		}
		if state, err := e.handshake(t, ca.client("gw.test")); err != nil || state.PeerCertificates[0].DNSNames[0] != "gw.test" {
			t.Errorf("%s: the old pair is not in use: %v", c.name, err)
		}
	}
	if err := os.Remove(p.key); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Reload(); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no key: %v", err)
	}
	p.write(t, newCert, newKey)
	if changed, err := file.Reload(); err != nil || !changed || e.value(t, "tidegate_reload_success", "certificate") != 1 {
		t.Errorf("the good pair: changed %v, %v", changed, err)
	}
}

func read(p pair) (cert, key []byte, err error) {
	if cert, err = os.ReadFile(p.cert); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(p.key)
	return cert, key, err
}

// TestSymlinkSwap replaces a pair as Kubernetes does a secret's volume, and the watching alone
// finds it.
func TestSymlinkSwap(t *testing.T) {
	ca := newAuthority(t, "ca")
	volume := t.TempDir()
	version := func(name string) {
		dir := filepath.Join(volume, ".."+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		certPEM, keyPEM := ca.issue(t, name, nil)
		pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}.write(t, certPEM, keyPEM)
		if err := os.Symlink(".."+name, filepath.Join(volume, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("one.test")
	p := pair{filepath.Join(volume, "tls.crt"), filepath.Join(volume, "tls.key")}
	for _, path := range []string{p.cert, p.key} {
		if err := os.Symlink(filepath.Join("..data", filepath.Base(path)), path); err != nil {
			t.Fatal(err)
		}
	}
	file := p.open(t)
	e := newEcho(t, Options{Certificate: file})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- file.Run(ctx) }()
	if _, err := e.handshake(t, ca.client("one.test")); err != nil {
		t.Fatal(err)
	}
	version("two.test")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := e.handshake(t, ca.client("two.test")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not in use: %v", file.Status().Err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestExpired: an expired certificate is taken and warned of; the metric says how long ago.
func TestExpired(t *testing.T) {
	ca := newAuthority(t, "ca")
	p := newPair(t, ca, "gw.test")
	file := p.open(t)
	e := newEcho(t, Options{Certificate: file})
	const name = "tidegate_gateway_certificate_expiry_seconds"
	if left := e.value(t, name, ""); left < 89*86400 || left > 90*86400 {
		t.Errorf("%v seconds left of 90 days", left)
	}
	if w := file.Get().Warnings(time.Now()); w != nil {
		t.Errorf("warned of %v", w)
	}
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "has expired"},
		{"soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(13 * 24 * time.Hour) }, "in 13 days"},
		{"not soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(15 * 24 * time.Hour) }, ""},
		{"not yet", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, "not valid before"},
		{"no names", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, "no subjectAltName"},
		{"an address", func(c *x509.Certificate) { c.DNSNames = nil }, ""},
	} {
		certPEM, keyPEM := ca.issue(t, "gw.test", c.change)
		p.write(t, certPEM, keyPEM)
		if _, err := file.Reload(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		w := strings.Join(file.Get().Warnings(time.Now()), "; ")
		if !strings.Contains(w, c.want) || (c.want == "") != (w == "") {
			t.Errorf("%s: warned of %q", c.name, w)
		}
		if left := e.value(t, name, ""); c.name == "expired" && (left > -60 || left < -600) {
			t.Errorf("%s: %v seconds left", c.name, left)
		}
	}
}

// TestKeyWarning: a key that others can read is said.
func TestKeyWarning(t *testing.T) {
	p := newPair(t, newAuthority(t, "ca"), "gw.test")
	c := p.open(t).Get()
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(p.key, mode); err != nil {
			t.Fatal(err)
		}
		if w := c.KeyWarning(); (w != "") != want {
			t.Errorf("%v: %q", mode, w)
		}
	}
}

// TestClientCA: whoever has no certificate of the authority is not let in, and a session from
// before the authority was replaced is of no use after.
func TestClientCA(t *testing.T) {
	ca, front, other := newAuthority(t, "ca"), newAuthority(t, "front ends"), newAuthority(t, "others")
	p, path := newPair(t, ca, "gw.test"), filepath.Join(t.TempDir(), "ca.pem")
	write(t, path, front.pem)
	cas := open(t, "client_ca", path, ParseClientCA, nil)
	e := newEcho(t, Options{Certificate: p.open(t), ClientCA: cas})
	sessions := tls.NewLRUClientSessionCache(4)
	with := func(a *authority) *tls.Config {
		config := ca.client("gw.test")
		config.ClientSessionCache = sessions
		if a != nil {
			certPEM, keyPEM := a.issue(t, "client", nil)
			c, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{c}
		}
		return config
	}
	want := func(name string, a *authority, ok bool) tls.ConnectionState {
		t.Helper()
		failed := e.failures(t, "tls")
		state, err := e.handshake(t, with(a))
		if (err == nil) != ok {
			t.Fatalf("%s: %v", name, err)
		}
		if !ok {
			e.wantFailure(t, "tls", failed)
		}
		return state
	}
	want("no certificate", nil, false)
	want("of others", other, false)
	want("of a front end", front, true)
	if state := want("again", front, true); !state.DidResume {
		t.Error("no session is resumed, so this test shows nothing")
	}
	write(t, path, []byte("nonsense"))
	if _, err := cas.Reload(); err == nil {
		t.Fatal("a broken file was taken")
	}
	want("after a broken file", front, true)
	write(t, path, other.pem)
	if _, err := cas.Reload(); err != nil {
		t.Fatal(err)
	}
	want("of a front end, with a session", front, false)
	want("of others, who are let in now", other, true)
}

func TestClientCAFile(t *testing.T) {
	a := newAuthority(t, "a")
	certPEM, keyPEM := a.issue(t, "leaf", func(c *x509.Certificate) { c.BasicConstraintsValid = true })
	got, problems := ParseClientCA(append(append([]byte{}, a.pem...), certPEM...))
	if problems != nil || got.Len() != 2 {
		t.Errorf("%d, %v", got.Len(), problems)
	}
	if w := got.Warnings(time.Now()); len(w) != 1 || !strings.Contains(w[0], "certificate 2 is no authority") {
		t.Errorf("warned of %v", w)
	}
	if w := got.Warnings(time.Now().Add(100 * 24 * time.Hour)); len(w) != 3 || !strings.Contains(w[0], "certificate 1 has expired") {
		t.Errorf("warned of %v", w)
	}
	for text, want := range map[string]string{
		"": "is empty", string(keyPEM): "private key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "certificate 1 cannot be read",
	} {
		if _, problems := ParseClientCA([]byte(text)); len(problems) != 1 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%.40q: %v", text, problems)
		}
	}
}

// TestSlowHandshake: clients that begin a handshake and go on with nothing hold nobody up, and
// end in time; one that only connects and leaves is told apart.
func TestSlowHandshake(t *testing.T) {
	ca := newAuthority(t, "ca")
	certificate := newPair(t, ca, "gw.test").open(t)
	slowly := func(e *echo) (slow []net.Conn) {
		for i := range 50 {
			c := e.dial(t)
			if i%2 == 0 {
				fmt.Fprint(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") // of a ClientHello of 512 bytes
			}
			slow = append(slow, c)
		}
		return slow
	}
	patient := newEcho(t, Options{Certificate: certificate})
	waiting := slowly(patient)
	if _, err := patient.handshake(t, ca.client("gw.test")); err != nil {
		t.Errorf("beside slow ones: %v", err)
	}
	for _, c := range waiting {
		c.Close()
	}
	for range waiting {
		<-patient.eof
	}
	if gone, cut := patient.failures(t, "gone"), patient.failures(t, "tls"); gone != 25 || cut != 25 {
		t.Errorf("25 left without a word and 25 in the middle, counted are %v and %v", gone, cut)
	}

	strict := newEcho(t, Options{Certificate: certificate, HandshakeTimeout: 200 * time.Millisecond})
	slow := slowly(strict)
	for _, c := range slow {
		ended(t, c)
	}
	for range slow {
		<-strict.eof
	}
	if n := strict.failures(t, "timeout"); n != float64(len(slow)) {
		t.Errorf("%v of %d are counted", n, len(slow))
	}
}

// TestDeadlineEndsHandshake: a deadline from outside, as a server sets it that stops, ends a
// handshake too.
func TestDeadlineEndsHandshake(t *testing.T) {
	certificate := newPair(t, newAuthority(t, "ca"), "gw.test").open(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(ln, Options{Certificate: certificate, HandshakeTimeout: time.Hour})
	defer l.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("something was written before the handshake")
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-read:
		if err.Error() != "EOF" {
			t.Errorf("read %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the handshake goes on")
	}
}

// TestLongHandshake: what a handshake may be long, and so what it takes of our memory, is bounded; what
// comes after it is not.
func TestLongHandshake(t *testing.T) {
	ca := newAuthority(t, "ca")
	e := newEcho(t, Options{Certificate: newPair(t, ca, "gw.test").open(t), HandshakeTimeout: time.Minute})
	failed := e.failures(t, "tls")
	c := e.dial(t)
	hello := append([]byte{1, 0, 0xff, 0xff}, make([]byte, 0xfffe)...) // a ClientHello, but for its last byte
	for len(hello) > 0 {
		n := min(len(hello), 16<<10)
		if _, err := c.Write(append([]byte{22, 3, 1, byte(n >> 8), byte(n)}, hello[:n]...)); err != nil {
			break // it was ended
		}
		hello = hello[n:]
	}
	ended(t, c)
	e.wantFailure(t, "tls", failed)
	config := ca.client("gw.test")
	long, err := tls.Dial("tcp", e.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	for range 8 {
		if err := roundTrip(long, strings.Repeat("x", 8<<10)); err != nil {
			t.Fatal(err)
		}
	}
}
