package receive

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// tcpPair returns both ends of a connection over loopback and the socket of the second.
func tcpPair(t testing.TB) (client, server *net.TCPConn, tcp *socket.Conn) {
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
	client, server = one.(*net.TCPConn), other.(*net.TCPConn)
	if tcp, err = socket.Of(server); err != nil {
		t.Fatal(err)
	}
	return client, server, tcp
}

func TestDiscardStopsWhereItIsTold(t *testing.T) {
	client, server, tcp := tcpPair(t)
	for name, tcp := range map[string]*socket.Conn{"forgotten by the kernel": tcp, "copied": nil} {
		if _, err := io.WriteString(client, "forgotten, kept"); err != nil {
			t.Fatal(err)
		}
		discard(server, tcp, int64(len("forgotten, ")))
		rest := make([]byte, len("kept"))
		if _, err := io.ReadFull(server, rest); err != nil || string(rest) != "kept" {
			t.Errorf("%s: what is left is %q, %v", name, rest, err)
		}
	}
	for _, b := range forgotten {
		if b != 0 {
			t.Fatal("what was discarded was copied")
		}
	}
}

func TestDiscardEndsWithTheConnection(t *testing.T) {
	client, server, tcp := tcpPair(t)
	go func() {
		_, _ = client.Write(make([]byte, 3<<20)) // more than the socket's buffers take: it waits for us
		client.Close()
	}()
	discard(server, tcp, 1<<40)
	if n, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes are left, %v", n, err)
	}
}

func TestDiscardEndsWithTheDeadline(t *testing.T) {
	_, server, tcp := tcpPair(t)
	if err := server.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	discard(server, tcp, 1) // the test's own time limit is the failure
}

// BenchmarkDiscard is what a body of 2 MiB that is refused unread costs, both ends: forgotten by
// the kernel, and copied.
func BenchmarkDiscard(b *testing.B) {
	const size = 2 << 20
	body := make([]byte, size)
	for name, kernel := range map[string]bool{"kernel": true, "copied": false} {
		b.Run(name, func(b *testing.B) {
			client, server, tcp := tcpPair(b)
			if !kernel {
				tcp = nil
			}
			go func() {
				for {
					if _, err := client.Write(body); err != nil {
						return
					}
				}
			}()
			b.SetBytes(size)
			for b.Loop() {
				discard(server, tcp, size)
			}
		})
	}
}
