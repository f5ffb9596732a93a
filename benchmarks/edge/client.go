//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
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

// client drives one flow: one thread, one epoll instance, all connections.
type client struct {
	flow
	drive.Span
	poll     *drive.Poll
	sockets  map[int32]*socket
	free     []*socket // on schedule: first the one that has been free longest
	schedule drive.Schedule
	next     int64 // number of the arrival that is sent next
	buffer   []byte
	seen     seen
}

// drive drives f until s.To and returns what it saw in s. It keeps its thread to itself and
// blocks; when ctx ends it stops with ctx's error.
func (f flow) drive(ctx context.Context, s drive.Span) (*seen, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	poll, err := drive.NewPoll()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &client{
		flow: f, Span: s, poll: poll, sockets: map[int32]*socket{}, schedule: drive.Schedule{Begin: time.Now(), Rate: f.rate},
		buffer: make([]byte, 64<<10), seen: seen{latency: drive.NewLatencies(), lateness: drive.NewLatencies()},
	}
	defer c.close()
	if err := c.open(); err != nil {
		return nil, err
	}
	if err := c.count(ctx); err != nil {
		return nil, err
	}
	if f.rate > 0 && !c.drained() {
		if err := c.loop(ctx, time.Now().Add(drive.Patience)); err != nil {
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
	for i, until := range []time.Time{c.From, c.To} {
		err := c.loop(ctx, until)
		if err == nil && c.cpu != nil {
			used[i], err = c.cpu()
		}
		if err != nil {
			return err
		}
		if at[i] = time.Now(); i == 0 && c.rate == 0 {
			c.From = at[i]
		}
	}
	c.seen.cpu, c.seen.elapsed = used[1]-used[0], at[1].Sub(at[0])
	return nil
}

// open makes the connections; those of a closed loop send at once.
func (c *client) open() error {
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
			if len(c.free) > 0 { // else the next answer ends the wait
				if err := c.poll.Ring(c.schedule.Due(c.next)); err != nil {
					return fmt.Errorf("client: %w", err)
				}
			}
		}
		events, _, err := c.poll.Wait(deadline)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		for _, event := range events {
			if k := c.sockets[event.Fd]; k != nil {
				if err := c.handle(k, event.Events); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sendDue sends what is due at now, as far as connections are free.
func (c *client) sendDue(now time.Time) {
	for len(c.free) > 0 {
		due := c.schedule.Due(c.next)
		if due.After(now) || !due.Before(c.To) {
			return
		}
		k := c.free[0]
		c.free = append(c.free[:0], c.free[1:]...)
		if c.Has(due) && !k.freed.After(due) {
			drive.Record(c.seen.lateness, now.Sub(due))
		}
		c.next++
		c.send(k, due)
	}
}

// drained says whether all that was due before the end is answered. A closed loop never is.
func (c *client) drained() bool {
	return c.rate > 0 && len(c.free) == c.conns && !c.schedule.Due(c.next).Before(c.To)
}

// note counts an answer. What a schedule is behind with counts where it was due, so that a
// server that stands is not fast.
func (c *client) note(k *socket, a answer, now time.Time) {
	at := now
	if c.rate > 0 {
		at = k.due
	}
	if c.Has(at) {
		c.seen.answers[a.status]++
		drive.Record(c.seen.latency, now.Sub(k.due))
	}
}

// giveUp counts what was due and has no answer, with the time that it has waited so far.
func (c *client) giveUp() {
	now := time.Now()
	lost := func(due time.Time) {
		if c.Has(due) {
			c.seen.unanswered++
			drive.Record(c.seen.latency, now.Sub(due))
		}
	}
	for _, k := range c.sockets {
		if k.busy {
			lost(k.due)
		}
	}
	for ; c.schedule.Due(c.next).Before(c.To); c.next++ {
		lost(c.schedule.Due(c.next))
	}
}

func (c *client) close() {
	for fd := range c.sockets {
		unix.Close(int(fd))
	}
	c.poll.Close()
}
