//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// schedule says when arrivals are due: number i at begin + i/rate. Nothing is summed up,
// so it does not drift, and nothing that the server does moves it.
type schedule struct {
	begin time.Time
	rate  float64 // a second
}

func (s schedule) due(i int64) time.Time {
	return s.begin.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

// first is the number of the first arrival that is due at t or later.
func (s schedule) first(t time.Time) int64 {
	i := max(0, int64(t.Sub(s.begin).Seconds()*s.rate)-1) // one early: rounding
	for s.due(i).Before(t) {
		i++
	}
	return i
}

// openLoop is the part of a driver that sends on schedule. An arrival for which no
// connection is free waits for one, first come, first served; its latency counts from when
// it was due.
type openLoop struct {
	schedule
	next     int64         // number of the arrival to be sent next
	free     []*connection // the one that has been free longest first, so that all are used
	timer    int           // timerfd
	armed    int64         // number of the arrival that the timer rings for; -1: none
	until    time.Time     // no arrival is sent that is due then or later; zero: all are
	lateness *hdrhistogram.Histogram
}

// schedule makes d an open loop, whose first arrival is due now.
func (d *driver) schedule(rate float64) error {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("driver: timer: %w", err)
	}
	d.open = &openLoop{schedule: schedule{begin: time.Now(), rate: rate}, timer: timer, armed: -1, lateness: hdrhistogram.New(1, longest, 3)}
	for _, c := range d.conns {
		d.open.free = append(d.open.free, c)
	}
	return d.watch(unix.EPOLL_CTL_ADD, timer, unix.EPOLLIN)
}

// arm has the timer ring when the next arrival is due. Where no connection is free, the
// next answer is what sends it.
func (o *openLoop) arm() error {
	if len(o.free) == 0 || o.armed == o.next {
		return nil
	}
	left := max(time.Until(o.due(o.next)), 1) // 0 would disarm
	if err := unix.TimerfdSettime(o.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(left.Nanoseconds())}, nil); err != nil {
		return fmt.Errorf("driver: set timer: %w", err)
	}
	o.armed = o.next
	return nil
}

// rang takes notice of the timer.
func (o *openLoop) rang() {
	var count [8]byte
	_, _ = unix.Read(o.timer, count[:]) // EAGAIN: it was set anew meanwhile
	o.armed = -1
}

// sendDue sends what is due at now, as far as connections are free.
func (d *driver) sendDue(now time.Time) error {
	o := d.open
	for len(o.free) > 0 {
		due := o.due(o.next)
		if due.After(now) || !o.until.IsZero() && !due.Before(o.until) {
			return nil
		}
		c := o.free[0]
		o.free = slices.Delete(o.free, 0, 1)
		if d.counts(due) {
			able := due // since when it could have been sent
			if c.freed.After(due) {
				able = c.freed
			}
			_ = o.lateness.RecordValue(min(now.Sub(able).Microseconds(), longest)) // in range by the min
		}
		o.next++
		if err := d.send(c, due); err != nil {
			return err
		}
	}
	return nil
}

// drained says whether all that was due before the end of the schedule is answered.
func (d *driver) drained() bool {
	o := d.open
	return o != nil && !o.until.IsZero() && len(o.free) == len(d.conns) && !o.due(o.next).Before(o.until)
}

// drain waits for the answers to all that was due in the counted stage, but no longer than
// patience, and returns how many did not come. Those are in the latencies with the time
// that they have waited so far: left out, they would make a server look fast that stands.
func (d *driver) drain() (unanswered int64, err error) {
	o := d.open
	o.until = d.to
	if !d.drained() {
		if err := d.loop(time.Now().Add(patience)); err != nil {
			return 0, err
		}
	}
	now := time.Now()
	for _, c := range d.conns {
		if !slices.Contains(o.free, c) && d.counts(c.due) {
			unanswered++
			d.recordLatency(now.Sub(c.due))
		}
	}
	for ; o.due(o.next).Before(d.to); o.next++ {
		if due := o.due(o.next); d.counts(due) {
			unanswered++
			d.recordLatency(now.Sub(due))
		}
	}
	if due := o.first(d.to) - o.first(d.from); d.answered+unanswered != due {
		return 0, fmt.Errorf("driver: %d arrivals were due, %d answered and %d not", due, d.answered, unanswered)
	}
	return unanswered, nil
}
