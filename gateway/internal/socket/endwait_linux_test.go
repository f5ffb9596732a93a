package socket_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestEndWait: one call ends a ReadEach that missed the end of the stream, whenever it comes, and what is
// written afterwards still arrives.
func TestEndWait(t *testing.T) {
	for n := range 300 {
		client, c := pair(t)
		_ = client.SetDeadline(time.Now().Add(10 * time.Second))
		given, done := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := c.ReadEach(make([]byte, 10), func(int) bool { given <- struct{}{}; return true })
			done <- err
		}()
		_, _ = client.Write([]byte("x"))
		<-given
		cork(t, client) // the next bytes and the end go out as one
		_, _ = client.Write([]byte("y"))
		_ = client.CloseWrite()
		<-given
		time.Sleep(time.Duration(n%3) * 50 * time.Microsecond) // before it waits, or after
		c.EndWait()
		endsWith(t, done, io.EOF)
		if _, err := c.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if got, err := io.ReadAll(client); string(got) != "late" || err != nil {
			t.Fatalf("the client read %q, %v", got, err)
		}
		_ = client.Close()
	}
}

// cork holds back what c sends until it ends its side.
func cork(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var corked error
	if err := raw.Control(func(fd uintptr) {
		corked = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1)
	}); err != nil || corked != nil {
		t.Fatal(err, corked)
	}
}
