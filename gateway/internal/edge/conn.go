package edge

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// headerBuffer holds a PROXY header as a front end writes it, without many extensions, and
// whatever comes with it.
const headerBuffer = 512

// The most that a client may send until header and handshake are done, without and with certificates
// of its own: both several times what they need. TLS alone keeps 64 KiB of a message that never ends,
// and of client certificates four times that.
const (
	maxOpening          = 16 << 10
	maxOpeningCertified = 32 << 10
)

// Conn is a connection before whose first byte of HTTP stands a PROXY header, a TLS handshake,
// or both. Its first Read takes them.
//
// Read and Write are for one goroutine at a time each, and Write comes after the first Read;
// Close and the deadlines may be called from any, at any time.
type Conn struct {
	raw     *early    // of the kernel
	tls     *tls.Conn // over raw; nil: plain
	proxied bool      // a PROXY header comes first
	metrics *metrics

	// timeout closes the connection when opening takes too long: not a deadline, because
	// those are the server's, for requests, and may be set at any time from outside.
	timeout *time.Timer
	late    atomic.Bool // timeout has fired

	once   sync.Once // opening
	opened bool      // by Read, owned by whoever reads and writes
	closed atomic.Bool

	source atomic.Pointer[net.TCPAddr] // that the PROXY header named; nil: none
}

// early is a connection of the kernel from which more may have been read than was asked for.
type early struct {
	net.Conn
	ahead *bufio.Reader // over this; nil: nothing was
	some  bool          // the client has sent something
	open  bool          // header and handshake are done
	left  int           // bytes that the client may send until then
}

// Read reads what was read ahead, and then the connection.
func (e *early) Read(p []byte) (n int, err error) {
	if e.ahead == nil {
		n, err = e.Conn.Read(p)
		e.some = e.some || n > 0
		if e.open {
			return n, err
		}
		if e.left -= n; e.left < 0 {
			return 0, errLongOpening
		}
		return n, err
	}
	n, err = e.ahead.Read(p) // has some, so that it does not come back here
	if e.ahead.Buffered() == 0 {
		e.ahead = nil
	}
	return n, err
}

// newConn returns a connection that is closed unless it is opened in time. config nil: plain.
func newConn(raw net.Conn, proxied bool, config *tls.Config, l *Listener) *Conn {
	if tcp, ok := raw.(*net.TCPConn); ok {
		if s, err := socket.Of(tcp); err == nil {
			raw = s
		}
	}
	c := &Conn{raw: &early{Conn: raw, left: maxOpening}, proxied: proxied, metrics: l.metrics}
	if config != nil {
		c.tls = tls.Server(c.raw, config)
		if config.ClientCAs != nil {
			c.raw.left = maxOpeningCertified
		}
	}
	c.timeout = time.AfterFunc(l.timeout, func() {
		c.late.Store(true)
		_ = raw.Close() // whoever waits for it finds out
	})
	return c
}

// Read reads what follows PROXY header and handshake. The first call takes these, and returns
// io.EOF where they are not as they must be: then nothing was said.
func (c *Conn) Read(p []byte) (int, error) {
	c.once.Do(c.open)
	switch {
	case !c.opened:
		return 0, io.EOF
	case c.tls != nil:
		return c.tls.Read(p)
	}
	return c.raw.Read(p)
}

// open takes header and handshake, and counts it where that fails.
func (c *Conn) open() {
	why, err := failedHeader, error(nil)
	if c.proxied {
		err = c.readHeader()
	}
	if err == nil && c.tls != nil {
		why, err = failedTLS, c.tls.Handshake()
	}
	if c.opened = c.timeout.Stop() && err == nil; c.opened {
		c.raw.open = true
		return
	}
	switch {
	case c.late.Load() || errors.Is(err, os.ErrDeadlineExceeded):
		why = failedTimeout
	case c.closed.Load():
		return // by us
	case !c.raw.some:
		why = failedGone
	}
	c.metrics.failures[why].Inc()
}

// readHeader reads the PROXY header, version 1 or 2. A front end's own connection, such as a
// health check (LOCAL, UNKNOWN), keeps its address.
func (c *Conn) readHeader() error {
	ahead := bufio.NewReaderSize(c.raw, headerBuffer)
	header, err := proxyproto.Read(ahead)
	if err != nil {
		return err
	}
	if source, ok := header.SourceAddr.(*net.TCPAddr); ok && !header.Command.IsLocal() {
		c.source.Store(source)
	}
	if ahead.Buffered() > 0 {
		c.raw.ahead = ahead
	}
	return nil
}

// Write writes what the client shall read. Before the handshake is done it is an error: the
// client could not read it.
func (c *Conn) Write(p []byte) (int, error) {
	if c.tls == nil {
		return c.raw.Write(p)
	}
	if !c.opened {
		return 0, errNotOpen
	}
	return c.tls.Write(p)
}

// Socket returns the connection of the kernel where bytes that are written there are what the
// client reads, and nil under TLS. What is read there begins with what Read has not returned, once
// nothing is left of what came with a PROXY header.
func (c *Conn) Socket() *socket.Conn {
	if c.tls != nil {
		return nil
	}
	s, _ := c.raw.Conn.(*socket.Conn)
	return s
}

// RemoteAddr returns the address that the PROXY header named once that was read, and else the
// connection's other end.
func (c *Conn) RemoteAddr() net.Addr {
	if source := c.source.Load(); source != nil {
		return source
	}
	return c.raw.RemoteAddr()
}

// CloseWrite tells the client that nothing more comes, in TLS too. What it still sends can be
// read.
func (c *Conn) CloseWrite() error {
	if c.tls != nil {
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	if half, ok := c.raw.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection; under TLS it says so to the client, which is tried for 5 s at
// most where the client takes nothing.
func (c *Conn) Close() error {
	c.closed.Store(true)
	c.timeout.Stop()
	if c.tls != nil {
		return c.tls.Close()
	}
	return c.raw.Close()
}

// LocalAddr returns our end's address.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// SetDeadline sets both deadlines of the connection below. One that passes before the connection is
// open ends it.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline is SetDeadline for reading.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline is SetDeadline for writing. Under TLS nothing can be written any more once
// one has passed.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }
