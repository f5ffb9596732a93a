//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// openLoop is the part of a driver that sends on schedule. An arrival for which no
// connection is free waits for one, first come, first served; its latency counts from when
// it was due.
type openLoop struct {
	drive.Schedule
	next     int64         // number of the arrival to be sent next
	free     []*connection // the one that has been free longest first, so that all are used
	until    time.Time     // no arrival is sent that is due then or later; zero: all are
	lateness *hdrhistogram.Histogram
}

// schedule makes d an open loop, whose first arrival is due now.
func (d *driver) schedule(rate float64) {
	d.open = &openLoop{Schedule: drive.Schedule{Begin: time.Now(), Rate: rate}, lateness: drive.NewLatencies()}
	for _, c := range d.conns {
		d.open.free = append(d.open.free, c)
	}
}

// sendDue sends what is due at now, as far as connections are free.
func (d *driver) sendDue(now time.Time) error {
	o := d.open
	for len(o.free) > 0 {
		due := o.Due(o.next)
		if due.After(now) || !o.until.IsZero() && !due.Before(o.until) {
			return nil
		}
		c := o.free[0]
		o.free = slices.Delete(o.free, 0, 1)
		if d.counted.Has(due) {
			able := due // since when it could have been sent
			if c.freed.After(due) {
				able = c.freed
			}
			drive.Record(o.lateness, now.Sub(able))
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
	return o != nil && !o.until.IsZero() && len(o.free) == len(d.conns) && !o.Due(o.next).Before(o.until)
}

// drain waits for the answers to all that was due in the counted stage, but no longer than
// drive.Patience, and returns how many did not come. Those are in the latencies with the time
// that they have waited so far: left out, they would make a server look fast that stands.
func (d *driver) drain() (unanswered int64, err error) {
	o := d.open
	o.until = d.counted.To
	if !d.drained() {
		if err := d.loop(time.Now().Add(drive.Patience)); err != nil {
			return 0, err
		}
	}
	now := time.Now()
	for _, c := range d.conns {
		if !slices.Contains(o.free, c) && d.counted.Has(c.due) {
			unanswered++
			drive.Record(d.latency, now.Sub(c.due))
		}
	}
	for ; o.Due(o.next).Before(d.counted.To); o.next++ {
		if due := o.Due(o.next); d.counted.Has(due) {
			unanswered++
			drive.Record(d.latency, now.Sub(due))
		}
	}
	if due := o.First(d.counted.To) - o.First(d.counted.From); d.answered+unanswered != due {
		return 0, fmt.Errorf("driver: %d arrivals were due, %d answered and %d not", due, d.answered, unanswered)
	}
	return unanswered, nil
}
