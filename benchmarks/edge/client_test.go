//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// fake answers like a gateway, after what its handler does.
type fake struct {
	address netip.AddrPort
	conns   atomic.Int64 // that were accepted
	asked   atomic.Int64
}

// startFake serves until the test ends. handle returns an answer; an empty one closes the
// connection without.
func startFake(t *testing.T, handle func(n int64) string) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f := &fake{address: netip.MustParseAddrPort(ln.Addr().String())}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			go f.serve(c, handle)
		}
	}()
	return f
}

func (f *fake) serve(c net.Conn, handle func(int64) string) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		text := handle(f.asked.Add(1))
		if text == "" {
			return
		}
		if _, err := io.WriteString(c, text); err != nil || strings.Contains(text, "Connection: close") {
			return
		}
	}
}

// drive drives f at the fake for a counted time of length, behind a warm-up in which the schedule
// has begun also on a machine that is busy.
func (f *fake) drive(t *testing.T, load flow, length time.Duration) *seen {
	t.Helper()
	load.server, load.source, load.requests = f.address, honestSource, honest(2, time.Now())
	from := time.Now().Add(200 * time.Millisecond)
	saw, err := load.drive(t.Context(), drive.Span{From: from, To: from.Add(length)})
	if err != nil {
		t.Fatal(err)
	}
	return saw
}

func TestEveryArrivalIsAnsweredOnce(t *testing.T) {
	f := startFake(t, func(int64) string { return answerText(200, "", okBody) })
	saw := f.drive(t, flow{conns: 4, rate: 200}, 500*time.Millisecond)
	due := saw.accepted() + saw.unanswered // 100, and one more or less for where in its beat the schedule begins
	if due < 99 || due > 101 || saw.refused() != 0 || saw.cut != 0 || saw.latency.TotalCount() != due {
		t.Errorf("accepted %d, refused %d, cut %d, unanswered %d, latencies %d", saw.accepted(), saw.refused(), saw.cut, saw.unanswered, saw.latency.TotalCount())
	}
}

func TestAServerThatStandsIsNotFast(t *testing.T) {
	block := make(chan struct{})
	f := startFake(t, func(n int64) string {
		if n > 10 {
			<-block
		}
		return answerText(200, "", okBody)
	})
	time.AfterFunc(700*time.Millisecond, func() { close(block) })
	saw := f.drive(t, flow{conns: 2, rate: 200}, 250*time.Millisecond)
	if p99 := saw.latency.ValueAtQuantile(99); saw.accepted()+saw.unanswered < 49 || p99 < 250_000 {
		t.Errorf("%d answered, %d not, p99 %d us: waiting for a free connection is not counted", saw.accepted(), saw.unanswered, p99)
	}
}

func TestRefusalsThatCloseAreNotCuts(t *testing.T) {
	f := startFake(t, func(n int64) string {
		switch n % 3 {
		case 0:
			return answerText(413, "Connection: close\r\n", failBody)
		case 1:
			return answerText(401, "", failBody)
		}
		return answerText(200, "", okBody)
	})
	saw := f.drive(t, flow{conns: 8}, 300*time.Millisecond)
	if saw.answers[413] <= 8 || saw.answers[401] == 0 || saw.accepted() == 0 || saw.cut != 0 || saw.refused() != saw.answers[413]+saw.answers[401] {
		t.Errorf("200: %d, 401: %d, 413: %d, refused %d, cut %d", saw.accepted(), saw.answers[401], saw.answers[413], saw.refused(), saw.cut)
	}
}

func TestAConnectionWithoutAnAnswerIsACut(t *testing.T) {
	f := startFake(t, func(n int64) string {
		if n%4 == 0 {
			return ""
		}
		return answerText(200, "", okBody)
	})
	if saw := f.drive(t, flow{conns: 2, rate: 100}, 400*time.Millisecond); saw.cut == 0 || saw.accepted() == 0 {
		t.Errorf("%d cut, %d accepted", saw.cut, saw.accepted())
	}
}

func TestOnceIsANewConnectionEachTime(t *testing.T) {
	f := startFake(t, func(int64) string { return answerText(200, "", okBody) })
	saw := f.drive(t, flow{conns: 2, once: true}, 200*time.Millisecond)
	if saw.accepted() == 0 || f.conns.Load() < saw.accepted() {
		t.Errorf("%d connections for %d answers", f.conns.Load(), saw.accepted())
	}
}

func TestAnAnswerThatIsNoneEndsTheRun(t *testing.T) {
	f := startFake(t, func(int64) string { return answerText(200, "", failBody) })
	load := flow{server: f.address, source: honestSource, conns: 1, requests: honest(1, time.Now())}
	now := time.Now()
	if _, err := load.drive(t.Context(), drive.Span{From: now, To: now.Add(10 * time.Second)}); err == nil {
		t.Error("a 200 that says FAIL was taken")
	}
}

func TestAnInterruptEndsTheRun(t *testing.T) {
	f := startFake(t, func(int64) string { return answerText(200, "", okBody) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	load := flow{server: f.address, source: honestSource, conns: 1, requests: honest(1, time.Now())}
	if _, err := load.drive(ctx, drive.Span{From: time.Now(), To: time.Now().Add(time.Hour)}); err == nil {
		t.Error("it went on")
	}
}

func TestSlowConnectionsAreHeldAndComeBack(t *testing.T) {
	f := startFake(t, func(int64) string { return "" })
	d, err := openDrip(t.Context(), f.address, 300)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.open != 300 {
		t.Fatalf("%d of 300 are there", d.open)
	}
	now := time.Now()
	if err := d.run(t.Context(), drive.Span{From: now, To: now.Add(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	if d.least != 300 || d.sent == 0 {
		t.Errorf("%d held, %d bytes sent", d.least, d.sent)
	}
}
