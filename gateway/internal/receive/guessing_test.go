package receive

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// from is a request that comes from an address.
func from(address, raw string) *fasthttp.RequestCtx {
	ctx := newContext(raw)
	ctx.SetRemoteAddr(&net.TCPAddr{IP: net.ParseIP(address), Port: 4321})
	return ctx
}

// answerTo returns ErrorCode (0: 200) and Retry-After of the answer to a request.
func (g *gate) answerTo(t *testing.T, ctx *fasthttp.RequestCtx) (code refusal, retry string) {
	t.Helper()
	g.Handler(ctx)
	body := string(ctx.Response.Body())
	for f := refusedMethod; f < numRefusals; f++ {
		if body == string(refusals[f].envelope) {
			if ctx.Response.StatusCode() != refusals[f].status {
				t.Errorf("status %d with %s", ctx.Response.StatusCode(), body)
			}
			return f, string(ctx.Response.Header.Peek("Retry-After"))
		}
	}
	if body != okAnswer || ctx.Response.StatusCode() != 200 {
		t.Fatalf("answer %d %s", ctx.Response.StatusCode(), body)
	}
	return notRefused, ""
}

// limited is a gate where a source may fail twice a second, ten times at once.
func limited(t *testing.T) *gate {
	return newGate(t, func(o *Options) { o.AuthFailuresPerSecond = 2 })
}

// The ways to fail authentication, and others.
var (
	noSign      = post(target(signedApp, alarm), "{}")
	wrongSign   = post(target(signedApp, alarm)+"&RequestTime=1669872112&Sign="+sign("guess", "1669872112"), "{}")
	unknown     = post(target(unknownApp, alarm), "{}")
	rightSign   = post(signed(alarm), alarmBody)
	wrongMoment = post(target(signedApp, alarm)+"&RequestTime=1669870000&Sign="+sign(vectorToken, "1669870000"), "{}")
	malformed   = post("/?SdkAppid=x", "{}")
)

// TestGuessingIsSlowedDown: beyond the rate every failing request of a source gets the same answer,
// which says when the next one may fail, and leaves the list of last refusals alone.
func TestGuessingIsSlowedDown(t *testing.T) {
	g := limited(t)
	const guesser = "198.51.100.1"
	want := func(raw string, want refusal, retry string) {
		t.Helper()
		if f, after := g.answerTo(t, from(guesser, raw)); f != want || after != retry {
			t.Errorf("refusal %d, Retry-After %q, want %d and %q", f, after, want, retry)
		}
	}
	for range 4 {
		want(noSign, refusedSignMissing, "")
		want(unknown, refusedAppUnknown, "")
	}
	want(wrongSign, refusedSignWrong, "")
	want(wrongSign, refusedSignWrong, "")
	for range 3 {
		want(noSign, refusedGuessing, "1")
		want(wrongSign, refusedGuessing, "1")
		want(unknown, refusedGuessing, "1")
	}
	g.clock.add(500 * time.Millisecond)
	want(wrongSign, refusedSignWrong, "")
	want(wrongSign, refusedGuessing, "1")

	p := decodePage(t, g)
	app := p.Apps[0]
	if app.Reasons["guessing"] != 7 || app.Reasons["sign_missing"] != 4 || app.Reasons["sign_wrong"] != 3 || app.Refused != 14 {
		t.Errorf("counted %+v", app.Reasons)
	}
	if len(app.Refusals) != 7 || p.Others.Reasons["guessing"] != 3 || len(p.Others.Refusals) != 4 {
		t.Errorf("%d and %d last refusals are shown, others %+v", len(app.Refusals), len(p.Others.Refusals), p.Others.Reasons)
	}
}

