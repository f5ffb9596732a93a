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

// Process is the life of one binary. Its methods may be called from any goroutine; Start is
// called first, if at all, then either Run or Stop.
type Process struct {
	log     *zap.Logger
	signals chan os.Signal // SIGINT, SIGTERM: notified from Start on, or Run
	hangups chan os.Signal // SIGHUP: notified from New on, as it would end a starting process
	notify  func(chan<- os.Signal, ...os.Signal)
	exit    func(code int)
	failed  chan error // capacity 1: the first error of what runs
	told    bool       // a signal has told it to stop: the next one is the second; owned by who calls Start, Run and Stop

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
// taken. An error is logged and becomes part of what Run returns; the other steps are taken all
// the same.
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

// Start calls open, whose context ends with ctx, at SIGINT or SIGTERM, and when Start returns.
// Where the process is told to stop before open returned, Start returns ErrStopped, and what open
// returned is logged: the caller goes on with Stop, and may exit 0. After a signal open has a
// second to return, such as from what it waits for; then the process exits at once with status 0:
// what a start leaves on disk is as after a kill. A second signal ends it at once, too.
//
// Without Start a signal that comes before Run has the system's effect, which is none where the
// process is the first one of a container.
func (p *Process) Start(ctx context.Context, open func(context.Context) error) error {
	p.notify(p.signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- open(ctx) }()
	select {
	case err := <-opened:
		if err == nil {
			return nil // should ctx have ended, or a signal have come, Run finds it
		}
		if !p.toldMeanwhile(ctx) {
			return err
		}
		return p.givenUp(err)
	case <-ctx.Done():
		p.log.Info("stopping before the start was done")
		return p.givenUp(<-opened)
	case s := <-p.signals:
		p.told = true
		p.log.Info("stopping on signal, before the start was done", zap.Stringer("signal", s))
	}
	cancel()
	over := time.NewTimer(grace)
	defer over.Stop()
	select {
	case err := <-opened:
		return p.givenUp(err)
	case s := <-p.signals:
		p.leave(exitAtOnce, "second signal: exiting at once", zap.Stringer("signal", s))
	case <-over.C:
		p.leave(ExitOK, "the start goes on: exiting at once")
	}
	return ErrStopped
}

// toldMeanwhile says whether the process was told to stop at the moment at which open failed.
func (p *Process) toldMeanwhile(ctx context.Context) bool {
	select {
	case <-p.signals:
		p.told = true
		return true
	default:
		return ctx.Err() != nil
	}
}

// givenUp logs what open returned after the process was told to stop.
func (p *Process) givenUp(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		p.log.Info("start given up", zap.Error(err))
	case err != nil:
		p.log.Warn("start failed, beside being given up", zap.Error(err))
	}
	return ErrStopped
}

// leave ends the process.
func (p *Process) leave(status int, why string, fields ...zap.Field) {
	p.log.Warn(why, fields...)
	_ = p.log.Sync()
	p.exit(status)
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
			p.told = true
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
	go p.exitOnSignal(watched, p.told)
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

// exitOnSignal ends the process at the second signal, while it stops. told: the first one has come.
func (p *Process) exitOnSignal(stopped <-chan struct{}, told bool) {
	for {
		select {
		case <-stopped:
			return
		case s := <-p.signals:
			if told {
				p.leave(exitAtOnce, "second signal: exiting at once", zap.Stringer("signal", s))
				return
			}
			told = true
			p.log.Info("signal, stopping already", zap.Stringer("signal", s))
		}
	}
}
