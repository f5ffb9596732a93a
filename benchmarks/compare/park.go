//go:build linux

package main

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// parkCommand serves the bare handler with a grouped wait before its answer, in a process
// of its own, until it is killed. It keeps nothing: what it costs is the floor of any
// group commit under fasthttp.
type parkCommand struct {
	Listen string        `required:"" help:"Address to listen on, on loopback."`
	Wait   time.Duration `required:"" help:"How long the committer sleeps for a batch: as long as one fdatasync takes."`
}

// Run listens and answers every request with the envelope when its batch is done.
func (p parkCommand) Run() error {
	c := newCommitter()
	go c.run(p.Wait) // as long as the process lives
	return serve(p.Listen, nil, c.park)
}

// committer lets whoever comes wait for the batch that is open at that moment.
type committer struct {
	wake chan struct{} // holds one

	mu      sync.Mutex
	batch   chan struct{} // guarded by mu; closed when the batch is done
	waiting bool          // guarded by mu: somebody is in the open batch
}

func newCommitter() *committer {
	return &committer{wake: make(chan struct{}, 1), batch: make(chan struct{})}
}

// park joins the open batch and waits until it is done. The first of a batch wakes the
// committer. Any number of goroutines may call it.
func (c *committer) park() {
	c.mu.Lock()
	batch, first := c.batch, !c.waiting
	c.waiting = true
	c.mu.Unlock()
	if first {
		c.wake <- struct{}{}
	}
	<-batch
}

// run does one batch after the other: it closes it to newcomers, sleeps for wait, lets all
// of it go. It keeps its thread and sleeps in the kernel, as a committer in fdatasync
// does: the runtime's own timers would round a part of a millisecond up to a whole one.
func (c *committer) run(wait time.Duration) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // where it fails, sleeps are 50 us longer
	for range c.wake {
		c.mu.Lock()
		batch := c.batch
		c.batch, c.waiting = make(chan struct{}), false
		c.mu.Unlock()
		pause := unix.NsecToTimespec(wait.Nanoseconds())
		for unix.Nanosleep(&pause, &pause) == unix.EINTR { // the runtime's preemption signals cut it short
		}
		close(batch)
	}
}
