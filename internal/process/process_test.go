package process

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, lines) {
		t.Errorf("happened: %v\nwant:     %v", d.lines, lines)
	}
}

func (d *diary) step(name string) func(context.Context) error {
	return func(context.Context) error { d.note(name); return nil }
}

// inBubble returns a Process whose signals the test sends itself and that notes when it
// would have exited.
func inBubble(d *diary) (*Process, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	p := newProcess(zap.New(core), func(chan<- os.Signal, ...os.Signal) {})
	p.exit = func(int) { d.note("exit") }
	return p, logs
}

// noteExit has p note the status with which it would have exited, and close left.
func noteExit(p *Process, d *diary) (left <-chan struct{}) {
	c := make(chan struct{})
	p.exit = func(code int) { d.note(strconv.Itoa(code)); close(c) }
	return c
}

func TestStepsRunInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		p.OnStop("journal", d.step("journal"))
		p.Go("forward", func(ctx context.Context) error {
			<-ctx.Done()
			d.note("forward")
			return ctx.Err()
		})
		p.OnStop("listener", d.step("listener"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx, time.Minute); err != nil {
			t.Error(err)
		}
		d.want(t, "listener", "forward", "journal")
	})
}

func TestSignals(t *testing.T) {
	for name, row := range map[string]struct {
		signal os.Signal
	}{"SIGTERM": {syscall.SIGTERM}, "SIGINT": {os.Interrupt}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				p, _ := inBubble(&d)
				p.OnStop("a", d.step("a"))
				p.signals <- row.signal
				if err := p.Run(t.Context(), time.Minute); err != nil {
					t.Error(err)
				}
				d.want(t, "a")
			})
		})
	}
}

// A start that is given up, by a signal or because its context ended, is no error, whatever
// it returned, and what it did is undone.
func TestToldToStopWhileStarting(t *testing.T) {
	for name, row := range map[string]struct {
		tell   func(p *Process, cancel context.CancelFunc)
		result error
	}{
		"a signal":                         {func(p *Process, _ context.CancelFunc) { p.signals <- syscall.SIGTERM }, errors.New("database: canceled")},
		"a signal that open does not mind": {func(p *Process, _ context.CancelFunc) { p.signals <- os.Interrupt }, nil},
		"the context":                      {func(_ *Process, cancel context.CancelFunc) { cancel() }, errors.New("database: canceled")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				p, logs := inBubble(&d)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := p.Start(ctx, func(ctx context.Context) error {
					p.OnStop("store", d.step("store"))
					row.tell(p, cancel)
					<-ctx.Done()
					return row.result
				})
				if !errors.Is(err, ErrStopped) {
					t.Errorf("Start: %v", err)
				}
				if err := p.Stop(time.Minute); err != nil {
					t.Error(err)
				}
				d.want(t, "store")
				if told := logs.FilterField(zap.Error(row.result)).Len(); (told == 1) != (row.result != nil) {
					t.Errorf("what open returned is logged %d times", told)
				}
			})
		})
	}
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		if err := p.Start(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		wrong := errors.New("wrong")
		if err := p.Start(t.Context(), func(context.Context) error { return wrong }); !errors.Is(err, wrong) {
			t.Errorf("Start: %v", err)
		}
	})
}

func TestSecondSignalWhileStartingExitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		left := noteExit(p, &d)
		_ = p.Start(t.Context(), func(ctx context.Context) error {
			p.signals <- syscall.SIGTERM
			<-ctx.Done()
			p.signals <- syscall.SIGTERM
			<-left // a real exit does not come back
			return nil
		})
		d.want(t, "130")
	})
}

// A start that minds no context, such as one that reads a large journal, is cut off.
func TestStartThatGoesOnIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		left := noteExit(p, &d)
		began := time.Now()
		_ = p.Start(t.Context(), func(context.Context) error {
			p.signals <- syscall.SIGTERM
			<-left
			return nil
		})
		d.want(t, "0")
		if took := time.Since(began); took != grace {
			t.Errorf("left after %s", took)
		}
	})
}

// Of a start that failed by itself the first signal is the first one: its steps are taken.
func TestFirstSignalAfterAFailedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		p.OnStop("journal", func(context.Context) error {
			p.signals <- syscall.SIGTERM
			synctest.Wait()
			d.note("journal")
			return nil
		})
		if err := p.Start(t.Context(), func(context.Context) error { return errors.New("wrong") }); err == nil {
			t.Error("no error")
		}
		_ = p.Stop(time.Minute)
		d.want(t, "journal")
	})
}

