//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// load is one run against one server, closed loop or open.
type load struct {
	address  string      // host:port on loopback
	requests [][]byte    // connection i sends requests[i % len]
	conns    int         // keep-alive connections
	rate     float64     // arrivals a second on schedule; 0: closed loop
	stages   []stage     // in order; the last is counted
	tls      *tls.Config // nil: plain
	pid      int         // the server's process, whose CPU and memory are read
}

// stage is a part of a run. begin, where given, runs beside the loop from the stage's
// beginning on; run waits for it.
type stage struct {
	length time.Duration
	begin  func() error
}

// outcome is what was seen of the counted stage.
type outcome struct {
	accepted   int64 // 200s that came in it
	refused    int64 // 503s and 429s that came in it
	refusal    string
	unanswered int64 // of an open loop: due in it and still not answered at the end of patience
	elapsed    time.Duration
	latency    *hdrhistogram.Histogram // microseconds; of 200s, and of the unanswered as far as they were waited for
	lateness   *hdrhistogram.Histogram // microseconds; of an open loop: how late the driver itself sent
	driverCPU  time.Duration           // of the driver's thread
	serverCPU  time.Duration           // of the server's process, user and system
	serverRSS  int64                   // bytes, at the end
}

// patience is how long an open loop waits at its end for what is still due: as long as the
// vendor waits for an answer.
const patience = 2 * time.Second

// longest is the largest latency that is told apart, in microseconds.
const longest = 60_000_000

// driver is the loop: one thread, one epoll instance, all connections.
type driver struct {
	epoll  int
	conns  map[int32]*connection
	buffer []byte
	events []unix.EpollEvent
	open   *openLoop // nil: closed loop

	from, to time.Time // the counted stage; zero before it
	seen     [refused + 1]int64
	refusal  string // body of the first refusal in the counted stage
	answered int64  // of what was due in the counted stage
	latency  *hdrhistogram.Histogram
}

// run drives l and returns what it saw. It blocks for all stages.
func (l load) run() (outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := newDriver(l)
	if err != nil {
		return outcome{}, err
	}
	defer d.close()
	beside, running := make(chan error, len(l.stages)), 0
	var seen outcome
	for i, s := range l.stages {
		if s.begin != nil {
			running++
			go func() { beside <- s.begin() }()
		}
		if i == len(l.stages)-1 {
			seen, err = d.count(l.pid, s.length)
		} else {
			err = d.loop(time.Now().Add(s.length))
		}
		if err != nil {
			break
		}
	}
	for range running {
		err = errors.Join(err, <-beside)
	}
	return seen, err
}

// newDriver connects everything and sends the first requests.
func newDriver(l load) (*driver, error) {
	d := &driver{
		conns: map[int32]*connection{}, buffer: make([]byte, 64<<10), events: make([]unix.EpollEvent, 1024),
		latency: hdrhistogram.New(1, longest, 3),
	}
	var err error
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("driver: epoll: %w", err)
	}
	for i := range l.conns {
		if err := d.connect(l.address, l.requests[i%len(l.requests)], l.tls); err != nil {
			d.close()
			return nil, err
		}
	}
	if l.rate > 0 {
		err = d.schedule(l.rate)
	} else {
		err = d.sendAll()
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *driver) sendAll() error {
	for _, c := range d.conns {
		if err := d.send(c, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// count is the counted stage.
func (d *driver) count(pid int, length time.Duration) (outcome, error) {
	before, err := processCPU(pid)
	if err != nil {
		return outcome{}, err
	}
	cpu := threadCPU()
	d.from = time.Now()
	d.to = d.from.Add(length)
	if err := d.loop(d.to); err != nil {
		return outcome{}, err
	}
	seen := outcome{
		accepted: d.seen[accepted], refused: d.seen[refused], refusal: d.refusal,
		elapsed: length, latency: d.latency, driverCPU: threadCPU() - cpu,
	}
	after, err := processCPU(pid)
	if err != nil {
		return outcome{}, err
	}
	seen.serverCPU = after - before
	if seen.serverRSS, err = processRSS(pid); err != nil {
		return outcome{}, err
	}
	if d.open != nil {
		seen.lateness = d.open.lateness
		seen.unanswered, err = d.drain()
	}
	return seen, err
}

// loop answers events until deadline.
func (d *driver) loop(deadline time.Time) error {
	for {
		if d.open != nil {
			if err := d.open.arm(); err != nil {
				return err
			}
		}
		n, err := unix.EpollWait(d.epoll, d.events, waitMillis(time.Until(deadline)))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("driver: epoll wait: %w", err)
		}
		for _, event := range d.events[:max(n, 0)] {
			if err := d.happened(event); err != nil {
				return err
			}
		}
		if !time.Now().Before(deadline) || d.drained() {
			return nil
		}
	}
}

// waitMillis bounds one wait: 10 ms at most, and not beyond the deadline.
func waitMillis(left time.Duration) int {
	return int(min(max(left, 0)+time.Millisecond-1, 10*time.Millisecond) / time.Millisecond)
}

func (d *driver) happened(event unix.EpollEvent) error {
	if d.open != nil && event.Fd == int32(d.open.timer) { //nolint:gosec // a descriptor
		d.open.rang()
		return d.sendDue(time.Now())
	}
	return d.handle(d.conns[event.Fd], event.Events)
}

// note counts an answer that has come at now for the request of c. Rates are of what came
// in the counted stage; latencies of what was due in it, which in a closed loop must have
// come in it too, as nothing is waited for after it.
func (d *driver) note(c *connection, v verdict, answer []byte, now time.Time) {
	if d.counts(now) {
		d.seen[v]++
		if v == refused && d.refusal == "" {
			d.refusal = string(bodyOf(answer))
		}
	} else if d.open == nil {
		return
	}
	if d.counts(c.due) {
		d.answered++
		if v == accepted {
			d.recordLatency(now.Sub(c.due))
		}
	}
}

// counts says whether t is in the counted stage.
func (d *driver) counts(t time.Time) bool { return !t.Before(d.from) && t.Before(d.to) }

func (d *driver) recordLatency(took time.Duration) {
	_ = d.latency.RecordValue(min(took.Microseconds(), longest)) // in range by the min
}

func (d *driver) close() {
	for _, c := range d.conns {
		unix.Close(c.fd)
	}
	if d.open != nil {
		unix.Close(d.open.timer)
	}
	unix.Close(d.epoll)
}