// TestGuessingHurtsNobodyElse: neither a right Sign from the same address, nor what fails for other
// reasons there, nor another address.
func TestGuessingHurtsNobodyElse(t *testing.T) {
	g := limited(t)
	const proxy = "198.51.100.1"
	for range 100 {
		g.Handler(from(proxy, wrongSign))
	}
	for _, tt := range []struct {
		name, address, raw string
		want               refusal
	}{
		{"a right Sign", proxy, rightSign, notRefused},
		{"an app without tokens", proxy, post(target(unsignedApp, alarm), "{}"), notRefused},
		{"a right Sign at the wrong time", proxy, wrongMoment, refusedRequestTime},
		{"a malformed request", proxy, malformed, refusedAppMalformed},
		{"a wrong Sign, as a check that the limit is reached", proxy, wrongSign, refusedGuessing},
		{"another address", "198.51.100.2", wrongSign, refusedSignWrong},
		{"an address of IPv6", "2001:db8::1", wrongSign, refusedSignWrong},
	} {
		if f, _ := g.answerTo(t, from(tt.address, tt.raw)); f != tt.want {
			t.Errorf("%s: refusal %d, want %d", tt.name, f, tt.want)
		}
	}
}

// TestGuessingOnTheWire: the whole answer, on a connection that goes on.
func TestGuessingOnTheWire(t *testing.T) {
	g := newServing(t, func(o *Options) { o.AuthFailuresPerSecond = 0.001 }) // one, then none for minutes
	c := g.dial(t)
	for _, step := range []struct {
		raw  string
		want refusal
	}{{wrongSign, refusedSignWrong}, {wrongSign, refusedGuessing}, {rightSign, notRefused}, {unknown, refusedGuessing}, {rightSign, notRefused}} {
		c.send(step.raw)
		got := c.read("POST")
		if step.want == notRefused {
			got.wantOK(t)
			continue
		}
		got.wantRefusal(t, step.want)
		if after := got.header.Get("Retry-After"); step.want == refusedGuessing && after != "1000" {
			t.Errorf("Retry-After %s, the next one may fail in 1000 s", after)
		}
	}
	if n := len(g.journal.entries(t)); n != 2 {
		t.Errorf("%d entries in the journal, want the 2 that were signed", n)
	}
}

func TestGuessingIsBySource(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"one address", "192.0.2.1", "192.0.2.1", true},
		{"neighbours", "192.0.2.1", "192.0.2.2", false},
		{"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"two /64", "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"IPv4 in IPv6 is IPv4", "::ffff:192.0.2.1", "192.0.2.1", true},
		{"IPv4 in IPv6, neighbours", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
	} {
		a, b := edge.Peer(&net.TCPAddr{IP: net.ParseIP(tt.a)}), edge.Peer(&net.TCPAddr{IP: net.ParseIP(tt.b)})
		if got := sourceKey(a) == sourceKey(b); got != tt.same {
			t.Errorf("%s: one source is %v", tt.name, got)
		}
	}
	for _, addr := range []netip.Addr{{}, netip.MustParseAddr("::1"), netip.MustParseAddr("0.0.0.0")} {
		if sourceKey(addr) == 0 {
			t.Errorf("%v has the key of a free place", addr)
		}
	}
}

// TestGuessingIsBounded: far more sources than there are places, and still who fails most is known.
func TestGuessingIsBounded(t *testing.T) {
	g := newGuessing(2)
	worst := netip.MustParseAddr("203.0.113.9")
	for range 10 {
		if g.fail(worst, 0) != 0 {
			t.Fatal("refused within the burst")
		}
	}
	for i := range 20 * guessingSets * guessingWays {
		g.fail(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 0)
	}
	if g.fail(worst, 0) == 0 {
		t.Error("the flood of others made the worst one forgotten")
	}
}

func TestGuessingOff(t *testing.T) {
	g := newGate(t, func(o *Options) { o.AuthFailuresPerSecond = -1 })
	for range 1000 {
		if f, _ := g.answerTo(t, from("192.0.2.1", wrongSign)); f != refusedSignWrong {
			t.Fatalf("refusal %d", f)
		}
	}
}

// TestGuessingDefault: five seconds' worth of the default at once.
func TestGuessingDefault(t *testing.T) {
	g := newGate(t, nil)
	n := 0
	for {
		if f, _ := g.answerTo(t, from("192.0.2.1", wrongSign)); f == refusedGuessing {
			break
		}
		n++
	}
	if n != 5*DefaultAuthFailuresPerSecond {
		t.Errorf("%d failures at once", n)
	}
}

