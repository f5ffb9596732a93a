package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a program that is run as a child process, in a process group of its own. It can
// be started again after it ended. All methods may be called from any goroutine.
type Child struct {
	name  string
	path  string
	args  []string
	log   io.Writer
	ready string // URL that answers 200 when the child is ready; empty: ready when started

	mu      sync.Mutex
	process *process // guarded by mu: the last one; nil: never started
	unasked chan error
}

// process is one life of a child.
type process struct {
	pid   int
	ended chan struct{}
	err   error // how it ended; set before ended is closed

	mu    sync.Mutex
	asked bool // guarded by mu: its end was asked for
}

// ChildOptions describe a child.
type ChildOptions struct {
	Name  string    // in logs and errors
	Path  string    // of the program
	Args  []string  //
	Log   io.Writer // takes what it prints on both outputs; nil: nowhere
	Ready string    // URL that answers 200 once it is ready; empty: ready when started
}

// NewChild returns a child that is not started.
func NewChild(o ChildOptions) *Child {
	return &Child{name: o.Name, path: o.Path, args: o.Args, log: o.Log, ready: o.Ready, unasked: make(chan error, 1)}
}

// Name returns the child's name.
func (c *Child) Name() string { return c.name }

// Args returns the arguments that it is started with.
func (c *Child) Args() []string { return append([]string(nil), c.args...) }

// Start starts the program. It does not wait until it is ready: see Ready. ErrState where
// it runs already.
func (c *Child) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil && !c.process.over() {
		return fmt.Errorf("start %s: it runs: %w", c.name, ErrState)
	}
	p := &process{ended: make(chan struct{})}
	started := make(chan error, 1)
	go c.live(p, started)
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.process = p
	return nil
}

// live starts the program and waits for its end. It keeps its thread to itself: the
// kernel ties the child's life to the thread that started it.
func (c *Child) live(p *process, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.ended)
	command := exec.Command(c.path, c.args...)
	command.SysProcAttr = processAttributes()
	command.Env = environment()
	if c.log != nil {
		command.Stdout, command.Stderr = c.log, c.log
	}
	command.WaitDelay = 5 * time.Second // for the last lines of its output
	if err := command.Start(); err != nil {
		p.err = err
		started <- err
		return
	}
	p.pid = command.Process.Pid
	started <- nil
	p.err = command.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		select {
		case c.unasked <- c.exited(p.err):
		default: // one report is enough to end the stack
		}
	}
}

// exited describes an end that nobody asked for.
func (c *Child) exited(err error) error {
	if err == nil {
		return fmt.Errorf("%s %w (status 0)", c.name, ErrExited)
	}
	return fmt.Errorf("%s %w (%w)", c.name, ErrExited, err)
}

// environment is ours without the settings of the two binaries.
func environment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TIDEGATE_GATEWAY_") && !strings.HasPrefix(entry, "TIDEGATE_CONSUMER_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// signal sends sig to the whole process group; end says that the process is to end by it.
func (p *process) signal(sig syscall.Signal, end bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end {
		p.asked = true
	}
	if p.over() {
		return nil
	}
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s: %w", sig, err)
	}
	return nil
}

func (c *Child) current() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// PID returns the process id of the last start, 0 before the first.
func (c *Child) PID() int {
	if p := c.current(); p != nil {
		return p.pid
	}
	return 0
}

// Kill ends the child by SIGKILL, as a crash would, and waits until it is gone. It does
// nothing where it does not run.
func (c *Child) Kill() error {
	p := c.current()
	if p == nil {
		return nil
	}
	if err := p.signal(syscall.SIGKILL, true); err != nil {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-p.ended
	return nil
}

// Pause stops the child where it stands (SIGSTOP), as a stalled machine would. On return
// every thread of it stands, where /proc says so: the signal alone arrives later, and the
// child may answer once more.
func (c *Child) Pause() error {
	if err := c.send(syscall.SIGSTOP); err != nil {
		return err
	}
	pid := c.PID()
	for deadline := time.Now().Add(pauseWait); !standing(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("pause %s: it still runs after %s", c.name, pauseWait)
		}
	}
	return nil
}

// pauseWait bounds how long Pause waits for the signal to arrive.
const pauseWait = 5 * time.Second

// standing reports whether every thread of process pid is stopped (proc(5): the state is
// the field behind the command's closing parenthesis). Where there is no /proc it says yes.
func standing(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the thread ended
		}
		if at := bytes.LastIndexByte(stat, ')'); at >= 0 && at+2 < len(stat) && stat[at+2] != 'T' {
			return false
		}
	}
	return true
}

// Resume lets a paused child go on.
func (c *Child) Resume() error { return c.send(syscall.SIGCONT) }

func (c *Child) send(sig syscall.Signal) error {
	p := c.current()
	if p == nil || p.over() {
		return fmt.Errorf("send %s to %s: it does not run: %w", sig, c.name, ErrState)
	}
	return p.signal(sig, false)
}

// Stop asks the child to end (SIGTERM) and waits until it did. When ctx ends first it is
// killed: ErrStopTimeout. An exit status other than 0 is an error too. It does nothing
// where it does not run.
func (c *Child) Stop(ctx context.Context) error {
	p := c.current()
	if p == nil || p.over() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM, true); err != nil {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		if err := p.signal(syscall.SIGKILL, true); err != nil {
			return fmt.Errorf("stop %s: %w", c.name, err)
		}
		<-p.ended
		return fmt.Errorf("stop %s: %w", c.name, ErrStopTimeout)
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w", c.name, p.err)
	}
	return nil
}

// Wait blocks until the child ended, or ctx did, and returns how: nil for exit status 0.
func (c *Child) Wait(ctx context.Context) error {
	p := c.current()
	if p == nil {
		return fmt.Errorf("wait for %s: never started: %w", c.name, ErrState)
	}
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unasked receives an error that wraps ErrExited when the child ended without being asked.
func (c *Child) Unasked() <-chan error { return c.unasked }
