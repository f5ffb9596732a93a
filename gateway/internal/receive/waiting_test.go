package receive

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/reload"
)

// waitingIs waits until so many bytes of bodies are waiting.
func (g *gate) waitingIs(t testing.TB, what string, is func(n int64) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(g.waiting.now.Load()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are waiting, want %s", g.waiting.now.Load(), what)
		}
	}
}

// TestWaitingIsBounded: bodies that do not come to an end take up what there is and no more, one
// that finds no room is told so, small callbacks go on as if nothing were, and what is given up is
// free again.
func TestWaitingIsBounded(t *testing.T) {
	const size = 100_000
	for _, how := range []struct{ name, begin string }{
		{"length", head(signed(alarm), size, "")},
		{"chunked", "POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", size)},
	} {
		t.Run(how.name, func(t *testing.T) {
			g := newServing(t, func(o *Options) {
				unlimited(t)(o)
				o.MaxWaitingBytes, o.MaxBodyBytes = 10*size, size+size/10
			})
			var open []*client
			for len(open) < 9 {
				c := g.dial(t)
				c.send(how.begin + strings.Repeat("x", size/2))
				open = append(open, c)
				g.waitingIs(t, "another share", func(n int64) bool { return n >= int64(len(open)*size) })
			}
			for range 3 {
				c := g.dial(t)
				c.send(how.begin + strings.Repeat("x", size/2))
				got := c.read("POST")
				got.wantRefusal(t, refusedBusy)
				if !got.close {
					t.Error("the connection stays open")
				}
				g.exchange(t, post(signed(alarm), alarmBody)).wantOK(t)
				g.exchange(t, post(signed(alarm), strings.Repeat("x", 4000))).wantOK(t)
			}
			if now := g.waiting.now.Load(); now > g.waiting.limit {
				t.Errorf("%d bytes are waiting, the limit is %d", now, g.waiting.limit)
			}
			for _, c := range open[1:] {
				_ = c.conn.Close()
			}
			g.waitingIs(t, "one share", func(n int64) bool { return n < 2*size })
			end := strings.Repeat("x", size/2)
			if how.name == "chunked" {
				end += "\r\n0\r\n\r\n"
			}
			open[0].send(end)
			open[0].read("POST").wantOK(t)
			g.waitingIs(t, "none", func(n int64) bool { return n == 0 })
		})
	}
}

// TestChunksThatGrow: a chunked body takes its share as it comes.
func TestChunksThatGrow(t *testing.T) {
	g := newServing(t, func(o *Options) { o.MaxWaitingBytes, o.MaxBodyBytes = 80_000, 70_000 })
	c := g.dial(t)
	c.send("POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 10_000, strings.Repeat("x", 10_000))
	for range 3 {
		c.send(chunk)
	}
	g.waitingIs(t, "three chunks", func(n int64) bool { return n >= 30_000 })
	if !g.waiting.take(g.waiting.limit - g.waiting.now.Load()) {
		t.Fatal("no room")
	}
	c.send(chunk + chunk)
	c.read("POST").wantRefusal(t, refusedBusy)
}

// TestUnprovenChunksLeaveTheOtherHalf: a chunked body takes its share as it comes, so that many which
// began while there was room could fill more than the half that is for those without a proof.
func TestUnprovenChunksLeaveTheOtherHalf(t *testing.T) {
	const size, many = 60_000, 16
	g := newServing(t, func(o *Options) {
		o.MaxWaitingBytes, o.MaxBodyBytes, o.AuthFailuresPerSecond = many*size, 2*size, -1
	})
	forged := "POST " + target(signedApp, alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	var open []*client
	for range many + 2 {
		c := g.dial(t)
		c.send(forged + "1\r\nx\r\n")
		open = append(open, c)
	}
	for _, c := range open {
		c.silent() // its header was read, and there was room
		c.send(fmt.Sprintf("%x\r\n", size) + strings.Repeat("x", size-1))
	}
	for _, c := range open { // each is refused, or waits for its last byte
		if err := c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _ = c.r.Peek(1)
	}
	if now := g.waiting.now.Load(); now > g.waiting.limit/2 {
		t.Errorf("%d bytes of those without a proof are waiting, of %d", now, g.waiting.limit)
	}
	g.exchange(t, post(signed(alarm), strings.Repeat("x", size))).wantOK(t)
	// A small one is read, as it may be honest.
	g.exchange(t, forged+"2\r\n{}\r\n0\r\n\r\n").wantRefusal(t, refusedSignMissing)
}

// TestAliensTakeNoRoom: the body of who may not send at all is not waited for where it would take room.
func TestAliensTakeNoRoom(t *testing.T) {
	for network, want := range map[string]refusal{"192.0.2.0/24": refusedSource, "127.0.0.0/8": notRefused} {
		g := newServing(t, func(o *Options) { o.AllowedSources = reload.Fixed("sources", networks(t, network)) })
		c := g.dial(t)
		c.send(head(target(unsignedApp, alarm), 100_000, "") + strings.Repeat("x", 50_000))
		if want == notRefused {
			c.silent()
			c.send(strings.Repeat("x", 50_000))
			c.read("POST").wantOK(t)
			continue
		}
		c.read("POST").wantRefusal(t, want)
		if now := g.waiting.now.Load(); now != 0 {
			t.Errorf("%d bytes are waiting", now)
		}
	}
}

// TestPaddedChunksEnd: a bounded body cannot be sent in any number of bytes.
func TestPaddedChunksEnd(t *testing.T) {
	g := newServing(t, func(o *Options) { o.MaxBodyBytes = 20_000 })
	c := g.dial(t)
	c.send("POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	go func() {
		for range 1000 {
			if _, err := c.conn.Write([]byte("1;" + strings.Repeat("a", 1000) + "\r\nx\r\n")); err != nil {
				return
			}
		}
	}()
	c.read("POST").wantRefusal(t, refusedHTTP)
}

// TestIdleConnectionsKeepNoLargeBuffer: memory that a large body needed is not kept by a connection
// that is idle.
func TestIdleConnectionsKeepNoLargeBuffer(t *testing.T) {
	const clients, size = 100, 250_000
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.MaxWaitingBytes = clients * 2 * size
	})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var done sync.WaitGroup
	raw := post(signed(alarm), strings.Repeat("x", size))
	for range clients {
		c := g.dial(t)
		done.Go(func() {
			c.send(raw)
			c.read("POST").wantOK(t)
		})
	}
	done.Wait()
	runtime.GC()
	runtime.GC() // pools forget at the second
	runtime.ReadMemStats(&after)
	if kept := (int64(after.HeapInuse) - int64(before.HeapInuse)) / clients; kept > size/2 {
		t.Errorf("each idle connection keeps %d bytes", kept)
	}
}
