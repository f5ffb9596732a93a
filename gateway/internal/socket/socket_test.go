package socket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// pair returns the client's end of a connection over loopback, and the server's as a Conn.
func pair(t testing.TB) (*net.TCPConn, *socket.Conn) {
	t.Helper()
	client, server := tcp(t)
	c, err := socket.Of(server)
	if err != nil {
		t.Fatal(err)
	}
	return client, c
}

func tcp(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	one, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	return one.(*net.TCPConn), other.(*net.TCPConn)
}

// TestEcho sends more than the kernel's buffers take through a Conn, both ways at once.
func TestEcho(t *testing.T) {
	client, c := pair(t)
	sent := make([]byte, 8<<20)
	for i := range sent {
		sent[i] = byte(i * i >> 8)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := client.Write(sent); err != nil {
			t.Error(err)
		}
		_ = client.CloseWrite()
	})
	wait.Go(func() {
		if n, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}); n != int64(len(sent)) || err != nil {
			t.Errorf("%d of %d bytes, %v", n, len(sent), err)
		}
		_ = c.CloseWrite()
	})
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	wait.Wait()
}

// TestReadEnds: what ends a read is told as net tells it.
func TestReadEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(client *net.TCPConn, c *socket.Conn)
		want error
	}{
		{"the client closed", func(client *net.TCPConn, _ *socket.Conn) { _ = client.Close() }, io.EOF},
		{"the client reset", func(client *net.TCPConn, _ *socket.Conn) { _ = client.SetLinger(0); _ = client.Close() }, syscall.ECONNRESET},
		{"the deadline passed", func(_ *net.TCPConn, c *socket.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"we closed", func(_ *net.TCPConn, c *socket.Conn) { _ = c.Close() }, net.ErrClosed},
	} {
		for _, early := range []bool{true, false} {
			client, c := pair(t)
			done := make(chan error, 1)
			read := func() {
				n, err := c.Read(make([]byte, 10))
				if n != 0 {
					t.Errorf("%s: %d bytes", tt.name, n)
				}
				done <- err
			}
			if early {
				tt.do(client, c)
				go read()
			} else {
				go read()
				tt.do(client, c) // while it waits, or just before: both have to end
			}
			select {
			case err := <-done:
				if !errors.Is(err, tt.want) {
					t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
				}
				var timeout net.Error
				if errors.Is(tt.want, os.ErrDeadlineExceeded) && (!errors.As(err, &timeout) || !timeout.Timeout()) {
					t.Errorf("%s: %v is no timeout", tt.name, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the read goes on", tt.name)
			}
		}
	}
}

// TestReadAfterADeadline: one that has passed and was taken back leaves nothing behind.
func TestReadAfterADeadline(t *testing.T) {
	client, c := pair(t)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 2)
	if n, err := c.Read(p); n != 1 || err != nil || p[0] != 'x' {
		t.Errorf("%d bytes, %q, %v", n, p, err)
	}
}

// TestTryWrite takes what the kernel takes, does not wait for more, and says how much that was.
func TestTryWrite(t *testing.T) {
	client, c := pair(t)
	big := bytes.Repeat([]byte("tide"), 8<<20)
	n, err := c.TryWrite(big)
	if err != nil || n == 0 || n == len(big) {
		t.Fatalf("%d of %d bytes, %v", n, len(big), err)
	}
	for more := 1; more > 0; { // until the buffers are full
		if more, err = c.TryWrite(big[n:]); err != nil {
			t.Fatal(err)
		}
		n += more
	}
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if more, err := c.TryWrite(big[n:]); more != 0 || err != nil {
		t.Errorf("after the deadline, which does not matter: %d bytes, %v", more, err)
	}
	if more, err := c.Write(big[n:]); more != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write after the deadline: %d bytes, %v", more, err)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, big[:n]) {
		t.Error("what came is not what was written", err)
	}
	_ = c.Close()
	if _, err := c.TryWrite(big); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestTryWriteMeetsClose: whoever gets the closed connection's number next, gets nothing that was for it.
func TestTryWriteMeetsClose(t *testing.T) {
	for range 500 {
		_, c := pair(t)
		closed := make(chan error)
		var enough atomic.Bool
		go func() {
			var err error
			for err == nil && !enough.Load() {
				_, err = c.TryWrite([]byte("x"))
			}
			closed <- err
		}()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		next, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0) // one of the two has the number now
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range next {
			_ = syscall.SetNonblock(fd, true)
		}
		time.AfterFunc(time.Second, func() { enough.Store(true) })
		if err := <-closed; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
		for _, fd := range next {
			p := make([]byte, 10)
			if n, _, err := syscall.Recvfrom(fd, p, syscall.MSG_DONTWAIT); !errors.Is(err, syscall.EAGAIN) {
				t.Fatalf("the next file of the number got %q, %v", p[:max(n, 0)], err)
			}
		}
		for _, fd := range next {
			_ = syscall.Close(fd)
		}
	}
}

