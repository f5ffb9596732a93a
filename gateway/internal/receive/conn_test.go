package receive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// stopping calls Shutdown, waits until it has begun, and returns where its error comes.
func (g *gate) stopping(t *testing.T) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			return done
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener still accepts")
		}
	}
}

// keptAlive returns a connection that had a request and is idle.
func (g *gate) keptAlive(t *testing.T) *client {
	t.Helper()
	c := g.dial(t)
	c.send(post(target(unsignedApp, "Drop.X"), "{}"))
	c.read("POST").wantOK(t)
	return c
}

// TestLastWords: once the listener is closed, what still comes on open connections is
// answered and those that stay silent are closed; nobody waits for them longer.
func TestLastWords(t *testing.T) {
	g := newServing(t, nil)
	kept, fresh, slow := g.keptAlive(t), g.dial(t), g.dial(t)
	silent, silentFresh := g.keptAlive(t), g.dial(t)
	done := g.stopping(t)

	for _, c := range []*client{kept, fresh} {
		c.send(post(target(unsignedApp, alarm), "{}"))
	}
	slow.send("POST / HTTP/1.1\r\n")
	for _, c := range []*client{kept, fresh} {
		got := c.read("POST")
		got.wantRefusal(t, refusedDraining)
		if !got.close {
			t.Error("the answer does not say that the connection is closed")
		}
		c.closed()
	}
	silent.closed() // without a word: the time for last words is over
	slow.send("Host: h\r\nContent-Length: 2\r\n\r\n{}")
	slow.read("POST").wantRefusal(t, refusedDraining)
	silentFresh.read("POST").wantRefusal(t, refusedDraining)
	for _, c := range []*client{slow, silentFresh} {
		_ = c.conn.Close()
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("silent connections hold the shutdown up")
	}
}

// TestShutdownCutsNobody stops under clients that keep their connections and send as fast
// as they can: each request is answered whole, until an answer says that it is the last.
func TestShutdownCutsNobody(t *testing.T) {
	for round := range 20 {
		g := newServing(t, unlimited(t))
		var clients sync.WaitGroup
		told := make(chan error, 32)
		begun := make(chan struct{}, cap(told))
		for range cap(told) {
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() { told <- untilLast(conn, begun) })
		}
		for range cap(told) {
			<-begun
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		clients.Wait()
		close(told)
		for err := range told {
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	}
}

// untilLast sends callbacks over conn until an answer closes it. It returns what is wrong
// with an answer, and says on begun when it had its first.
func untilLast(conn net.Conn, begun chan<- struct{}) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for n := 1; ; n++ {
		if _, err := io.WriteString(conn, post(target(unsignedApp, "Drop.X"), "{}")); err != nil {
			return fmt.Errorf("send request %d: %w", n, err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return fmt.Errorf("answer %d: %w", n, err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return fmt.Errorf("body of answer %d: %w", n, err)
		}
		if answer.StatusCode != 200 && answer.StatusCode != 503 {
			return fmt.Errorf("answer %d: status %d, %s", n, answer.StatusCode, body)
		}
		if n == 1 {
			begun <- struct{}{}
		}
		if answer.Close {
			return nil
		}
	}
}

// TestLastWordIsLong: who has to earn his rest has as long for his last word as others.
func TestLastWordIsLong(t *testing.T) {
	g := newGate(t, nil)
	all := newConnections(g.timeouts)
	c := all.add(&memoryConn{}, g.Receiver)
	c.line.used = 1 // a request was refused
	all.leave(lastWord)
	c.rests()
	if at, until := c.read.at.Load(), all.in(lastWord); at != until|idleBit {
		t.Errorf("the connection has to bring its last request by %v, want %v", time.Duration(at), time.Duration(until))
	}
}

// TestLeaveMeetsARequest: leave comes while a connection changes between resting and a request, as
// often as it takes to hit every moment. Who rests afterwards has the last word's time, and who does
// not, keeps that of its request and gets it when it rests.
func TestLeaveMeetsARequest(t *testing.T) {
	for n := range 20000 {
		all := newConnections(timeouts{read: time.Hour, idle: 2 * time.Hour})
		c := all.add(&memoryConn{}, nil)
		c.line.used = int64(n % 2) // its first request, or a later one
		var leaving sync.WaitGroup
		leaving.Go(func() { all.leave(lastWord) })
		for range n % 7 {
			c.starts()
			c.rests()
		}
		if n%3 == 0 {
			c.starts()
		}
		leaving.Wait()
		if n%3 == 0 {
			if at := c.read.at.Load(); at != all.in(time.Hour) {
				t.Fatalf("round %d: the request has until %d", n, at)
			}
			c.rests()
		}
		if at, until := c.read.at.Load(), all.in(lastWord)|idleBit; at != until {
			t.Fatalf("round %d: the connection rests until %d, want %d", n, at, until)
		}
	}
}

// TestDeadlineFromOutsideLeavesTheRest: whoever else sets a deadline does not keep leave from one.
func TestDeadlineFromOutsideLeavesTheRest(t *testing.T) {
	all := newConnections(timeouts{read: time.Hour, idle: 2 * time.Hour})
	c := all.add(&memoryConn{}, nil)
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	all.leave(time.Second)
	if at, until := c.read.at.Load(), all.in(time.Second)|idleBit; at != until {
		t.Errorf("the connection rests until %d, want %d", at, until)
	}
}
