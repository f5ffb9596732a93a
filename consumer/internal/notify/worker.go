package notify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/store"
)

const (
	// lookEvery is how long a notice lies before it is found, at most: one read of an index
	// that is nearly always empty.
	lookEvery = 250 * time.Millisecond

	// routeLimit bounds what is routed in one transaction, which others wait for.
	routeLimit = 200

	// keepEvery is how often the worker looks at the oldest that waits, and for what
	// nobody takes.
	keepEvery = 5 * time.Second

	// tooOld is the age at which a notice is nobody's news any more: one that nobody was
	// told of by then, because no consumer had a notify.yaml or every attempt failed, is
	// given up.
	tooOld = 24 * time.Hour

	// minAttempts is how often a channel may fail with a notice before it is given up for
	// its age, which is some ten minutes: it may be that old when it is tried first, after
	// the consumer was away or when a person sends it again.
	minAttempts = 10

	// abandonedAfter is how long a channel that is not in the file any more keeps what
	// waits for it: other consumers may have another file, during a roll-out.
	abandonedAfter = time.Hour

	// storeWait is the wait after the database did not answer.
	storeWait = time.Second
)

// Options are what a Worker needs.
type Options struct {
	Outbox  store.Outbox
	Config  func() *Config                 // the present one; asked a few times a second
	Zone    func(app int64) *time.Location // of an app's clock times
	Owner   string                         // no other running consumer has it
	Shared  bool                           // other consumers give notices to channels too, so that senders look for what came
	Log     *zap.Logger                    // nil: silent
	Metrics prometheus.Registerer          // nil: none
}

// Worker sends notices. Run runs it; Status may be asked from any goroutine.
type Worker struct {
	o       Options
	log     *zap.Logger
	metrics *metrics
	look    time.Duration // lookEvery; tests of whole days look less often

	mu      sync.Mutex         // guards senders
	senders map[string]*sender // by channel; the last one of each, which may have ended

	config *Config   // owned by Run: what senders were made of
	kept   time.Time // owned by Run: when it last looked after the rest
	down   bool      // owned by Run: the database did not answer the last time
}

// New returns a Worker. Nothing runs until Run is called.
func New(o Options) *Worker {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Worker{o: o, log: o.Log, metrics: newMetrics(o.Metrics, time.Now), look: lookEvery, senders: make(map[string]*sender)}
}

// Run sends notices until ctx ends, and returns nil then. A message that is being sent has
// stopGrace to be answered and marked; the channels' leases are given up.
func (w *Worker) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		w.refresh(ctx, &running)
		wait := w.round(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// round routes what is new and looks after the rest. It returns how long to wait.
func (w *Worker) round(ctx context.Context) time.Duration {
	more, err := w.route(ctx)
	if err == nil && time.Since(w.kept) >= keepEvery {
		w.kept = time.Now()
		err = w.keep(ctx)
	}
	if err != nil {
		if !w.down && ctx.Err() == nil {
			w.log.Warn("database does not answer, so no notices are sent", zap.Error(err))
		}
		w.down = true
		return storeWait
	}
	if w.down {
		w.log.Info("database answers again")
		w.down = false
	}
	if more {
		return 0
	}
	return w.look
}

// refresh starts the senders of a file that has changed, and ends those of the one before.
// It waits for none of them: a new sender of a channel begins when the one before is done,
// and goes on with what that one knew.
func (w *Worker) refresh(ctx context.Context, running *sync.WaitGroup) {
	config := w.o.Config()
	if config == w.config {
		return
	}
	w.config = config
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.senders {
		s.end()
	}
	for ch := range config.Channels() {
		before := w.senders[ch.Name]
		s := newSender(w, config, ch)
		w.senders[ch.Name] = s
		w.metrics.begin(ch.Name)
		running.Go(func() {
			defer close(s.done)
			if before != nil {
				<-before.done
				s.inherit(before)
			}
			s.run(ctx)
		})
	}
}

// route gives notices that nobody decided about yet to channels. It says whether there are
// more.
func (w *Worker) route(ctx context.Context) (more bool, err error) {
	unrouted, err := w.o.Outbox.Unrouted(ctx, routeLimit)
	if err != nil || len(unrouted) == 0 {
		return false, err
	}
	now := time.Now()
	var routes []store.Route
	old := 0
	for i := range unrouted {
		u := &unrouted[i]
		r := store.Route{NoticeID: u.ID}
		if now.Sub(u.CreatedAt) > tooOld {
			old++
		} else {
			r.Channels = w.config.Route(&u.Notice.Notice)
		}
		routes = append(routes, r)
	}
	routed, err := w.o.Outbox.Route(ctx, routes, now)
	if err != nil || routed == 0 { // 0: another consumer has them in hand
		return false, err
	}
	if old > 0 {
		w.log.Warn("notices that are more than a day old are not sent any more", zap.Int("notices", old))
	}
	w.wake()
	return len(unrouted) == routeLimit, nil
}

// wake has every sender look for something to send.
func (w *Worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.senders {
		select {
		case s.wake <- struct{}{}:
		default: // it will look already
		}
	}
}

// keep parks what waits for channels that nobody has, and notes the age of what waits.
func (w *Worker) keep(ctx context.Context) error {
	now := time.Now()
	parked, err := w.o.Outbox.Abandon(ctx, w.config.Names(), now.Add(-abandonedAfter), now)
	if err != nil {
		return err
	}
	if parked > 0 {
		w.log.Warn("notices are given up whose channel is not in notify.yaml any more", zap.Int("notices", parked))
	}
	oldest, err := w.o.Outbox.OldestPending(ctx)
	if err == nil {
		w.metrics.setOldest(oldest)
	}
	return err
}

// Status says whether every channel that this consumer sends to takes what is sent, and in
// words how each does.
func (w *Worker) Status() (ok bool, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var failing []string
	running := 0
	for _, s := range w.senders {
		if s.ended() {
			continue
		}
		running++
		if why := s.trouble(); why != "" {
			failing = append(failing, s.channel.Name+": "+why)
		}
	}
	if len(failing) > 0 {
		return false, strings.Join(sorted(failing), "; ")
	}
	return true, fmt.Sprintf("%d channels", running)
}