// TestWriteToNobody: a client that is gone is an error of Write, and no signal that ends the process.
func TestWriteToNobody(t *testing.T) {
	client, c := pair(t)
	_ = client.SetLinger(0)
	_ = client.Close()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := c.Write([]byte("x")); errors.Is(err, syscall.EPIPE) {
			return
		}
	}
	t.Error("writing to a client that is gone goes on")
}

// TestEmpty: nothing is read and written at once, whatever the other end does.
func TestEmpty(t *testing.T) {
	_, c := pair(t)
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("read nothing: %d, %v", n, err)
	}
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("write nothing: %d, %v", n, err)
	}
}

// TestNoAllocations of a request and its answer.
func TestNoAllocations(t *testing.T) {
	client, c := pair(t)
	p, q := make([]byte, 300), make([]byte, 300)
	if allocs := testing.AllocsPerRun(100, func() {
		_, _ = client.Write(p)
		n, err := c.Read(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Write(q[:n]); err != nil {
			t.Fatal(err)
		}
		_, _ = client.Read(p)
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkAnswer is a request and its answer over loopback, both ends: by net's connection, and by a Conn.
func BenchmarkAnswer(b *testing.B) {
	for _, name := range []string{"net", "socket"} {
		b.Run(name, func(b *testing.B) {
			client, server := tcp(b)
			var conn net.Conn = server
			if name == "socket" {
				c, err := socket.Of(server)
				if err != nil {
					b.Fatal(err)
				}
				conn = c
			}
			go func() {
				buf := make([]byte, 512)
				for {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					if _, err := conn.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
			p := make([]byte, 300)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestReadEach gives each piece to a function, also pieces that fill the buffer, waits for nothing that is
// there, and returns the first that it does not want more after.
func TestReadEach(t *testing.T) {
	client, c := pair(t)
	p := make([]byte, 8)
	given, ended := make(chan string, 16), make(chan string, 1)
	go func() {
		n, err := c.ReadEach(p, func(n int) bool {
			given <- string(p[:n])
			return p[n-1] != '.'
		})
		ended <- fmt.Sprint(string(p[:n]), " ", err)
	}()
	for _, piece := range []string{"a", "bcdefgh", "12345678", "12345678123456781", "x", "123456781234567", "the end."} {
		if _, err := client.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != piece; {
			select {
			case more := <-given:
				got += more
			case <-time.After(10 * time.Second):
				t.Fatalf("of %q it gives %q and waits", piece, got)
			}
		}
	}
	if got := <-ended; got != "the end. <nil>" {
		t.Errorf("it returned %s", got)
	}
}

// TestReadEachMissesNothing has a client that sends the next byte as soon as it has the answer to the last,
// and some at once, so that they come at every moment of a read: none is waited for that is there.
func TestReadEachMissesNothing(t *testing.T) {
	const rounds = 20000
	client, c := pair(t)
	_ = client.SetDeadline(time.Now().Add(60 * time.Second))
	p := make([]byte, 64)
	done := make(chan error, 1)
	go func() {
		_, err := c.ReadEach(p, func(n int) bool {
			_, err := c.TryWrite(p[:n])
			return err == nil
		})
		done <- err
	}()
	answer := make([]byte, 64)
	for n := range rounds {
		pieces := 1 + n%3
		for range pieces {
			if _, err := client.Write([]byte{byte(n)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(client, answer[:pieces]); err != nil || answer[pieces-1] != byte(n) {
			t.Fatalf("round %d: %v", n, err)
		}
	}
	_ = client.Close()
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("it ended with %v", err)
	}
}

// TestReadEachEnds: what ends it is told as of Read, after some bytes and before any.
func TestReadEachEnds(t *testing.T) {
	for _, some := range []bool{false, true} {
		for _, tt := range []struct {
			name string
			do   func(client *net.TCPConn, c *socket.Conn)
			want error
		}{
			{"the client closed", func(client *net.TCPConn, _ *socket.Conn) { _ = client.Close() }, io.EOF},
			{"the client ended its side", func(client *net.TCPConn, _ *socket.Conn) { _ = client.CloseWrite() }, io.EOF},
			{"the client reset", func(client *net.TCPConn, _ *socket.Conn) { _ = client.SetLinger(0); _ = client.Close() }, syscall.ECONNRESET},
			{"the deadline passed", func(_ *net.TCPConn, c *socket.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
			{"we closed", func(_ *net.TCPConn, c *socket.Conn) { _ = c.Close() }, net.ErrClosed},
			{"we ended both sides", func(_ *net.TCPConn, c *socket.Conn) { _ = c.CloseWrite(); _ = c.CloseRead() }, io.EOF},
		} {
			client, c := pair(t)
			done, given := make(chan error, 1), make(chan struct{}, 2)
			go func() {
				n, err := c.ReadEach(make([]byte, 10), func(int) bool { given <- struct{}{}; return true })
				if n != 0 {
					t.Errorf("%s: %d bytes", tt.name, n)
				}
				done <- err
			}()
			if some {
				for range 2 {
					_, _ = client.Write([]byte("x"))
					<-given
				}
			}
			tt.do(client, c)
			t.Log(tt.name)
			endsWith(t, done, tt.want)
		}
	}
}

// endsWith wants done to tell of want, soon.
func endsWith(t *testing.T, done <-chan error, want error) {
	t.Helper()
	select {
	case err := <-done:
		if !errors.Is(err, want) {
			t.Fatalf("it ended with %v, want %v", err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

// TestReadEachFirstEnd: the end of a stream that comes together with its first bytes is found at once.
func TestReadEachFirstEnd(t *testing.T) {
	for n := range 200 {
		client, c := pair(t)
		done := make(chan error, 1)
		if n%2 == 0 { // it waits, or it does not yet
			go func() { _, err := c.ReadEach(make([]byte, 10), func(int) bool { return true }); done <- err }()
			time.Sleep(time.Millisecond)
		}
		_, _ = client.Write([]byte("x"))
		_ = client.CloseWrite()
		if n%2 == 1 {
			go func() { _, err := c.ReadEach(make([]byte, 10), func(int) bool { return true }); done <- err }()
		}
		endsWith(t, done, io.EOF)
		_ = client.Close()
		_ = c.Close()
	}
}

// TestEndWaitEndsNothingElse: a stream that goes on is not ended, whatever it does at the moment.
func TestEndWaitEndsNothingElse(t *testing.T) {
	client, c := pair(t)
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	var enough atomic.Bool
	var asking sync.WaitGroup
	asking.Go(func() {
		for !enough.Load() {
			c.EndWait()
		}
	})
	defer asking.Wait()
	defer enough.Store(true)
	done := make(chan error, 1)
	p := make([]byte, 16)
	go func() {
		_, err := c.ReadEach(p, func(n int) bool { _, err := c.TryWrite(p[:n]); return err == nil })
		done <- err
	}()
	answer := make([]byte, 1)
	for n := range 5000 {
		if _, err := client.Write([]byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, answer); err != nil || answer[0] != byte(n) {
			t.Fatalf("round %d: %v", n, err)
		}
	}
	_ = c.Close()
	endsWith(t, done, net.ErrClosed)
}
