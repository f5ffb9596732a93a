//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// flow is one kind of load: requests over connections, in a closed loop or on schedule.
type flow struct {
	server   netip.AddrPort
	source   netip.Addr // of the connections, on loopback
	sources  int        // connection i comes from source + i % sources; 0: all from source
	requests [][]byte   // connection i sends requests[i % len]
	conns    int
	rate     float64 // arrivals a second on schedule; 0: closed loop
	once     bool    // a new connection for each request

	// cpu, where given, is the CPU time that the server has used so far. It is read by the
	// loop that counts the answers: a goroutine for it would come late on a busy machine.
	cpu func() (time.Duration, error)
}

// span is what of a run counts: from warm-up to the end.
type span struct{ from, to time.Time }

// seen is what a flow saw in its span.
type seen struct {
	answers    [600]int64 // by status: of a closed loop what came in the span, else what was due in it
	cut        int64      // connections that ended without an answer
	unanswered int64      // on schedule: due in the span, no answer at the end of patience
	elapsed    time.Duration
	cpu        time.Duration           // of the server
	latency    *hdrhistogram.Histogram // microseconds, of all answers, from when they were due
	lateness   *hdrhistogram.Histogram // microseconds, on schedule: how late the client itself was
}

// accepted is how many were answered 200.
func (s *seen) accepted() int64 { return s.answers[200] }

// refused is how many were answered anything else.
func (s *seen) refused() int64 {
	n := -s.answers[200]
	for _, of := range s.answers {
		n += of
	}
	return n
}

const (
	// patience is how long a flow on schedule waits at its end for what is still due: as long
	// as the vendor waits for an answer.
	patience = 2 * time.Second

	// longest is the largest latency that is told apart, in microseconds.
	longest = 60_000_000
)

// client drives one flow: one thread, one epoll instance, all connections.
type client struct {
	flow
	span
	epoll, timer int
	sockets      map[int32]*socket
	free         []*socket // on schedule: first the one that has been free longest
	schedule     schedule
	next         int64 // number of the arrival that is sent next
	buffer       []byte
	events       []unix.EpollEvent
	seen         seen
}

// drive drives f until s.to and returns what it saw in s. It keeps its thread to itself and
// blocks; when ctx ends it stops with ctx's error.
func (f flow) drive(ctx context.Context, s span) (*seen, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := &client{
		flow: f, span: s, epoll: -1, timer: -1, sockets: map[int32]*socket{}, schedule: schedule{begin: time.Now(), rate: f.rate},
		buffer: make([]byte, 64<<10), events: make([]unix.EpollEvent, 512),
	}
	c.seen = seen{latency: hdrhistogram.New(1, longest, 3), lateness: hdrhistogram.New(1, longest, 3)}
	defer c.close()
	if err := c.open(); err != nil {
		return nil, err
	}
	if err := c.count(ctx); err != nil {
		return nil, err
	}
	if f.rate > 0 && !c.drained() {
		if err := c.loop(ctx, time.Now().Add(patience)); err != nil {
			return nil, err
		}
		c.giveUp()
	}
	return &c.seen, nil
}

// count goes through warm-up and span. A closed loop's span is as long as it came to be.
func (c *client) count(ctx context.Context) error {
	var used [2]time.Duration
	var at [2]time.Time
	for i, until := range []time.Time{c.from, c.to} {
		err := c.loop(ctx, until)
		if err == nil && c.cpu != nil {
			used[i], err = c.cpu()
		}
		if err != nil {
			return err
		}
		if at[i] = time.Now(); i == 0 && c.rate == 0 {
			c.from = at[i]
		}
	}
	c.seen.cpu, c.seen.elapsed = used[1]-used[0], at[1].Sub(at[0])
	return nil
}

// open makes the connections; those of a closed loop send at once.
func (c *client) open() (err error) {
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("client: epoll: %w", err)
	}
	if c.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("client: timer: %w", err)
	}
	if err := watch(c.epoll, c.timer, unix.EPOLLIN); err != nil {
		return err
	}
	for i := range c.conns {
		k := &socket{request: c.requests[i%len(c.requests)], source: c.sourceOf(i)}
		if err := c.dial(k); err != nil {
			return err
		}
		if c.rate > 0 {
			c.free = append(c.free, k)
		} else {
			c.send(k, time.Now())
		}
	}
	return nil
}

