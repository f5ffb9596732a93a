package receive

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// Receiver takes callbacks over HTTP. Its methods may be called from any goroutine.
type Receiver struct {
	journal       appender
	routes        *reload.File[*Routes]
	accounts      *accounts
	guessing      *guessing // nil: no limit
	path          string
	gateway       []byte
	acceptUnknown bool
	sources       sources
	window        time.Duration
	topicFull     func(string) bool
	quarantine    func(*Refused)   // nil: nobody
	clock         func() time.Time // nil: the process's
	started       time.Time        // zero of the buckets' clock

	inFlight       inFlight
	waiting        waiting
	freeBytes      int64                   // what a request may read without a share of waiting
	mostBytes      int64                   // what one request may have on the wire
	hasRoom        func(reserve bool) bool // of the journal; nil: not known
	leaving        atomic.Bool             // every answer closes its connection
	draining       atomic.Bool             // every request is refused
	maxConnections int
	timeouts       timeouts
	requests       sync.Pool                // of *request
	made           atomic.Uint32            // how many of these, see request.part
	composers      sync.Pool                // of *composer
	date           atomic.Pointer[dateLine] // see appendOK
	server         *fasthttp.Server
	metrics        *metrics
	log            *zap.Logger
	oddLine        sampler // of the log: what the journal's errors should not be

	mu       sync.Mutex
	listener *listener // of Serve, nil before; guarded by mu
}

// New returns a Receiver that is ready to serve. It starts nothing. It hooks itself to
// o.Apps, so the Receiver lives as long as that does.
func New(o Options) (*Receiver, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	r := &Receiver{
		journal:        o.Journal,
		routes:         o.Routes,
		guessing:       newGuessing(o.AuthFailuresPerSecond),
		path:           o.Path,
		gateway:        []byte(o.GatewayName),
		acceptUnknown:  o.AcceptUnknown,
		sources:        sources{trusted: o.TrustedProxies, allowed: o.AllowedSources},
		window:         o.RequestTimeWindow,
		topicFull:      o.TopicFull,
		quarantine:     o.Quarantine,
		clock:          o.Now,
		started:        time.Now(),
		inFlight:       inFlight{limit: int64(o.MaxInFlight)},
		waiting:        waiting{limit: o.MaxWaitingBytes},
		freeBytes:      2 * int64(o.MaxHeaderBytes), // the reader's buffer, and a body as long
		maxConnections: o.MaxConnections,
		timeouts:       timeouts{read: o.ReadTimeout, idle: o.IdleTimeout, write: o.WriteTimeout},
		mostBytes:      2 * int64(o.MaxHeaderBytes+o.MaxBodyBytes),
		log:            o.Log,
		metrics:        newMetrics(o.Metrics, func() int { return o.Apps.Get().Unsigned() }),
	}
	if r.clock != nil {
		r.started = r.clock()
	}
	r.accounts = newAccounts(r.clockTime)
	if j, ok := o.Journal.(interface{ HasRoom(reserve bool) bool }); ok {
		r.hasRoom = j.HasRoom
	}
	r.requests.New, r.composers.New = r.newRequest, newComposer
	r.server = r.newServer(&o)
	// The hook first: a reload between the two must not be missed.
	reloaded := func(*apps.Snapshot) { r.accounts.reload(o.Apps.Get()) }
	o.Apps.OnChange(reloaded)
	reloaded(nil)
	o.Routes.OnChange(r.logRoutes)
	r.logRoutes(o.Routes.Get())
	return r, nil
}

// logRoutes says what is kept and what is dropped.
func (r *Receiver) logRoutes(routes *Routes) {
	r.log.Info("routes in use, the first match holds", zap.Strings("routes", routes.Lines()))
	for _, warning := range routes.Warnings() {
		r.log.Warn("route may not do what is meant", zap.String("warning", warning))
	}
}

// now returns the time at which the request was complete.
func (r *Receiver) now(ctx *fasthttp.RequestCtx) time.Time {
	if r.clock != nil {
		return r.clock()
	}
	return ctx.Time()
}

// clockTime is the time now.
func (r *Receiver) clockTime() time.Time {
	if r.clock != nil {
		return r.clock()
	}
	return time.Now()
}

// Sent says whether the app with that SdkAppid sent a callback within the time before now: one
// that was answered 200, or refused although its Sign was right or the app has no tokens. It knows
// of this process's life only: a restart forgets.
func (r *Receiver) Sent(id int64, within time.Duration) bool {
	acc, ok := r.accounts.find(id)
	if !ok {
		return false
	}
	at := acc.ledger.sent()
	return at != 0 && r.clockTime().Sub(time.UnixMilli(at)) < within
}

func (r *Receiver) since(t time.Time) time.Duration {
	if r.clock != nil {
		return r.clock().Sub(t)
	}
	return time.Since(t)
}

// Serve accepts connections of ln until Shutdown, which returns nil here, or until ln fails
// for good. It closes ln. One listener per Receiver; after Shutdown it returns at once.
func (r *Receiver) Serve(ln net.Listener) error {
	l := newListener(ln, r)
	go l.conns.keep(l.closed) // ends after the last connection; Shutdown waits for it
	var teller sync.WaitGroup
	teller.Go(func() { r.tellLeftOut(l.closed) })
	defer func() {
		_ = l.Close()
		teller.Wait()
		l.spare.release() // Accept is over by then
	}()
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	if r.draining.Load() {
		return nil
	}
	if err := r.server.Serve(l); err != nil {
		return fmt.Errorf("accept callbacks on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Leave has every further answer close its connection, so that clients which keep theirs
// open move to another gateway without a request being cut or refused. Callbacks go on
// being taken. It is for the time between readiness false and Shutdown.
func (r *Receiver) Leave() { r.leaving.Store(true) }

// Shutdown refuses new requests (503 draining), closes the listener, and waits until
// everything in flight is answered, or until ctx ends, which is its error. Idle connections
// are closed when half a second has brought no request: what was sent before the listener
// closed is answered. What was appended stays appended either way.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.Leave()
	r.draining.Store(true)
	defer r.logLeftOut(true)
	r.mu.Lock()
	l := r.listener
	r.mu.Unlock()
	if l != nil {
		// Ours before fasthttp's: that does not know a listener whose Serve has only begun.
		if err := l.Close(); err != nil {
			r.log.Warn("listener was not closed cleanly", zap.Error(err))
		}
		select {
		case <-l.conns.leave(lastWord):
		case <-ctx.Done():
			// Not fasthttp: what it would close waits for the answers that it holds.
			return fmt.Errorf("answer %d callbacks in flight: %w", r.inFlight.now.Load(), ctx.Err())
		}
	}
	if err := r.server.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("answer %d callbacks in flight: %w", r.inFlight.now.Load(), err)
	}
	if l != nil {
		select {
		case <-l.conns.kept:
		case <-ctx.Done(): // nothing is in flight: no error
		}
	}
	return nil
}
