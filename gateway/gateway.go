package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// clientID is how the gateway presents itself to Kafka.
const clientID = "tidegate-gateway"

// loggedApps bounds the ids in one line of the start log.
const loggedApps = 50

// gateway is the graph of one running gateway. The process owns what is in it: each part
// has its stop step there, in the order of the methods of open. The two halves, receiving
// and delivering, meet only in the journal.
type gateway struct {
	set   *settings
	seams seams
	log   *zap.Logger
	p     *process.Process
	reg   *prometheus.Registry
	ready *process.Readiness
	admin *process.Admin

	apps     *reload.File[*apps.Snapshot]
	routes   *reload.File[*receive.Routes]
	delivery *delivery // journals, Kafka, forwarder
	absorber *absorber // the journal, for the receiver
	receiver *receive.Receiver
	edge     edgeFiles

	secondLook *secondLook // at what was refused

	listener  net.Listener // of callbacks
	accepting atomic.Bool  // from binding until serve ends
}

// seams are what tests have otherwise than a real gateway, where all of it is zero.
type seams struct {
	fs         journal.FS    // of both journals; nil: the real one
	topicGrace time.Duration // see produce.Options
	topicRetry time.Duration // see TopicRetryMin and TopicRetryMax of forward.Options
}

// open builds and starts the gateway: files, journal and recovery, Kafka, listener, ready.
// Kafka need not be there. On an error, p's stop steps undo what was done. Stop steps run
// in reverse: readiness, the last answers, the drain, Kafka, the journals.
func open(p *process.Process, set *settings, log *zap.Logger) (*gateway, error) {
	return openWith(p, set, seams{}, log)
}

func openWith(p *process.Process, set *settings, with seams, log *zap.Logger) (*gateway, error) {
	g := &gateway{set: set, seams: with, log: log, p: p, reg: prometheus.NewRegistry(), ready: new(process.Readiness)}
	log.Info("gateway starting", zap.String("version", process.Version()), zap.String("gateway_name", set.GatewayName),
		zap.String("apps", process.Absolute(set.Apps)), zap.String("routes", pathOrNone(set.Routes)), zap.String("journal_dir", process.Absolute(set.JournalDir)))
	for _, step := range []func() error{g.openAdmin, g.openFiles, g.openEdgeFiles, g.openQuarantine, g.openDelivery, g.startQuarantine, g.openControl, g.openReceiver} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	g.addChecks()
	g.p.OnStop("readiness", g.leave)
	g.logStart()
	return g, nil
}

// pathOrNone is absolute for a flag that may be absent.
func pathOrNone(path string) string {
	if path == "" {
		return ""
	}
	return process.Absolute(path)
}

// openAdmin comes first, so that a long recovery can be watched, and is closed last.
func (g *gateway) openAdmin() error {
	admin, err := process.NewAdmin(g.set.AdminListen, g.reg, g.ready, g.log)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	g.admin = admin
	g.p.Go("admin", admin.Run)
	return nil
}

// openFiles reads apps.yaml and routes.yaml and keeps them fresh.
func (g *gateway) openFiles() (err error) {
	o := reload.Options{Log: g.log, Metrics: g.reg}
	if g.apps, err = reload.Open("apps", g.set.Apps, apps.Parser(apps.Options{ResolveTokens: true}), o); err != nil {
		return err
	}
	g.apps.SetGuard(apps.Guard(func(int64) bool { return false })) // until there is a receiver, none sent
	g.p.Go("apps file", g.apps.Run)
	g.p.OnHangup(func() { _, _ = g.apps.Reload() }) // says itself what is wrong
	if g.set.Routes == "" {
		g.routes = reload.Fixed("routes", receive.DefaultRoutes(g.set.routeOptions()))
		return nil
	}
	if g.routes, err = reload.Open("routes", g.set.Routes, receive.ParseRoutes(g.set.routeOptions()), o); err != nil {
		return err
	}
	g.routes.SetGuard(receive.GuardRoutes)
	g.p.Go("routes file", g.routes.Run)
	g.p.OnHangup(func() { _, _ = g.routes.Reload() })
	return nil
}

// openDelivery opens the journals and starts delivering what they hold.
func (g *gateway) openDelivery() (err error) {
	g.delivery, err = openDelivery(g.p, deliveryOptions{
		journal: journal.Options{
			Dir: g.set.JournalDir, MaxBytes: int64(g.set.JournalMaxBytes), Retain: g.set.retain(),
			AckDeadline: g.set.AckDeadline, MaxPayload: g.set.maxPayload(),
		},
		parkedDir: g.set.parkedDir(), parkedMaxBytes: int64(g.set.ParkedMaxBytes),
		kafka: g.set.Kafka, produce: g.set.Produce, topics: g.routes.Get().Topics(), seams: g.seams, log: g.log, metrics: g.reg,
	})
	if err != nil {
		return err
	}
	g.p.OnStop("drain", func(ctx context.Context) error {
		g.delivery.drain(ctx, g.set.DrainTimeout)
		return nil
	})
	return nil
}

