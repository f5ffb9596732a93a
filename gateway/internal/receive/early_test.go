package receive

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/reload"
)

// head is a request of which only the header is sent.
func head(target string, size int, extra string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n", target, extra, size)
}

// roomless is a journal that says beforehand that it has no room.
type roomless struct{ *fakeJournal }

func (roomless) HasRoom(reserve bool) bool { return reserve }

// TestRefusedBeforeTheBody sends a header and holds the body back: the answer comes, with the true
// reason, is counted once where the app's owner looks, and nothing was copied. Each row is sent with
// a length, chunked, and by a client that asks first.
func TestRefusedBeforeTheBody(t *testing.T) {
	empty := target(unsignedApp, otherCommand)
	for _, tt := range []struct {
		name   string
		target string
		want   refusal
		app    int64 // in whose ledger it is; 0: nobody's
		change func(o *Options)
		before func(t *testing.T, g *gate)
	}{
		{name: "another path", target: empty, want: refusedPath, change: func(o *Options) { o.Path = "/im" }},
		{name: "no SdkAppid", target: "/", want: refusedAppMissing},
		{name: "two commands", target: empty + "&CallbackCommand=A", want: refusedCommandDoubled, app: unsignedApp},
		{name: "a query that is none", target: empty + "&x=%zz", want: refusedQuery, app: unsignedApp},
		{name: "over its rate", target: empty, want: refusedRate, app: unsignedApp, before: func(t *testing.T, g *gate) {
			for range 2 { // the bucket's size
				g.exchange(t, post(empty, "{}")).wantOK(t)
			}
		}},
		{name: "stopping", target: empty, want: refusedDraining, app: unsignedApp, before: func(t *testing.T, g *gate) {
			g.exchange(t, post(empty, "{}")).wantOK(t)
			g.draining.Store(true)
		}},
		{name: "journal full", target: empty, want: refusedJournalFull, app: unsignedApp, change: func(o *Options) {
			o.Journal = roomless{o.Journal.(*fakeJournal)}
		}},
		{name: "no room to park", target: empty, want: refusedParkedFull, app: unsignedApp, change: func(o *Options) {
			o.TopicFull = func(string) bool { return true }
		}},
		{name: "no room for bodies", target: empty, want: refusedBusy, app: unsignedApp, before: fill(100)},
		{name: "no room for those without proof", target: target(signedApp, alarm), want: refusedSignMissing, app: signedApp, before: fill(60)},
		{name: "no room for unknown apps", target: target(unknownApp, alarm), want: refusedAppUnknown, before: fill(60)},
	} {
		for _, how := range []struct{ name, framing string }{
			{"length", "Content-Length: 100000\r\n"},
			{"chunked", "Transfer-Encoding: chunked\r\n"},
			{"asking", "Expect: 100-continue\r\nContent-Length: 10\r\n"},
		} {
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				g := newServing(t, tt.change)
				if tt.before != nil {
					tt.before(t, g)
				}
				c := g.dial(t)
				c.send("POST " + tt.target + " HTTP/1.1\r\nHost: h\r\n" + how.framing + "\r\n")
				got := c.read("POST")
				got.wantRefusal(t, tt.want)
				if !got.close {
					t.Error("the connection stays open, although the body may still come")
				}
				c.send(strings.Repeat("x", 100_000)) // it is taken off the client, so that the answer arrives
				c.closed()
				if n := gather(t, g, "tidegate_gateway_callbacks_total")[refusals[tt.want].reason+" refused "]; n != 1 {
					t.Errorf("counted %v times", n)
				}
				l := &g.accounts.nobody
				if acc, ok := g.accounts.find(tt.app); ok {
					l = acc.ledger
				}
				if n, last := l.outcomes[tt.want].Load(), l.refusals(); n != 1 || len(last) != 1 || last[0].reason != tt.want || last[0].at != vectorNow.UnixMilli() {
					t.Errorf("the ledger has %d, last refusals %+v", n, last)
				}
			})
		}
	}
}

// fill returns what takes so much of the room for bodies, in percent.
func fill(percent int64) func(*testing.T, *gate) {
	return func(t *testing.T, g *gate) {
		n := g.waiting.limit / 100 * percent
		if !g.waiting.take(n) {
			t.Fatal("no room")
		}
		t.Cleanup(func() { g.waiting.give(n) })
	}
}