// sourceOf is the address from which connection i comes.
func (c *client) sourceOf(i int) netip.Addr {
	source := c.source
	for range i % max(c.sources, 1) {
		source = source.Next()
	}
	return source
}

// loop answers events until deadline, or until all that was due before the end is answered.
func (c *client) loop(ctx context.Context, deadline time.Time) error {
	for now := time.Now(); now.Before(deadline) && !c.drained(); now = time.Now() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.rate > 0 {
			c.sendDue(now)
			if err := c.arm(); err != nil {
				return err
			}
		}
		n, err := unix.EpollWait(c.epoll, c.events, waitMillis(time.Until(deadline)))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("client: epoll wait: %w", err)
		}
		for _, event := range c.events[:max(n, 0)] {
			if err := c.happened(event); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitMillis bounds one wait: 10 ms at most, and not beyond the deadline.
func waitMillis(left time.Duration) int {
	return int(min(max(left, 0)+time.Millisecond-1, 10*time.Millisecond) / time.Millisecond)
}

func (c *client) happened(event unix.EpollEvent) error {
	if event.Fd == int32(c.timer) { //nolint:gosec // a descriptor
		var count [8]byte
		_, _ = unix.Read(c.timer, count[:]) // EAGAIN: it was set anew meanwhile
		return nil
	}
	if k := c.sockets[event.Fd]; k != nil {
		return c.handle(k, event.Events)
	}
	return nil
}

// sendDue sends what is due at now, as far as connections are free.
func (c *client) sendDue(now time.Time) {
	for len(c.free) > 0 {
		due := c.schedule.due(c.next)
		if due.After(now) || !due.Before(c.to) {
			return
		}
		k := c.free[0]
		c.free = append(c.free[:0], c.free[1:]...)
		if within(due, c.from, c.to) && !k.freed.After(due) {
			_ = c.seen.lateness.RecordValue(min(now.Sub(due).Microseconds(), longest)) // in range by the min
		}
		c.next++
		c.send(k, due)
	}
}

// arm has the timer end the wait when the next arrival is due. Where no connection is free,
// the next answer does.
func (c *client) arm() error {
	if len(c.free) == 0 {
		return nil
	}
	left := max(time.Until(c.schedule.due(c.next)), 1) // 0 would disarm
	if err := unix.TimerfdSettime(c.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(left.Nanoseconds())}, nil); err != nil {
		return fmt.Errorf("client: set timer: %w", err)
	}
	return nil
}

// drained says whether all that was due before the end is answered. A closed loop never is.
func (c *client) drained() bool {
	return c.rate > 0 && len(c.free) == c.conns && !c.schedule.due(c.next).Before(c.to)
}

// note counts an answer. What a schedule is behind with counts where it was due, so that a
// server that stands is not fast.
func (c *client) note(k *socket, a answer, now time.Time) {
	at := now
	if c.rate > 0 {
		at = k.due
	}
	if within(at, c.from, c.to) {
		c.seen.answers[a.status]++
		c.record(now.Sub(k.due))
	}
}

// giveUp counts what was due and has no answer, with the time that it has waited so far.
func (c *client) giveUp() {
	now := time.Now()
	lost := func(due time.Time) {
		if within(due, c.from, c.to) {
			c.seen.unanswered++
			c.record(now.Sub(due))
		}
	}
	for _, k := range c.sockets {
		if k.busy {
			lost(k.due)
		}
	}
	for ; c.schedule.due(c.next).Before(c.to); c.next++ {
		lost(c.schedule.due(c.next))
	}
}

func (c *client) record(took time.Duration) {
	_ = c.seen.latency.RecordValue(min(took.Microseconds(), longest)) // in range by the min
}

func (c *client) close() {
	for fd := range c.sockets {
		unix.Close(int(fd))
	}
	for _, fd := range []int{c.timer, c.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
