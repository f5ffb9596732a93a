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

	"github.com/tidegate/tidegate/benchmarks/drive"
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

// driver is the loop: one thread, one epoll instance, all connections.
type driver struct {
	poll   *drive.Poll
	conns  map[int32]*connection
	buffer []byte
	open   *openLoop // nil: closed loop

	counted  drive.Span // the counted stage; zero before it
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
	poll, err := drive.NewPoll()
	if err != nil {
		return nil, fmt.Errorf("driver: %w", err)
	}
	d := &driver{poll: poll, conns: map[int32]*connection{}, buffer: make([]byte, 64<<10), latency: drive.NewLatencies()}
	for i := range l.conns {
		if err := d.connect(l.address, l.requests[i%len(l.requests)], l.tls); err != nil {
			d.close()
			return nil, err
		}
	}
	if l.rate > 0 {
		d.schedule(l.rate)
		return d, nil
	}
	if err := d.sendAll(); err != nil {
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
	before, err := drive.ProcessCPU(pid)
	if err != nil {
		return outcome{}, err
	}
	cpu := drive.ThreadCPU()
	now := time.Now()
	d.counted = drive.Span{From: now, To: now.Add(length)}
	if err := d.loop(d.counted.To); err != nil {
		return outcome{}, err
	}
	seen := outcome{
		accepted: d.seen[accepted], refused: d.seen[refused], refusal: d.refusal,
		elapsed: length, latency: d.latency, driverCPU: drive.ThreadCPU() - cpu,
	}
	after, err := drive.ProcessCPU(pid)
	if err != nil {
		return outcome{}, err
	}
	seen.serverCPU = after - before
	if seen.serverRSS, err = drive.Resident(pid); err != nil {
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
		if o := d.open; o != nil && len(o.free) > 0 { // else the next answer is what sends it
			if err := d.poll.Ring(o.Due(o.next)); err != nil {
				return fmt.Errorf("driver: %w", err)
			}
		}
		events, rang, err := d.poll.Wait(deadline)
		if err != nil {
			return fmt.Errorf("driver: %w", err)
		}
		if rang && d.open != nil {
			if err := d.sendDue(time.Now()); err != nil {
				return err
			}
		}
		for _, event := range events {
			if err := d.handle(d.conns[event.Fd], event.Events); err != nil {
				return err
			}
		}
		if !time.Now().Before(deadline) || d.drained() {
			return nil
		}
	}
}

// note counts an answer that has come at now for the request of c. Rates are of what came
// in the counted stage; latencies of what was due in it, which in a closed loop must have
// come in it too, as nothing is waited for after it.
func (d *driver) note(c *connection, v verdict, answer []byte, now time.Time) {
	if d.counted.Has(now) {
		d.seen[v]++
		if v == refused && d.refusal == "" {
			d.refusal = string(bodyOf(answer))
		}
	} else if d.open == nil {
		return
	}
	if d.counted.Has(c.due) {
		d.answered++
		if v == accepted {
			drive.Record(d.latency, now.Sub(c.due))
		}
	}
}

func (d *driver) close() {
	for _, c := range d.conns {
		unix.Close(c.fd)
	}
	d.poll.Close()
}
