package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestShutdown: what is in flight is answered, what comes after is refused, and the
// listener is gone.
func TestShutdown(t *testing.T) {
	g := newServing(t, func(o *Options) {
		j := o.Journal.(*fakeJournal)
		j.waiting, j.gate = make(chan struct{}), make(chan struct{})
	})
	inFlight, later := g.dial(t), g.dial(t)
	later.send("POST / HTTP/1.1\r\n") // a request on its way
	inFlight.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); !g.draining.Load() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	later.send("Host: h\r\nContent-Length: 2\r\n\r\n{}")
	later.read("POST").wantRefusal(t, refusedDraining)
	select {
	case err := <-done:
		t.Fatalf("shutdown came back (%v) with a callback in flight", err)
	default:
	}
	close(g.journal.gate)
	got := inFlight.read("POST")
	got.wantOK(t)
	inFlight.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", g.addr); err == nil {
		_ = conn.Close()
		t.Error("the listener still accepts")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	g := newServing(t, func(o *Options) {
		j := o.Journal.(*fakeJournal)
		j.waiting, j.gate = make(chan struct{}), make(chan struct{})
	})
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	<-g.journal.waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	close(g.journal.gate)
	c.read("POST").wantOK(t) // answered all the same
}

// TestShutdownBeforeServe: whichever comes first, both return.
func TestShutdownBeforeServe(t *testing.T) {
	for range 50 {
		g := newGate(t, nil)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- g.Serve(ln) }()
		if err := g.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
	}
}

// TestLeave: callbacks are taken, and each answer sends its connection elsewhere.
func TestLeave(t *testing.T) {
	g := newServing(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, "Drop.X"), "{}"))
	if got := c.read("POST"); got.close {
		t.Error("closed before there was a reason")
	}
	g.Leave()
	c.send(post(target(unsignedApp, "Drop.X"), "{}"))
	got := c.read("POST")
	got.wantOK(t)
	if !got.close {
		t.Error("the answer does not say that the connection is closed")
	}
	c.closed()
}

// TestIdleTimeout: a silent kept-alive connection is closed without a word.
func TestIdleTimeout(t *testing.T) {
	g := newServing(t, func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	c.read("POST").wantOK(t)
	c.closed()
}

// TestTooManyConnections: one too many is told so, in the envelope, and a place that
// becomes free can be used.
func TestTooManyConnections(t *testing.T) {
	g := newServing(t, func(o *Options) { o.MaxConnections = 2 })
	var open []*client
	for range 2 {
		c := g.dial(t)
		c.send(post(target(unsignedApp, "Drop.X"), "{}"))
		c.read("POST").wantOK(t)
		open = append(open, c)
	}
	one := g.dial(t)
	got := one.read("POST")
	got.header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // nobody formats one here
	got.wantRefusal(t, refusedConnections)
	_ = open[0].conn.Close()
	deadline := time.Now().Add(10 * time.Second)
	for g.server.GetOpenConnectionsCount() > 1 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	g.exchange(t, post(target(unsignedApp, "Drop.X"), "{}")).wantOK(t)
	if n := gather(t, g, "tidegate_gateway_callbacks_total")["connections refused "]; n != 1 {
		t.Errorf("%v refused connections were counted, want 1", n)
	}
}

// failingListener fails its first accepts with err.
type failingListener struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		l.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	l.mu.Unlock()
	return l.Listener.Accept()
}

// TestAcceptGoesOn: no file descriptors for a while is not the end of the server.
func TestAcceptGoesOn(t *testing.T) {
	g := newGate(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() {
		done <- g.Serve(&failingListener{Listener: ln, errs: []error{syscall.EMFILE, syscall.ECONNABORTED, syscall.ENFILE}})
	}()
	g.exchange(t, post(target(unsignedApp, alarm), "{}")).wantOK(t)
	if err := g.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAcceptFailsForGood(t *testing.T) {
	g := newGate(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(&failingListener{Listener: ln, errs: []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want EINVAL", err)
	}
}

// TestCloseDuringPause: Shutdown does not wait for the pause after a failed accept.
func TestCloseDuringPause(t *testing.T) {
	g := newGate(t, nil)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := newListener(inner, g.Receiver)
	done := make(chan bool, 1)
	go func() { done <- ln.wait(time.Hour) }()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if <-done {
		t.Error("the pause went on to its end")
	}
	if err := ln.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestRefusalOf holds the errors of fasthttp to their refusals, by type and not by text.
func TestRefusalOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want refusal
	}{
		{&fasthttp.ErrSmallBuffer{}, refusedHeaderSize},
		{fmt.Errorf("reading: %w", fasthttp.ErrBodyTooLarge), refusedBodySize},
		{fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), refusedTimeout},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, refusedTimeout},
		{io.ErrUnexpectedEOF, refusedHTTP},
		{syscall.ECONNRESET, refusedHTTP},
	} {
		if got := refusalOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// TestLogsTellNoSecrets sends what makes fasthttp and us complain, with a secret in every
// place, and looks for it in the log at its most talkative.
func TestLogsTellNoSecrets(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	g := newServing(t, func(o *Options) {
		o.Log = zap.New(core)
		o.ReadTimeout = 100 * time.Millisecond
	})
	for _, raw := range []string{
		"POST /?s3cret HTTP/1.1\r\nHost: h\r\nX s3cret\r\n\r\n",
		"s3cret\r\n\r\n",
		"POST /?Sign=s3cret HTTP/7.1\r\n\r\n",
		"POST /?Sign=s3cret HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: s3cret\r\n\r\n",
		"POST /?Sign=s3cret HTTP/1.1\r\nHost: h\r\nContent-Le",
		post(target(signedApp, alarm)+"&RequestTime=1669872112&Sign=s3cret", "s3cret"),
		post(target(unsignedApp, "C2C.CallbackBeforeX")+"&x=s3cret", "s3cret"),
	} {
		g.exchange(t, raw)
	}
	if logs.Len() == 0 {
		t.Fatal("nothing was logged, so nothing was tested")
	}
	for _, e := range logs.All() {
		if text := fmt.Sprintf("%s %v", e.Message, e.ContextMap()); strings.Contains(text, "s3cret") || strings.Contains(text, vectorToken) {
			t.Errorf("logged: %s", text)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no journal":             func(o *Options) { o.Journal = nil },
		"no apps":                func(o *Options) { o.Apps = nil },
		"no routes":              func(o *Options) { o.Routes = nil },
		"a path without a slash": func(o *Options) { o.Path = "im" },
		"a negative body limit":  func(o *Options) { o.MaxBodyBytes = -1 },
		"a negative window":      func(o *Options) { o.RequestTimeWindow = -time.Second },
	} {
		g := newGate(t, nil)
		o := Options{Journal: g.journal, Apps: fixedApps(t), Routes: g.routes}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
