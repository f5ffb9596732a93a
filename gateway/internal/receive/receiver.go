package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// Defaults of Options.
const (
	DefaultRequestTimeWindow = 300 * time.Second
	DefaultMaxBodyBytes      = 256 << 10
	DefaultMaxHeaderBytes    = 8 << 10
	DefaultMaxInFlight       = 8192
	DefaultMaxConnections    = 16384
	DefaultReadTimeout       = 10 * time.Second
	DefaultWriteTimeout      = 10 * time.Second
	DefaultIdleTimeout       = 2 * time.Minute
)

// appender is what receive needs of the journal; *journal.Journal is one. See there for
// what the methods promise.
type appender interface {
	Append(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error)
	Wait(t journal.Ticket, level journal.Level) error
}

// Options are what New needs. Journal, Apps and Routes must be given; the zero value of
// everything else is its default.
type Options struct {
	Journal appender
	Apps    *reload.File[*apps.Snapshot] // with tokens resolved
	Routes  *reload.File[*Routes]

	Path          string // the only path at which callbacks are taken; empty: any
	GatewayName   string // ce_gateway
	AcceptUnknown bool   // apps that are not in the apps file are let in, with its defaults

	RequestTimeWindow time.Duration  // how far RequestTime may be from the time here, both ways
	AlarmRate         apps.RateLimit // of each app's quota alarms, apart from its rate_limit

	MaxBodyBytes   int
	MaxHeaderBytes int // request line and headers
	MaxInFlight    int // callbacks between append and answer; a tenth is for routes with reserve
	MaxConnections int

	ReadTimeout  time.Duration // of a whole request, from its first byte; on a new connection from its start
	WriteTimeout time.Duration // of one answer
	IdleTimeout  time.Duration // between two requests of a connection

	// TopicFull says that a topic refuses and that what is parked for it has no room left:
	// its callbacks are not taken. It is called for every callback that is kept and must
	// not block. nil: never.
	TopicFull func(topic string) bool

	Now     func() time.Time      // nil: the time at which fasthttp had the request
	Log     *zap.Logger           // nil: none
	Metrics prometheus.Registerer // nil: none
}

// complete fills in the defaults.
func (o *Options) complete() error {
	if o.Journal == nil || o.Apps == nil || o.Routes == nil {
		return errors.New("receive needs a journal, apps and routes")
	}
	setDefault(&o.RequestTimeWindow, DefaultRequestTimeWindow)
	setDefault(&o.AlarmRate, DefaultAlarmRate)
	setDefault(&o.MaxBodyBytes, DefaultMaxBodyBytes)
	setDefault(&o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	setDefault(&o.MaxInFlight, DefaultMaxInFlight)
	setDefault(&o.MaxConnections, DefaultMaxConnections)
	setDefault(&o.ReadTimeout, DefaultReadTimeout)
	setDefault(&o.WriteTimeout, DefaultWriteTimeout)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.Log, zap.NewNop())
	if o.MaxBodyBytes < 0 || o.MaxHeaderBytes < 0 || o.MaxInFlight < 0 || o.MaxConnections < 0 || o.RequestTimeWindow < 0 {
		return fmt.Errorf("negative limit: body %d, headers %d, in flight %d, connections %d, window %v",
			o.MaxBodyBytes, o.MaxHeaderBytes, o.MaxInFlight, o.MaxConnections, o.RequestTimeWindow)
	}
	if o.Path != "" && o.Path[0] != '/' {
		return fmt.Errorf("path %q does not begin with a slash", o.Path)
	}
	return nil
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Receiver takes callbacks over HTTP. Its methods may be called from any goroutine.
type Receiver struct {
	journal       appender
	routes        *reload.File[*Routes]
	accounts      *accounts
	path          string
	gateway       []byte
	acceptUnknown bool
	window        time.Duration
	alarmRate     apps.RateLimit
	topicFull     func(string) bool
	clock         func() time.Time // nil: fasthttp's
	started       time.Time        // zero of the buckets' clock

	inFlight       inFlight
	leaving        atomic.Bool // every answer closes its connection
	draining       atomic.Bool // every request is refused
	maxConnections int
	requests       sync.Pool // of *request
	server         *fasthttp.Server
	metrics        *metrics
	log            *zap.Logger

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
		accounts:       newAccounts(),
		path:           o.Path,
		gateway:        []byte(o.GatewayName),
		acceptUnknown:  o.AcceptUnknown,
		window:         o.RequestTimeWindow,
		alarmRate:      o.AlarmRate,
		topicFull:      o.TopicFull,
		clock:          o.Now,
		started:        time.Now(),
		inFlight:       inFlight{limit: int64(o.MaxInFlight)},
		maxConnections: o.MaxConnections,
		log:            o.Log,
		metrics:        newMetrics(o.Metrics, func() int { return o.Apps.Get().Unsigned() }),
	}
	if r.clock != nil {
		r.started = r.clock()
	}
	r.requests.New = r.newRequest
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

func (r *Receiver) since(t time.Time) time.Duration {
	if r.clock != nil {
		return r.clock().Sub(t)
	}
	return time.Since(t)
}

// Server returns the configured server, for those who serve TLS or single connections.
func (r *Receiver) Server() *fasthttp.Server { return r.server }

// Serve accepts connections of ln until Shutdown, which returns nil here, or until ln fails
// for good. It closes ln. One listener per Receiver; after Shutdown it returns at once.
func (r *Receiver) Serve(ln net.Listener) error {
	l := newListener(ln, r)
	defer func() { _ = l.Close() }()
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

// Shutdown refuses new requests (503 draining), closes the listener and idle connections,
// and waits until everything in flight is answered, or until ctx ends, which is its error.
// What was appended stays appended either way.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.draining.Store(true)
	r.mu.Lock()
	l := r.listener
	r.mu.Unlock()
	if l != nil {
		// Ours before fasthttp's: that does not know a listener whose Serve has only begun.
		if err := l.Close(); err != nil {
			r.log.Warn("listener was not closed cleanly", zap.Error(err))
		}
	}
	if err := r.server.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("answer %d callbacks in flight: %w", r.inFlight.now.Load(), err)
	}
	return nil
}