// openControl serves the control socket. It is closed after the last answer and before the
// drain: from then on nothing changes what is delivered.
func (g *gateway) openControl() error {
	openControl(g.p, g.delivery, g.set.JournalDir, g.log.Named("control"), g.secondLook.handle)
	return nil
}

// openReceiver binds --listen and starts taking callbacks.
func (g *gateway) openReceiver() (err error) {
	g.absorber = &absorber{Journal: g.delivery.journal}
	g.receiver, err = receive.New(receive.Options{
		Journal: g.absorber, Apps: g.apps, Routes: g.routes,
		Path: g.set.Path, GatewayName: g.set.GatewayName, AcceptUnknown: g.set.UnknownApps == "accept",
		AuthFailuresPerSecond: g.set.authFailures(), TrustedProxies: g.set.Edge.TrustedProxies, AllowedSources: g.edge.sources,
		RequestTimeWindow: g.set.RequestTimeWindow, MaxBodyBytes: int(g.set.MaxBodyBytes), MaxConnections: g.connections(), MaxWaitingBytes: int64(g.set.MaxWaitingBytes),
		TopicFull: g.delivery.forwarder.TopicRefused, Quarantine: g.secondLook.hook(), Log: g.log, Metrics: g.reg,
	})
	if err != nil {
		return err
	}
	g.apps.SetGuard(apps.Guard(func(id int64) bool { return g.receiver.Sent(id, apps.Recently) }))
	if g.listener, err = g.listen(); err != nil {
		return err
	}
	g.admin.Handle("GET /apps", g.receiver.AppsPage())
	g.accepting.Store(true) // from here on the system takes connections, serve is about to
	g.p.Go("callbacks", g.serve)
	return nil
}

// serve takes callbacks until ctx ends, and then answers those in flight.
func (g *gateway) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- g.receiver.Serve(g.listener) }()
	defer g.accepting.Store(false)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(g.set.AckDeadline))
	defer cancel()
	err := g.receiver.Shutdown(stop)
	g.listener.Close() // Shutdown does not know it yet when the stop came right after the start
	select {
	case late := <-served: // no news: the listener was closed above
		g.log.Debug("callbacks listener closed", zap.NamedError("reason", late))
	case <-stop.Done():
	}
	return err
}

// leave takes the gateway out of its load balancer and waits until that has noticed.
// Callbacks go on being taken meanwhile.
func (g *gateway) leave(ctx context.Context) error {
	g.ready.Draining(true)
	g.receiver.Leave()
	if g.set.ShutdownDelay == 0 {
		return nil
	}
	select {
	case <-time.After(g.set.ShutdownDelay):
	case <-ctx.Done():
	}
	return nil
}

// logStart says what an operator should not have to find out: where the gateway listens,
// and whose callbacks anyone could forge. Routes and journals have said theirs.
func (g *gateway) logStart() {
	g.log.Warn("blocking callbacks (.CallbackBefore, .CallbackPrev) are answered OK, which allows what they ask about, where no route has an answer")
	g.log.Info("gateway ready", zap.String("listen", g.listener.Addr().String()), zap.String("path", g.set.Path),
		zap.String("admin", g.admin.Addr()), zap.Int("apps", g.apps.Get().Len()), zap.Stringer("ack", g.set.Ack),
		zap.Strings("topics", g.routes.Get().Topics()), zap.String("unknown_apps", g.set.UnknownApps))
	g.logEdge()
	unsigned := func(s *apps.Snapshot) {
		if s.Unsigned() > 0 {
			g.log.Warn("apps without a token: anyone who knows the URL can send callbacks in their name",
				zap.Int("count", s.Unsigned()), zap.Strings("first", unsignedApps(s, loggedApps)))
		}
	}
	unsigned(g.apps.Get())
	g.apps.OnChange(unsigned)
	if g.set.UnknownApps == "accept" {
		g.log.Warn("callbacks of apps that are not listed are accepted, unsigned")
	}
}

// unsignedApps returns the ids and names of at most limit apps without a token.
func unsignedApps(s *apps.Snapshot, limit int) (list []string) {
	for app := range s.All() {
		if len(app.Tokens) == 0 && len(list) < limit {
			list = append(list, strconv.FormatInt(app.ID, 10)+" "+app.Name)
		}
	}
	return list
}
