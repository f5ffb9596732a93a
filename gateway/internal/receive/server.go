package receive

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/edge"
)

const (
	// SpareConnections is how many there may be beside MaxConnections: that are being closed,
	// which takes as long as lingerTime, or until a client under TLS has taken the end. Each has a
	// file.
	SpareConnections = 512

	// spareWorkers is by how much fasthttp's own limit of connections is above ours. It
	// refuses with plain text, so ours has to be reached first.
	spareWorkers = 2 * SpareConnections

	// lingerTime and lingerBytes bound what is read of a request that was refused before
	// it was read, so that the answer arrives: a close with unread bytes resets the
	// connection, and with it the answer.
	lingerTime  = time.Second
	lingerBytes = 4 << 20

	// lastWord is for how long after the listener was closed a connection may still bring a
	// request, which was on its way: the longest round trip that is to be expected.
	lastWord = 500 * time.Millisecond

	// Pause after an accept that failed for want of files or memory.
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// newServer returns fasthttp as it may stand on the open internet.
func (r *Receiver) newServer(o *Options) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        r.Handler,
		ErrorHandler:   r.handleError,
		HeaderReceived: r.headerReceived,
		Concurrency:    o.MaxConnections + spareWorkers,

		ReadBufferSize:     o.MaxHeaderBytes,
		MaxRequestBodySize: o.MaxBodyBytes,

		// The body is taken as it is, whatever it calls itself.
		DisablePreParseMultipartForm: true,

		// No Server header. Date stays: RFC 9110, 6.6.1, asks for it, and fasthttp
		// formats it once a second.
		NoDefaultServerHeader: true,
		ConnState:             connState, // no timeouts here: see deadline.go
		SecureErrorLogMessage: true,
		Logger:                serverLog{r.log},
	}
}

// handleError answers a request that fasthttp could not read. It is called once, and the
// connection is closed after it.
func (r *Receiver) handleError(ctx *fasthttp.RequestCtx, err error) {
	f := refusalOf(err)
	c, _ := ctx.Conn().(*conn)
	if c != nil {
		c.linger.Store(f != refusedTimeout)
		switch {
		case c.share.alien:
			f = refusedSource
		case c.share.none:
			f = refusedBusy
		}
		defer c.giveBack()
	}
	defer ctx.Request.ReleaseBody(keptBytes)
	// Only what headerReceived has seen can be marked by it: in a header that is none, the client's
	// own Content-Length stands.
	if errors.Is(err, fasthttp.ErrBodyTooLarge) && r.refuseEarly(ctx) {
		return
	}
	if f == refusedTimeout && r.draining.Load() {
		f = refusedDraining // a connection that was silent until its last word was due
	}
	r.metrics.outcomes[f].Inc()
	nobody := &r.accounts.nobody
	nobody.outcomes[f].Add(1)
	r.refuse(nobody, f, r.clockTime(), 0, r.sources.of(ctx), nil)
	answerRefusal(ctx, f, 0)
}

// refusalOf is the refusal for an error of reading a request.
func refusalOf(err error) refusal {
	if _, small := errors.AsType[*fasthttp.ErrSmallBuffer](err); small {
		return refusedHeaderSize
	}
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		return refusedBodySize
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, os.ErrDeadlineExceeded) || ok && timeout.Timeout() {
		return refusedTimeout
	}
	return refusedHTTP
}

// serverLog is fasthttp's log. Its arguments may hold parts of a request, query and Sign
// among them, so that only the constant format is logged.
type serverLog struct{ log *zap.Logger }

// Printf logs format at level debug: what matters is counted as a refusal.
func (l serverLog) Printf(format string, _ ...any) {
	l.log.Debug("http server reports", zap.String("format", format))
}

// listener accepts connections for the server: not more than there may be, and it goes on
// when the process has no files left for a while, where fasthttp would give up.
type listener struct {
	net.Listener
	receiver *Receiver
	refusal  []byte // what a connection too many is told
	spare    spare  // see files.go; used by Accept only
	conns    *connections

	acceptLine, filesLine sampler // of the log

	closeOnce sync.Once
	closed    chan struct{}
}

func newListener(ln net.Listener, r *Receiver) *listener {
	return &listener{
		Listener: ln, receiver: r, refusal: rawAnswer(refusedConnections), closed: make(chan struct{}),
		conns: newConnections(r.timeouts),
	}
}

// Accept returns the next connection that may be served.
func (l *listener) Accept() (net.Conn, error) {
	pause := minAcceptPause
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil && l.spare.open() && l.room():
			return l.conns.add(c, l.receiver), nil
		case err == nil:
			l.refuse(c)
			l.spare.open()
		case outOfFiles(err) && l.spare.release():
			l.warnOfFiles(err)
		case !passing(err):
			return nil, err
		default:
			l.warn(err, pause)
			if !l.wait(pause) {
				return nil, net.ErrClosed
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// room says whether one more connection may be served.
func (l *listener) room() bool {
	most := l.receiver.maxConnections
	return int(l.receiver.server.GetOpenConnectionsCount()) < most && l.conns.count() < most+SpareConnections
}

// count is how many connections there are, those that are being closed too.
func (s *connections) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// refuse tells a connection that it is one too many. It does not wait: the answer fits
// into the empty send buffer of a new connection, and under TLS, where a handshake would have to
// be waited for, nothing is written.
func (l *listener) refuse(c net.Conn) {
	r := l.receiver
	r.metrics.outcomes[refusedConnections].Inc()
	r.accounts.nobody.outcomes[refusedConnections].Add(1)
	r.logRefusal(&r.accounts.nobody, refusedConnections, r.clockTime(), 0, edge.Peer(c.RemoteAddr()), nil)
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(l.refusal)
	_ = c.Close()
}

// warn says that a connection could not be accepted. Clients can bring that about as often as
// they like, so that not each is a line.
func (l *listener) warn(err error, pause time.Duration) {
	r := l.receiver
	line, leftOut := l.acceptLine.check(r.log, r.clockTime(), zap.WarnLevel, "connection cannot be accepted, trying again")
	if line != nil {
		line.Write(zap.Error(err), zap.Duration("pause", pause), zap.Uint64("left_out", leftOut))
	}
}

// warnOfFiles says that the process has no file left, which is so for each connection that comes then.
func (l *listener) warnOfFiles(err error) {
	r := l.receiver
	line, leftOut := l.filesLine.check(r.log, r.clockTime(), zap.WarnLevel, "no file is left, connections are refused")
	if line != nil {
		line.Write(zap.Error(err), zap.Uint64("left_out", leftOut))
	}
}

// wait pauses, and returns false when the listener was closed meanwhile.
func (l *listener) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.closed:
		return false
	}
}

// Close stops accepting. Only the first call does anything.
func (l *listener) Close() (err error) {
	l.closeOnce.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// passing says whether an error of accept may be gone the next time: the connection was
// lost before it was accepted, or files or memory are short.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
