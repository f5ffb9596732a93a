package receive

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// poller remembers what a deadline told it last.
type poller struct {
	told int
	last time.Time
}

func (p *poller) tell(t time.Time) error {
	p.told++
	p.last = t
	return nil
}

func TestDeadlineReachesThePollerOnlyWhenItPassed(t *testing.T) {
	var d deadline
	var p poller
	const now = 1000
	for range 3 {
		if err := d.set(now+2, p.tell); err != nil {
			t.Fatal(err)
		}
		d.expire(now, p.tell)
	}
	if p.told != 0 {
		t.Fatalf("the poller was told %d times of deadlines that did not pass", p.told)
	}
	_ = d.set(now, p.tell)
	d.expire(now, p.tell)
	d.expire(now, p.tell)
	if p.told != 1 || p.last.IsZero() || p.last.After(time.Now()) {
		t.Fatalf("told %d times, last %v: want once, a time that is past", p.told, p.last)
	}
	_ = d.set(now+2, p.tell)
	if p.told != 2 || !p.last.IsZero() {
		t.Fatalf("told %d times, last %v: want the passed one taken back", p.told, p.last)
	}
	for _, none := range []int64{noDeadline, noDeadline | idleBit} {
		_ = d.set(none, p.tell)
		d.expire(now, p.tell)
		if p.told != 2 {
			t.Fatal("no deadline passed for the poller")
		}
	}
	_ = d.set(now|idleBit, p.tell)
	d.expire(now, p.tell)
	if p.told != 3 {
		t.Fatal("the deadline of a connection that waits for a request did not pass")
	}
}

// A read whose deadline passes ends with the error that fasthttp and net/http know.
func TestReadEndsAtItsDeadline(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	s := newConnections(timeouts{read: 40 * time.Millisecond})
	var sweeping sync.WaitGroup
	stop := make(chan struct{})
	sweeping.Go(func() { s.keep(stop) })
	c := s.add(here, nil)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("it ended after %v, before its deadline", took)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = there.Write([]byte("x")) }()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("read after the deadline was taken back: %v", err)
	}
	close(stop)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	sweeping.Wait() // ends with the last connection
}

// Deadlines that are moved just before they pass never end a read, however the sweep falls.
func TestMovedDeadlineNeverFires(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	s := newConnections(timeouts{read: time.Millisecond})
	c := s.add(here, nil)
	stop := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.sweep()
			}
		}
	})
	go func() {
		for b := []byte("x"); ; {
			if _, err := there.Write(b); err != nil {
				return
			}
		}
	}()
	for i := range 20_000 {
		// The one that passes is never waited for: it is moved before the read.
		if err := errors.Join(c.SetReadDeadline(time.Now()), c.SetReadDeadline(time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	close(stop)
	sweeping.Wait()
	_ = c.Close()
}

// TestDeadlinesOfAStalledProcess: clients do not pay for a time in which nothing ran, in which what
// they sent was not read either: the sweeps' clock goes on by two sweeps at most.
func TestDeadlinesOfAStalledProcess(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	s := newConnections(timeouts{read: 800 * time.Millisecond, idle: time.Minute})
	c := s.add(here, nil)
	defer c.Close()
	for range 4 {
		s.swept -= time.Hour // as if the process had not run for so long
		s.sweep()
	}
	if c.read.fired.Load() {
		t.Fatal("the request's time is over after four late sweeps, each of which may count for a quarter of it")
	}
	for range 4 {
		s.swept -= time.Hour
		s.sweep()
	}
	if !c.read.fired.Load() {
		t.Error("the time never passes")
	}
}
