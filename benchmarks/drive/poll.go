//go:build linux

package drive

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxWait bounds one wait: who waits looks at other things at least so often.
const maxWait = 10 * time.Millisecond

// Poll waits for events of descriptors, and for a time. It is for one goroutine, which keeps its
// thread to itself where latencies count.
type Poll struct {
	epoll, timer int
	armed        time.Time // when the timer rings; zero: it does not
	events       []unix.EpollEvent
}

// NewPoll returns a Poll that watches nothing. The caller closes it.
func NewPoll() (*Poll, error) {
	p := &Poll{timer: -1, events: make([]unix.EpollEvent, 1024)}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		p.Close()
		return nil, fmt.Errorf("timer: %w", err)
	}
	if err := p.Watch(p.timer, unix.EPOLLIN); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Watch has Wait tell of these events of fd from now on, until fd is closed.
func (p *Poll) Watch(fd int, events uint32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, events)
}

// Change replaces the events of fd, which is watched.
func (p *Poll) Change(fd int, events uint32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, events)
}

func (p *Poll) control(operation, fd int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, operation, fd, &event); err != nil {
		return fmt.Errorf("epoll control: %w", err)
	}
	return nil
}

// Ring has a Wait end at at, or at once where that is over, in place of the time before. It costs
// nothing where that was the same.
func (p *Poll) Ring(at time.Time) error {
	if p.armed.Equal(at) {
		return nil
	}
	left := max(time.Until(at), 1) // 0 would disarm
	if err := unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(left.Nanoseconds())}, nil); err != nil {
		return fmt.Errorf("set timer: %w", err)
	}
	p.armed = at
	return nil
}

// Wait returns the events that there are, or waits for some, for the time of Ring, for 10 ms, or
// until deadline, whichever comes first. rang: the time of Ring has come. The events are valid until
// the next call.
func (p *Poll) Wait(deadline time.Time) (events []unix.EpollEvent, rang bool, err error) {
	n, err := unix.EpollWait(p.epoll, p.events, waitMillis(time.Until(deadline)))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, false, fmt.Errorf("epoll wait: %w", err)
	}
	events = p.events[:max(n, 0)]
	for i := range events {
		if events[i].Fd == int32(p.timer) {
			var count [8]byte
			_, _ = unix.Read(p.timer, count[:]) // EAGAIN: it was set anew meanwhile
			p.armed = time.Time{}
			copy(events[i:], events[i+1:])
			return events[:len(events)-1], true, nil
		}
	}
	return events, false, nil
}

// waitMillis bounds one wait by maxWait and what is left until the deadline, rounded up.
func waitMillis(left time.Duration) int {
	return int(min(max(left, 0)+time.Millisecond-1, maxWait) / time.Millisecond)
}

// Close lets go of what NewPoll made, not of what is watched.
func (p *Poll) Close() {
	for _, fd := range []int{p.timer, p.epoll} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
