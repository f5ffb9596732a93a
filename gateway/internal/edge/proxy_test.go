package edge

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

const localhost = "127.0.0.1/32"

func networks(t testing.TB, text string) Networks {
	t.Helper()
	var n Networks
	if err := n.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return n
}

// header is a PROXY header as a front end writes it.
func header(t testing.TB, version byte, source string) string {
	t.Helper()
	from := &net.TCPAddr{IP: net.ParseIP(source), Port: 40000}
	to := &net.TCPAddr{IP: net.ParseIP("192.0.2.80"), Port: 443}
	if from.IP.To4() == nil {
		to.IP = net.ParseIP("2001:db8::80")
	}
	b, err := proxyproto.HeaderProxyFromAddrs(version, from, to).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// v2 is a header of version 2 by its bytes.
func v2(command, family byte, rest string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

// TestProxyHeader: a front end says who is behind it, in one piece with what follows or not.
func TestProxyHeader(t *testing.T) {
	e := newEcho(t, Options{ProxyFrom: networks(t, localhost)})
	extension := "\x20\x00\x03abc"
	for _, c := range []struct{ name, header, want string }{
		{"version 2", header(t, 2, "203.0.113.7"), "203.0.113.7"},
		{"version 2, IPv6", header(t, 2, "2001:db8::7"), "2001:db8::7"},
		{"version 2, extended", v2(0x21, 0x11, "\xcb\x00\x71\x07\xc0\x00\x02\x50\x9c\x40\x01\xbb"+extension), "203.0.113.7"},
		{"version 2, much extended", v2(0x21, 0x11, "\xcb\x00\x71\x07\xc0\x00\x02\x50\x9c\x40\x01\xbb"+strings.Repeat(extension, 400)), "203.0.113.7"},
		{"version 2, mapped", v2(0x21, 0x21, strings.Repeat("\x00", 10)+"\xff\xff\xcb\x00\x71\x07"+strings.Repeat("\x00", 16)+"\x9c\x40\x01\xbb"), "203.0.113.7"},
		{"version 2, its own health check", v2(0x20, 0x00, ""), "127.0.0.1"},
		{"version 2, its own, with addresses", v2(0x20, 0x11, "\xcb\x00\x71\x07\xc0\x00\x02\x50\x9c\x40\x01\xbb"), "127.0.0.1"},
		{"version 2, a datagram's", v2(0x21, 0x12, "\xcb\x00\x71\x07\xc0\x00\x02\x50\x9c\x40\x01\xbb"), "127.0.0.1"},
		{"version 1", header(t, 1, "203.0.113.7"), "203.0.113.7"},
		{"version 1, IPv6", header(t, 1, "2001:db8::7"), "2001:db8::7"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1"},
	} {
		together, apart := e.dial(t), e.dial(t)
		long := strings.Repeat("x", 3000)
		if err := sendBehind(together, c.header, long); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := e.lastSource(); got != c.want {
			t.Errorf("%s: from %s", c.name, got)
		}
		if _, err := io.WriteString(apart, c.header); err != nil {
			t.Fatal(err)
		}
		if err := roundTrip(apart, "ping"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	slow := e.dial(t)
	for _, b := range []byte(header(t, 2, "203.0.113.9")) {
		if _, err := slow.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := roundTrip(slow, "ping"); err != nil || e.lastSource() != "203.0.113.9" {
		t.Errorf("byte by byte: %v", err)
	}
	if n := e.failures(t, ""); n != 0 {
		t.Errorf("%v failed", n)
	}
}

// sendBehind sends text in one piece with a header and reads it back.
func sendBehind(c net.Conn, header, text string) error {
	if _, err := io.WriteString(c, header+text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("came back as %.20q", got)
	}
	return nil
}

// TestNoProxyHeader: a front end that sends none, or a broken one, gets nothing.
func TestNoProxyHeader(t *testing.T) {
	e := newEcho(t, Options{ProxyFrom: networks(t, localhost)})
	for name, text := range map[string]string{
		"HTTP":                    "POST / HTTP/1.1\r\n\r\n",
		"TLS":                     "\x16\x03\x01\x02\x00",
		"P, and no more of PROXY": "POXY TCP4 203.0.113.7 192.0.2.80 1 2\r\n",
		"no port":                 "PROXY TCP4 203.0.113.7 192.0.2.80 1\r\n",
		"no address":              "PROXY TCP4 here there 1 2\r\n",
		"version 1 without end":   "PROXY TCP4 " + strings.Repeat("1", 200),
		"version 3":               v2(0x31, 0x11, strings.Repeat("\x00", 12)),
		"no such command":         v2(0x2f, 0x11, strings.Repeat("\x00", 12)),
		"no such family":          v2(0x21, 0x44, strings.Repeat("\x00", 12)),
		"too short":               v2(0x21, 0x11, "\xcb\x00\x71\x07"),
		"much too long":           v2(0x21, 0x11, strings.Repeat("\x00", 60000)),
	} {
		before := e.failures(t, "proxy_header")
		c := e.dial(t)
		_, _ = io.WriteString(c, text)
		ended(t, c)
		e.wantFailure(t, "proxy_header", before)
		if t.Failed() {
			t.Fatalf("it was %s", name)
		}
	}
}

// TestSpoofedProxyHeader: from anyone but a front end a header is bytes like any other, and
// changes nobody's address.
func TestSpoofedProxyHeader(t *testing.T) {
	e := newEcho(t, Options{ProxyFrom: networks(t, "127.0.0.2,203.0.113.0/24")})
	for _, version := range []byte{1, 2} {
		spoofed := header(t, version, "203.0.113.7")
		if err := roundTrip(e.dial(t), spoofed); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if got := e.lastSource(); got != "127.0.0.1" {
			t.Errorf("version %d: from %s", version, got)
		}
	}
	// Nor can one stand behind a front end's own.
	e = newEcho(t, Options{ProxyFrom: networks(t, localhost)})
	if err := sendBehind(e.dial(t), header(t, 2, "203.0.113.9"), header(t, 2, "203.0.113.7")); err != nil || e.lastSource() != "203.0.113.9" {
		t.Errorf("a second header: %v, from %s", err, e.lastSource())
	}
}

// TestProxyHeaderBeforeTLS: the header comes first, in plain; and with TLS a spoofed one is no
// handshake.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	certificate := newPair(t, ca, "gw.test").open(t)
	e := newEcho(t, Options{Certificate: certificate, ProxyFrom: networks(t, localhost)})
	c := e.dial(t)
	if _, err := io.WriteString(c, header(t, 2, "203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	if err := roundTrip(tls.Client(c, ca.client("gw.test")), "ping"); err != nil || e.lastSource() != "203.0.113.7" {
		t.Errorf("%v, from %v", err, e.sources)
	}
	if _, err := e.handshake(t, ca.client("gw.test")); err == nil {
		t.Error("a front end without a header was let in")
	}
	e.wantFailure(t, "proxy_header", 0)

	e = newEcho(t, Options{Certificate: certificate, ProxyFrom: networks(t, "127.0.0.2")})
	c = e.dial(t)
	_, _ = io.WriteString(c, header(t, 2, "203.0.113.7"))
	ended(t, c)
	e.wantFailure(t, "tls", 0)
	if _, err := e.handshake(t, ca.client("gw.test")); err != nil || e.lastSource() != "127.0.0.1" {
		t.Errorf("who is no front end: %v", err)
	}
}

// TestSilentFrontEnd: one that connects and says nothing holds nobody up, and ends in time.
func TestSilentFrontEnd(t *testing.T) {
	silently := func(e *echo) []net.Conn {
		silent, half := e.dial(t), e.dial(t)
		_, _ = io.WriteString(half, "\r\n\r\n\x00\r\nQUIT")
		return []net.Conn{silent, half}
	}
	patient := newEcho(t, Options{ProxyFrom: networks(t, localhost)})
	silently(patient)
	if err := sendBehind(patient.dial(t), header(t, 2, "203.0.113.7"), "ping"); err != nil {
		t.Errorf("beside a silent one: %v", err)
	}
	strict := newEcho(t, Options{ProxyFrom: networks(t, localhost), HandshakeTimeout: 200 * time.Millisecond})
	for _, c := range silently(strict) {
		ended(t, c)
		<-strict.eof
	}
	if n := strict.failures(t, "timeout"); n != 2 {
		t.Errorf("%v are counted", n)
	}
}

// TestOpenInTime: a connection whose header came in time has all the time it likes after.
func TestOpenInTime(t *testing.T) {
	const timeout = time.Second
	e := newEcho(t, Options{ProxyFrom: networks(t, localhost), HandshakeTimeout: timeout})
	c := e.dial(t)
	for deadline := time.Now().Add(30 * time.Second); sendBehind(c, header(t, 2, "203.0.113.7"), "ping") != nil; c = e.dial(t) {
		if time.Now().After(deadline) {
			t.Fatal("no connection was opened in time")
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(timeout + timeout/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection was closed by the time for opening: %v", err)
	}
}

// TestNothingBeforeHTTP: a plain connection is the kernel's own.
func TestNothingBeforeHTTP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewListener(ln, Options{ProxyFrom: networks(t, "203.0.113.0/24")})
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
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("it is a %T", c)
	}
}

// FuzzOpen: whatever a front end sends, the connection either says nothing, or says all that
// stands behind the header.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"", "PROXY UNKNOWN\r\n", header(f, 1, "203.0.113.7"), header(f, 2, "2001:db8::7"), v2(0x20, 0, ""), v2(0x21, 0x11, "x"), "GET / HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	l := &Listener{timeout: time.Hour, metrics: newMetrics(Options{})}
	f.Fuzz(func(t *testing.T, sent []byte) {
		for _, valid := range []bool{false, true} {
			text := sent
			if valid {
				text = append([]byte(header(t, 2, "203.0.113.7")), sent...)
			}
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Write(text)
				theirs.Close()
			}()
			c := newConn(ours, true, nil, l)
			got, err := io.ReadAll(c)
			if err != nil && c.opened {
				t.Errorf("%v", err)
			}
			if valid && string(got) != string(sent) || !strings.HasSuffix(string(text), string(got)) || !c.opened && len(got) > 0 {
				t.Errorf("%q came as %q", text, got)
			}
			c.Close()
			theirs.Close()
		}
	})
}
