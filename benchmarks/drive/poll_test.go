//go:build linux

package drive

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Wait tells of a descriptor and of the time of Ring, each as itself, and of a time that was set
// anew only then.
func TestPoll(t *testing.T) {
	p, err := NewPoll()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if err := p.Watch(pair[0], unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	if events, rang, err := p.Wait(time.Now()); len(events) != 0 || rang || err != nil {
		t.Fatalf("nothing has happened: %v, %v, %v", events, rang, err)
	}
	if _, err := unix.Write(pair[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(5 * time.Millisecond)
	if err := p.Ring(soon); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		events, rang, err := p.Wait(deadline)
		if err != nil || len(events) != 1 || events[0].Fd != int32(pair[0]) {
			t.Fatalf("of the socket alone there is something to read: %v, %v", events, err)
		}
		if rang {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not ring")
		}
	}
	if early := time.Until(soon); early > 0 {
		t.Errorf("it rang %v early", early)
	}
	if err := p.Ring(soon); err != nil {
		t.Fatal(err)
	}
	if _, rang, err := p.Wait(time.Now().Add(20 * time.Second)); !rang || err != nil {
		t.Errorf("a time that is over does not ring again: %v", err)
	}
	if err := p.Ring(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, rang, err := p.Wait(time.Now().Add(time.Millisecond)); rang || err != nil {
		t.Errorf("it rang an hour early, or %v", err)
	}
}

func TestOneWaitIsShort(t *testing.T) {
	for left, want := range map[time.Duration]int{-time.Second: 0, 0: 0, 1: 1, time.Millisecond: 1, 5*time.Millisecond + 1: 6, time.Hour: 10} {
		if got := waitMillis(left); got != want {
			t.Errorf("with %v left it waits for %d ms, not %d", left, got, want)
		}
	}
}
