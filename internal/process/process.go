package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// grace is how long a stop step may go on after the budget is used up, or after its own
// beginning if that is later, before it is left alone and the next one is taken. Closing
// files must still be possible then.
const grace = time.Second

// exitAtOnce is the exit status after a second signal: 128 and SIGINT, as shells have it.
const exitAtOnce = 130

// Process is the life of one binary. Its methods may be called from any goroutine, Start,
// Run and Stop once, and one after the other.
type Process struct {
	log     *zap.Logger
	signals chan os.Signal // SIGINT, SIGTERM: notified from Start on
	hangups chan os.Signal // SIGHUP: notified from New on, as it would end a starting process
	notify  func(chan<- os.Signal, ...os.Signal)
	exit    func(code int)
	failed  chan error // capacity 1: the first error of what runs

	mu    sync.Mutex // guards steps and onHup
	steps []step
	onHup []func()
}

// step is one thing to do when the process stops.
type step struct {
	name string
	stop func(ctx context.Context) error
}

// New returns a Process that logs to log. From here on SIGHUP no longer ends the process.
func New(log *zap.Logger) *Process { return newProcess(log, signal.Notify) }

// newProcess takes signal.Notify as a seam: the tests' bubbles cannot hold real signals.
func newProcess(log *zap.Logger, notify func(chan<- os.Signal, ...os.Signal)) *Process {
	p := &Process{
		log:     log,
		notify:  notify,
		signals: make(chan os.Signal, 2),
		hangups: make(chan os.Signal, 1),
		exit:    os.Exit,
		failed:  make(chan error, 1),
	}
	notify(p.hangups, syscall.SIGHUP)
	return p
}

// OnStop registers a stop step. Steps run in reverse order of registration, one at a time;
// ctx ends when the budget of all steps is used up. Each step has a second at least; one
// that returns later than that after the budget is left behind, logged, and the next one is
// taken. An error is logged
// and becomes part of what Run returns; the other steps are taken all the same.
func (p *Process) OnStop(name string, stop func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, step{name, stop})
}

// Go runs run in a goroutine of its own and registers a stop step that ends its context
// and waits for it. An error that run returns before that stops the process and is
// returned by Run; nil means that its work is done and stops nothing.
func (p *Process) Go(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error // written before done is closed
	go func() {
		defer close(done)
		err := run(ctx)
		if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return
		}
		err = fmt.Errorf("%s: %w", name, err)
		select {
		case p.failed <- err:
		default: // another one failed first; the stop step returns this one
			result = err
		}
	}()
	p.OnStop(name, func(context.Context) error {
		cancel()
		<-done // whoever takes the step leaves it behind when this lasts too long
		return result
	})
}

// OnHangup has hook called at every SIGHUP, in Run's goroutine, in order of registration.
func (p *Process) OnHangup(hook func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onHup = append(p.onHup, hook)
}

// Start calls open, with a context that ends with ctx, and at SIGINT or SIGTERM. When that was
// before open returned, Start returns ErrStopped, whatever open returned, which is logged: the
// process goes on with Stop, and may exit 0. A second signal ends the process at once. Without
// Start a signal that comes before Run has the system's effect, which is none where the process
// is the first one of a container.
func (p *Process) Start(ctx context.Context, open func(context.Context) error) error {
	p.notify(p.signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- open(ctx) }()
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
		p.log.Info("stopping before the start was done")
	case s := <-p.signals:
		p.log.Info("stopping on signal, before the start was done", zap.Stringer("signal", s))
		cancel()
	}
	watched := make(chan struct{})
	defer close(watched)
	go p.exitOnSignal(watched)
	if err := <-opened; err != nil {
		p.log.Info("start given up", zap.Error(err))
	}
	return ErrStopped
}

// Run blocks until SIGINT or SIGTERM, until ctx ends, or until something that Go started
// fails, and then takes all stop steps within budget. It returns that failure and the
// errors of the steps, nil when there were none: the process may exit 0.
func (p *Process) Run(ctx context.Context, budget time.Duration) error {
	p.notify(p.signals, syscall.SIGINT, syscall.SIGTERM)
	err := p.wait(ctx, budget)
	return errors.Join(err, p.Stop(budget))
}

func (p *Process) wait(ctx context.Context, budget time.Duration) error {
	for {
		select {
		case s := <-p.signals:
			p.log.Info("stopping on signal", zap.Stringer("signal", s), zap.Duration("budget", budget))
			return nil
		case <-ctx.Done():
			p.log.Info("stopping", zap.Duration("budget", budget))
			return nil
		case err := <-p.failed:
			p.log.Error("stopping on error", zap.Error(err), zap.Duration("budget", budget))
			return err
		case <-p.hangups:
			p.log.Info("signal SIGHUP: reading files anew")
			p.hangup()
		}
	}
}

func (p *Process) hangup() {
	p.mu.Lock()
	hooks := p.onHup[:len(p.onHup):len(p.onHup)]
	p.mu.Unlock()
	for _, hook := range hooks {
		hook()
	}
}

// Stop takes all stop steps within budget and returns their errors. Run calls it; a start
// that failed or was given up half-way calls it itself. Signals have the system's effect again
// when it returns.
func (p *Process) Stop(budget time.Duration) error {
	defer signal.Stop(p.signals)
	defer signal.Stop(p.hangups)
	watched := make(chan struct{})
	defer close(watched)
	go p.exitOnSignal(watched)
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	began := time.Now()
	var errs []error
	for s, ok := p.last(); ok; s, ok = p.last() {
		if err := p.take(ctx, s); err != nil {
			errs = append(errs, err)
		}
	}
	select {
	case err := <-p.failed: // of something that ended while it was being stopped
		p.log.Error("stop step failed", zap.Error(err))
		errs = append(errs, err)
	default:
	}
	p.log.Info("stopped", zap.Duration("took", time.Since(began)), zap.Int("errors", len(errs)))
	return errors.Join(errs...)
}

// last removes the step that was registered last. Steps may be registered while others
// are taken.
func (p *Process) last() (step, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) == 0 {
		return step{}, false
	}
	s := p.steps[len(p.steps)-1]
	p.steps = p.steps[:len(p.steps)-1]
	return s, true
}

// take runs one step and waits for it until the budget and its grace are over.
func (p *Process) take(ctx context.Context, s step) error {
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- s.stop(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-expired(ctx):
		err = fmt.Errorf("stop %s: %w", s.name, ErrStopTimeout)
	}
	took := zap.Duration("took", time.Since(began))
	if err != nil {
		p.log.Error("stop step failed", zap.String("step", s.name), zap.Error(err), took)
		return err
	}
	p.log.Debug("stop step done", zap.String("step", s.name), took)
	return nil
}

// expired is closed a grace after ctx ended.
func expired(ctx context.Context) <-chan struct{} {
	over := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { close(over) })
	})
	return over
}

// exitOnSignal ends the process when another signal comes while it stops.
func (p *Process) exitOnSignal(stopped <-chan struct{}) {
	select {
	case <-stopped:
	case s := <-p.signals:
		p.log.Warn("second signal: exiting at once", zap.Stringer("signal", s))
		_ = p.log.Sync()
		p.exit(exitAtOnce)
	}
}
