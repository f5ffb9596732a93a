package edge

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/internal/reload"
)

// DefaultHandshakeTimeout is for a PROXY header and a TLS handshake together. A front end sends
// the header at once, and a handshake takes two round trips.
const DefaultHandshakeTimeout = 5 * time.Second

// Options say what stands before the first byte of HTTP. The zero value is: nothing.
type Options struct {
	Certificate *reload.File[*Certificate] // nil: no TLS
	ClientCA    *reload.File[*ClientCA]    // nil: no client certificate is asked for; needs Certificate

	ProxyFrom Networks // front ends, which send a PROXY header and must

	HandshakeTimeout time.Duration         // from accept; 0: DefaultHandshakeTimeout
	Metrics          prometheus.Registerer // nil: none
}

// Listener accepts connections as Options have them.
type Listener struct {
	net.Listener
	proxyFrom Networks
	timeout   time.Duration
	tls       atomic.Pointer[tls.Config] // nil: no TLS; replaced by reloads, never changed
	metrics   *metrics

	mu sync.Mutex // one refresh at a time
}

// NewListener returns a Listener over ln, which it owns from here on. It hooks itself to the
// files of o, so it lives as long as they do. It starts no goroutine.
func NewListener(ln net.Listener, o Options) *Listener {
	l := &Listener{Listener: ln, proxyFrom: o.ProxyFrom, timeout: o.HandshakeTimeout, metrics: newMetrics(o)}
	if l.timeout == 0 {
		l.timeout = DefaultHandshakeTimeout
	}
	if o.Certificate == nil {
		return l
	}
	refresh := func() { l.refresh(o) }
	// The hooks first: a reload between the two must not be missed.
	o.Certificate.OnChange(func(*Certificate) { refresh() })
	if o.ClientCA != nil {
		o.ClientCA.OnChange(func(*ClientCA) { refresh() })
	}
	refresh()
	return l
}

// refresh takes over what the files hold now. Each is reloaded in a goroutine of its own, and the
// last one here sees both.
func (l *Listener) refresh(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ca *ClientCA
	if o.ClientCA != nil {
		ca = o.ClientCA.Get()
	}
	l.tls.Store(newConfig(o.Certificate.Get(), ca))
}

// newConfig returns TLS as it stands on the internet. Cipher suites, curves and session tickets
// are Go's: they follow what is known of them with each release. Ticket keys belong to the
// config, so that nobody resumes a session into another one's client CA.
func newConfig(c *Certificate, ca *ClientCA) *tls.Config {
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{c.pair},
		NextProtos:   []string{"http/1.1"},
	}
	if ca != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	}
	return config
}

// Accept returns the next connection, and waits for none of its bytes: a *Conn where something
// stands before HTTP, else what the listener below gave.
func (l *Listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	proxied := l.proxyFrom.Contains(Peer(raw.RemoteAddr()))
	config := l.tls.Load()
	if !proxied && config == nil {
		return raw, nil
	}
	return newConn(raw, proxied, config, l), nil
}