// TestRealSignal sends this test's own process a SIGHUP and a SIGTERM.
func TestRealSignal(t *testing.T) {
	var d diary
	p := New(zap.NewNop())
	p.OnHangup(func() {
		d.note("hangup")
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	p.OnStop("a", d.step("a"))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	d.want(t, "hangup", "a")
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, logs := inBubble(&d)
		left := noteExit(p, &d)
		p.OnStop("never reached in a real exit", d.step("last"))
		p.OnStop("slow", func(ctx context.Context) error {
			p.signals <- syscall.SIGTERM
			<-left
			d.note("slow")
			return nil
		})
		p.signals <- syscall.SIGTERM
		_ = p.Run(t.Context(), time.Minute)
		d.want(t, "130", "slow", "last") // the fake exit comes back
		if logs.FilterMessage("second signal: exiting at once").Len() != 1 {
			t.Error("not logged")
		}
	})
}

func TestFirstErrorStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		cause := errors.New("disk gone")
		p.OnStop("journal", d.step("journal"))
		p.Go("done early", func(context.Context) error { return nil })
		p.Go("forward", func(context.Context) error { return cause })
		p.Go("listener", func(ctx context.Context) error { <-ctx.Done(); d.note("listener"); return nil })
		err := p.Run(t.Context(), time.Minute)
		if !errors.Is(err, cause) || err.Error() != "forward: disk gone" {
			t.Errorf("error %v", err)
		}
		d.want(t, "listener", "journal")
	})
}

func TestErrorsOfStepsAreReturnedAndTheOthersTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, logs := inBubble(&d)
		final := errors.New("final sync failed")
		p.OnStop("first", d.step("first"))
		p.OnStop("journal", func(context.Context) error { d.note("journal"); return final })
		p.Go("late", func(ctx context.Context) error { <-ctx.Done(); return errors.New("could not finish") })
		p.signals <- syscall.SIGTERM
		err := p.Run(t.Context(), time.Minute)
		if !errors.Is(err, final) || !strings.Contains(err.Error(), "late: could not finish") {
			t.Errorf("error %v", err)
		}
		d.want(t, "journal", "first")
		if logs.FilterMessage("stop step failed").Len() != 2 {
			t.Error("the failed steps are not logged")
		}
	})
}

func TestOneBudgetForAllSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		began := time.Now()
		p.OnStop("close", func(ctx context.Context) error {
			if ctx.Err() == nil {
				t.Error("the budget is not shared")
			}
			d.note("close")
			return nil
		})
		p.OnStop("drain", func(ctx context.Context) error { <-ctx.Done(); d.note("drain"); return ctx.Err() })
		p.signals <- syscall.SIGTERM
		if err := p.Run(t.Context(), 20*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		d.want(t, "drain", "close")
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAStepThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		release := make(chan struct{})
		defer close(release)
		p.Go("late, but in its second", func(ctx context.Context) error { <-ctx.Done(); d.note("ends at once"); return nil })
		p.OnStop("close", d.step("close"))
		p.OnStop("hangs", func(context.Context) error { <-release; return nil })
		p.Go("hangs too", func(context.Context) error { <-release; return nil })
		p.signals <- syscall.SIGTERM
		began := time.Now()
		err := p.Run(t.Context(), 5*time.Second)
		if !errors.Is(err, ErrStopTimeout) || !strings.Contains(err.Error(), "stop hangs: ") || !strings.Contains(err.Error(), "stop hangs too: did not end") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != 5*time.Second+2*grace {
			t.Errorf("took %v", took)
		}
		d.want(t, "close", "ends at once")
	})
}

func TestAStartThatFailedUndoesWhatItDid(t *testing.T) {
	var d diary
	p, _ := inBubble(&d)
	p.OnStop("journal", d.step("journal"))
	p.OnStop("admin", d.step("admin"))
	if err := p.Stop(time.Minute); err != nil {
		t.Error(err)
	}
	if err := p.Stop(time.Minute); err != nil { // nothing is left to do
		t.Error(err)
	}
	d.want(t, "admin", "journal")
}

func TestHangups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		p, _ := inBubble(&d)
		p.OnHangup(func() { d.note("apps") })
		p.OnHangup(func() { d.note("routes"); p.signals <- syscall.SIGTERM })
		p.OnStop("stop", d.step("stop"))
		p.hangups <- syscall.SIGHUP
		if err := p.Run(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
		d.want(t, "apps", "routes", "stop")
	})
}