// TestRetryAfterOfAnEarlyRefusal: it is the time until the app has a token again.
func TestRetryAfterOfAnEarlyRefusal(t *testing.T) {
	g := newServing(t, func(o *Options) {
		o.Apps = reload.Fixed("apps", parseApps(t, strings.ReplaceAll(testApps, "per_second: 10, burst: 2", "per_second: 0.1, burst: 1")))
	})
	g.exchange(t, post(target(unsignedApp, otherCommand), "{}")).wantOK(t)
	got := g.exchange(t, head(target(unsignedApp, otherCommand), 100_000, ""))
	got.wantRefusal(t, refusedRate)
	if after := got.header.Get("Retry-After"); after != "10" {
		t.Errorf("Retry-After %s, a token is there in 10 s", after)
	}
	g.clock.add(10 * time.Second) // and it was not taken by asking
	g.exchange(t, post(target(unsignedApp, otherCommand), strings.Repeat("x", 100_000))).wantOK(t)
}

// TestBodyOfTheUnprovenIsRead: what may be an honest callback, refused for an operator's slip, is
// read before it is refused, and the connection goes on.
func TestBodyOfTheUnprovenIsRead(t *testing.T) {
	g := newServing(t, nil)
	for target, want := range map[string]refusal{
		target(signedApp, alarm): refusedSignMissing,
		target(signedApp, alarm) + "&RequestTime=1&Sign=" + vectorSign:                               refusedSignWrong,
		target(signedApp, alarm) + "&RequestTime=1669000000&Sign=" + sign(vectorToken, "1669000000"): refusedRequestTime,
		target(unknownApp, alarm): refusedAppUnknown,
	} {
		c := g.dial(t)
		c.send(head(target, 100_000, ""))
		c.silent()
		c.send(strings.Repeat("x", 100_000))
		got := c.read("POST")
		got.wantRefusal(t, want)
		if got.close {
			t.Error("the connection is closed")
		}
		c.send(post(target, "{}"))
		c.read("POST").wantRefusal(t, want)
	}
}

// TestNobodyMarksHimself: a Content-Length that would be a refusal of ours is none where the header was
// not whole, so that headerReceived has not seen it.
func TestNobodyMarksHimself(t *testing.T) {
	g := newServing(t, nil)
	for size := math.MaxInt - int(numRefusals) - 1; size > 0; size++ { // until it is more than an int
		for _, broken := range []string{"Host: a\r\nHost: b\r\n", "Host: a\r\nX Y: z\r\n", "Host: a\r\nTransfer-Encoding: gzip\r\n"} {
			raw := fmt.Sprintf("POST %s HTTP/1.1\r\nContent-Length: %d\r\n%s\r\n", signed(alarm), size, broken)
			g.exchange(t, raw).wantRefusal(t, refusedHTTP)
		}
		g.exchange(t, head(signed(alarm), size, "")).wantRefusal(t, refusedBodySize)
	}
	if acc, _ := g.accounts.find(signedApp); acc.ledger.sent() != 0 {
		t.Error("a refusal that the client chose counts as a callback of the app")
	}
}

// TestLargeBodyIsTaken: nothing of a large callback is lost on the longer way.
func TestLargeBodyIsTaken(t *testing.T) {
	body := strings.Repeat("tide", 50_000)
	for name, raw := range map[string]string{
		"length":  post(signed(alarm), body),
		"asking":  head(signed(alarm), len(body), "Expect: 100-continue\r\n") + body,
		"chunked": "POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		g := newServing(t, nil)
		c := g.dial(t)
		c.send(raw)
		got := c.read("POST")
		if got.status == 100 {
			got = c.read("POST")
		}
		got.wantOK(t)
		if list := g.journal.entries(t); len(list) != 1 || string(list[0].Callback.Body) != body {
			t.Errorf("%s: the journal has %d entries", name, len(list))
		}
		if now := g.waiting.now.Load(); now != 0 {
			t.Errorf("%s: %d bytes are still waiting", name, now)
		}
	}
}

// TestLargeBodyTimesOut: what failed in the middle of an accepted body is that, and nothing else.
func TestLargeBodyTimesOut(t *testing.T) {
	g := newServing(t, shortRead)
	c := g.dial(t)
	c.send(head(signed(alarm), 100_000, "") + "half")
	c.read("POST").wantRefusal(t, refusedTimeout)
	if now := g.waiting.now.Load(); now != 0 {
		t.Errorf("%d bytes are still waiting", now)
	}
}

// TestJournalFullIsSaidEarlyToOthersOnly: the reserve is for the alarm, however large.
func TestJournalFullIsSaidEarlyToOthersOnly(t *testing.T) {
	g := newServing(t, func(o *Options) { o.Journal = roomless{o.Journal.(*fakeJournal)} })
	body := strings.Repeat("x", 10_000)
	g.exchange(t, post(signed(alarm), body)).wantOK(t)
	g.exchange(t, post(signed(otherCommand), body)).wantRefusal(t, refusedJournalFull)
	var _ appender = (*journal.Journal)(nil)
	if _, ok := any((*journal.Journal)(nil)).(interface{ HasRoom(bool) bool }); !ok {
		t.Error("the real journal does not say whether it has room")
	}
}
