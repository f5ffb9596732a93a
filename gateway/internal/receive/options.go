package receive

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/edge"
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
	DefaultMaxWaitingBytes   = 256 << 20
	DefaultReadTimeout       = 10 * time.Second
	DefaultWriteTimeout      = 10 * time.Second
	DefaultIdleTimeout       = 2 * time.Minute

	DefaultAuthFailuresPerSecond = 20
)

// appender is what receive needs of the journal; *journal.Journal is one. See there for
// what the methods promise.
type appender interface {
	Append(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error)
	TryAppend(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error)
	Wait(t journal.Ticket, level journal.Level) error
	Notify(t journal.Ticket, w *journal.Waiter) bool
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

	// AuthFailuresPerSecond is how many requests of one source may fail authentication, five
	// seconds' worth at once; more are refused as guessing. Below 0: any number.
	AuthFailuresPerSecond float64
	TrustedProxies        edge.Networks               // whose X-Forwarded-For is believed; the zero value: nobody's
	AllowedSources        *reload.File[edge.Networks] // who may send requests at all; nil: everybody

	RequestTimeWindow time.Duration // how far RequestTime may be from the time here, both ways

	MaxBodyBytes   int
	MaxHeaderBytes int // request line and headers
	MaxInFlight    int // callbacks between append and answer, of those that wait; a tenth is for routes with reserve
	MaxConnections int

	// MaxWaitingBytes bounds the bytes of bodies that are being read and were not handled yet,
	// of all connections together. Bodies that fit into the reader's buffer are not counted.
	MaxWaitingBytes int64

	ReadTimeout  time.Duration // of a whole request, from its first byte; on a new connection from its start
	WriteTimeout time.Duration // of one answer
	IdleTimeout  time.Duration // between two requests of a connection

	// TopicFull says that a topic refuses and that what is parked for it has no room left:
	// its callbacks are not taken. It is called for every callback that is kept and must
	// not block. nil: never.
	TopicFull func(topic string) bool

	// Quarantine is told of each callback that is refused for its Sign, for RequestTime, or
	// because its app is unknown, and that a route would keep. It is called before the answer,
	// must not block, and must copy what it keeps. nil: nobody.
	Quarantine func(*Refused)

	Now     func() time.Time      // nil: the time at which the request was there
	Log     *zap.Logger           // nil: none
	Metrics prometheus.Registerer // nil: none
}

// complete fills in the defaults.
func (o *Options) complete() error {
	if o.Journal == nil || o.Apps == nil || o.Routes == nil {
		return errors.New("receive needs a journal, apps and routes")
	}
	setDefault(&o.RequestTimeWindow, DefaultRequestTimeWindow)
	setDefault(&o.AuthFailuresPerSecond, DefaultAuthFailuresPerSecond)
	setDefault(&o.MaxBodyBytes, DefaultMaxBodyBytes)
	setDefault(&o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	setDefault(&o.MaxInFlight, DefaultMaxInFlight)
	setDefault(&o.MaxConnections, DefaultMaxConnections)
	setDefault(&o.MaxWaitingBytes, DefaultMaxWaitingBytes)
	setDefault(&o.ReadTimeout, DefaultReadTimeout)
	setDefault(&o.WriteTimeout, DefaultWriteTimeout)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.Log, zap.NewNop())
	if o.MaxBodyBytes < 0 || o.MaxHeaderBytes < 0 || o.MaxInFlight < 0 || o.MaxConnections < 0 || o.MaxWaitingBytes < 0 || o.RequestTimeWindow < 0 {
		return fmt.Errorf("negative limit: body %d, headers %d, in flight %d, connections %d, waiting %d, window %v",
			o.MaxBodyBytes, o.MaxHeaderBytes, o.MaxInFlight, o.MaxConnections, o.MaxWaitingBytes, o.RequestTimeWindow)
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