// TestGuessingConcurrent: from one source not one failure too many, whoever else fails meanwhile; for
// the race detector too.
func TestGuessingConcurrent(t *testing.T) {
	g := newGuessing(100)
	source := netip.MustParseAddr("192.0.2.1")
	for range 50 {
		g.fail(source, 0) // more than any other, so that it keeps its place
	}
	var passed [8]int
	var guessers sync.WaitGroup
	for n := range passed {
		guessers.Go(func() {
			for i := range 500 {
				if g.fail(source, 0) == 0 {
					passed[n]++
				}
				g.fail(netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}), 0)
			}
		})
	}
	guessers.Wait()
	sum := 50
	for _, n := range passed {
		sum += n
	}
	if sum != 500 {
		t.Errorf("%d failures passed, want 500", sum)
	}
}

// TestSent: who sent a callback is who may have lost it.
func TestSent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		raw    string
		change func(*Options)
		app    int64
		want   bool
	}{
		{"nothing", "", nil, signedApp, false},
		{"accepted", rightSign, nil, signedApp, true},
		{"dropped", post(signed("State.StateChange"), "{}"), nil, signedApp, true},
		{"of an app without tokens", post(target(unsignedApp, alarm), "{}"), nil, unsignedApp, true},
		{"of another app", post(target(unsignedApp, alarm), "{}"), nil, signedApp, false},
		{"right Sign at the wrong time", wrongMoment, nil, signedApp, true},
		{"no Sign", noSign, nil, signedApp, false},
		{"wrong Sign", wrongSign, nil, signedApp, false},
		{"guessed", wrongSign, func(o *Options) { o.AuthFailuresPerSecond = 1e-9 }, signedApp, false},
		{"malformed", post("/?SdkAppid=1400000001&CallbackCommand=", "{}"), nil, signedApp, false},
		{"journal full", rightSign, appendFails(journal.ErrFull), signedApp, true},
		{"not confirmed", rightSign, waitFails(journal.ErrNotConfirmed), signedApp, true},
		{"an app that is not ours", unknown, nil, unknownApp, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t, tt.change)
			if tt.raw != "" {
				g.handle(tt.raw)
				g.handle(tt.raw)
			}
			if got := g.Sent(tt.app, time.Hour); got != tt.want {
				t.Errorf("sent is %v", got)
			}
			g.clock.add(time.Hour - time.Second)
			if got := g.Sent(tt.app, time.Hour); got != tt.want {
				t.Errorf("just before the hour is over: %v", got)
			}
			g.clock.add(time.Second)
			if g.Sent(tt.app, time.Hour) {
				t.Error("an hour later it still is")
			}
		})
	}
}

// TestSentOverRate: what is refused for the rate was sent.
func TestSentOverRate(t *testing.T) {
	g := newGate(t, nil)
	for range 3 {
		g.handle(post(target(unsignedApp, otherCommand), "{}"))
	}
	g.clock.add(30 * time.Millisecond) // no token yet
	g.handle(post(target(unsignedApp, otherCommand), "{}"))
	if p := decodePage(t, g); p.Apps[1].Reasons["rate"] != 2 {
		t.Fatalf("counted %+v", p.Apps[1].Reasons)
	}
	g.clock.add(time.Hour - 10*time.Millisecond)
	if !g.Sent(unsignedApp, time.Hour) {
		t.Error("only what was accepted counts")
	}
}

// BenchmarkGuessing is the cost of one failure beyond the limit beside one within it and an accepted
// callback.
func BenchmarkGuessing(b *testing.B) {
	for _, bb := range []struct {
		name, raw string
		rate      float64
	}{
		{"accepted", rightSign, -1},
		{"wrong", wrongSign, -1},
		{"guessing", wrongSign, 1e-9},
		{"unknown app", unknown, -1},
		{"guessing app", unknown, 1e-9},
	} {
		b.Run(fmt.Sprint(bb.name), func(b *testing.B) {
			g := newGate(b, func(o *Options) {
				unlimited(b)(o)
				o.AuthFailuresPerSecond = bb.rate
			})
			ctx := newContext(bb.raw)
			b.ReportAllocs()
			for b.Loop() {
				g.Handler(ctx)
				ctx.Response.Reset()
			}
		})
	}
}
