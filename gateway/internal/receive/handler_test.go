package receive

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// sink is a journal that keeps nothing and, like the real one, allocates nothing.
type sink struct {
	mu  sync.Mutex
	buf []byte
}

func (s *sink) Append(_ bool, fill func([]byte) []byte) (journal.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = fill(s.buf[:0])
	return journal.Ticket{}, nil
}

func (s *sink) TryAppend(reserve bool, fill func([]byte) []byte) (journal.Ticket, error) {
	return s.Append(reserve, fill)
}

func (s *sink) Wait(journal.Ticket, journal.Level) error { return nil }

func (s *sink) Notify(journal.Ticket, *journal.Waiter) bool { return false }

// newContext returns a request as fasthttp hands it over.
func newContext(raw string) *fasthttp.RequestCtx {
	method, rest, _ := strings.Cut(raw, " ")
	uri, rest, _ := strings.Cut(rest, " ")
	_, body, _ := strings.Cut(rest, "\r\n\r\n")
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1234}, nil)
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(uri)
	ctx.Request.SetBodyString(body)
	return ctx
}

// unlimited takes rates out of a test that sends as fast as it can.
func unlimited(t testing.TB) func(*Options) {
	return func(o *Options) {
		o.Journal = new(sink)
		const all = "defaults: {alarm_rate_limit: {per_second: 1000000, burst: 100000000}}\n"
		o.Apps = reload.Fixed("apps", parseApps(t, all+strings.ReplaceAll(testApps, "per_second: 10, burst: 2", "per_second: 1000000, burst: 1000000")))
		o.Now = time.Now
		o.RequestTimeWindow = 100 * 365 * 24 * time.Hour
		o.AuthFailuresPerSecond = -1
	}
}

// TestNoAllocation holds that neither an accepted callback nor a refused one allocates.
func TestNoAllocation(t *testing.T) {
	skipUnderRace(t)
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.Quarantine = func(*Refused) {}
	})
	for _, tt := range []struct {
		name string
		raw  string
		want int
	}{
		{"signed alarm", post(signed(alarm), alarmBody), 200},
		{"unsigned, kept", post(target(unsignedApp, otherCommand), "{}"), 200},
		{"two tokens", post(target(rotatingApp, alarm)+"&RequestTime=1669872112&Sign="+sign("old-token", "1669872112"), alarmBody), 200},
		{"percent-encoded, unknown parameters", post(signed(alarm)+"&a=%41&b=1+2", alarmBody), 200},
		{"dropped", post(signed("State.StateChange"), "{}"), 200},
		{"static answer", post(signed("C2C.CallbackBeforeSendMsg"), "{}"), 200},
		{"wrong Sign", post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, "{}"), 401},
		{"unknown app", post(target(unknownApp, alarm), "{}"), 403},
		{"malformed", post("/?SdkAppid=x", "{}"), 400},
	} {
		ctx := newContext(tt.raw)
		if n := testing.AllocsPerRun(200, func() {
			g.Handler(ctx)
			if ctx.Response.StatusCode() != tt.want {
				t.Fatalf("%s: status %d, want %d", tt.name, ctx.Response.StatusCode(), tt.want)
			}
			ctx.Response.Reset()
		}); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// withAlarmRate are testApps whose unsigned app has this alarm_rate_limit.
func withAlarmRate(t testing.TB, limit string) *apps.Snapshot {
	t.Helper()
	const others = "rate_limit: {per_second: 10, burst: 2}"
	return parseApps(t, strings.ReplaceAll(testApps, others, others+", alarm_rate_limit: "+limit))
}

// TestRates drains both buckets of an app and looks at what it is told.
func TestRates(t *testing.T) {
	g := newServing(t, func(o *Options) { o.Apps = reload.Fixed("apps", withAlarmRate(t, "{per_second: 0.25, burst: 3}")) })
	c := g.dial(t)
	send := func(command string) reply {
		c.send(post(target(unsignedApp, command), "{}"))
		return c.read("POST")
	}
	for range 2 {
		send(otherCommand).wantOK(t)
	}
	send(otherCommand).wantRefusal(t, refusedRate)
	for range 3 {
		send(alarm).wantOK(t) // the alarm has its own bucket
	}
	over := send(alarm)
	over.wantRefusal(t, refusedRate)
	if got := over.header.Get("Retry-After"); got != "4" {
		t.Errorf("Retry-After %s, a token comes in 4 s", got)
	}
	for range 20 {
		send("Dropped.Command").wantOK(t) // takes no tokens, and none are left
	}
	g.clock.add(4*time.Second - time.Millisecond)
	send(otherCommand).wantOK(t)
	send(alarm).wantRefusal(t, refusedRate)
	g.clock.add(time.Millisecond)
	send(alarm).wantOK(t)
	c.send(post(target(rotatingApp, alarm)+"&RequestTime=1669872116&Sign="+sign("new-token", "1669872116"), "{}"))
	c.read("POST").wantOK(t) // another app does not feel it
}

// TestInFlight fills the cap and looks at who still gets through.
func TestInFlight(t *testing.T) {
	g := newServing(t, func(o *Options) {
		o.MaxInFlight = 10
		j := o.Journal.(*fakeJournal)
		j.waiting, j.gate = make(chan struct{}), make(chan struct{})
		o.Apps = reload.Fixed("apps", parseApps(t, strings.ReplaceAll(testApps, "burst: 2", "burst: 100")))
	})
	var waiting []*client
	hold := func(command string) {
		t.Helper()
		c := g.dial(t)
		c.send(post(target(unsignedApp, command), "{}"))
		<-g.journal.waiting
		waiting = append(waiting, c)
	}
	for range 9 {
		hold(otherCommand)
	}
	g.exchange(t, post(target(unsignedApp, otherCommand), "{}")).wantRefusal(t, refusedBusy)
	hold(alarm) // the last tenth is the alarm's
	g.exchange(t, post(target(unsignedApp, alarm), "{}")).wantRefusal(t, refusedBusy)
	g.exchange(t, post(target(unsignedApp, "Dropped.Command"), "{}")).wantOK(t) // needs no place
	close(g.journal.gate)
	for _, c := range waiting {
		c.read("POST").wantOK(t)
	}
	go func() { <-g.journal.waiting }()
	g.exchange(t, post(target(unsignedApp, otherCommand), "{}")).wantOK(t) // all places were given back
}

// TestReserve checks which callbacks may use the last tenth of the journal.
func TestReserve(t *testing.T) {
	g := newServing(t, nil)
	g.exchange(t, post(target(unsignedApp, alarm), "{}")).wantOK(t)
	g.exchange(t, post(target(unsignedApp, otherCommand), "{}")).wantOK(t)
	if got := g.journal.reserves; len(got) != 2 || !got[0] || got[1] {
		t.Errorf("reserve of alarm and other: %v, want [true false]", got)
	}
}

// TestReloadKeepsBuckets changes the apps file under the Receiver: what an app used up
// stays used up, its new rate holds at once, its counters go on; a removed app is unknown.
func TestReloadKeepsBuckets(t *testing.T) {
	g := newServing(t, nil)
	send := func() reply { return g.exchange(t, post(target(unsignedApp, otherCommand), "{}")) }
	send().wantOK(t)
	send().wantOK(t)
	g.accounts.reload(parseApps(t, testApps))
	send().wantRefusal(t, refusedRate)
	g.accounts.reload(parseApps(t, strings.ReplaceAll(testApps, "burst: 2", "burst: 3")))
	send().wantOK(t)
	send().wantRefusal(t, refusedRate)
	acc, _ := g.accounts.find(unsignedApp)
	if n := acc.ledger.outcomes[outcomeAccepted].Load(); n != 3 {
		t.Errorf("%d accepted after the reload, want 3", n)
	}
	g.accounts.reload(parseApps(t, "apps: [{sdk_app_id: 5, name: Five}]"))
	send().wantRefusal(t, refusedAppUnknown)
}

// TestAlarmRateIsLive changes alarm_rate_limit under the Receiver: it holds from the next
// alarm on, what was used up stays used up, and the rest of the traffic does not feel it.
func TestAlarmRateIsLive(t *testing.T) {
	g := newServing(t, func(o *Options) { o.Apps = reload.Fixed("apps", withAlarmRate(t, "{per_second: 0.25, burst: 2}")) })
	send := func(command string) reply { return g.exchange(t, post(target(unsignedApp, command), "{}")) }
	send(alarm).wantOK(t)
	send(alarm).wantOK(t)
	send(alarm).wantRefusal(t, refusedRate)
	g.accounts.reload(withAlarmRate(t, "{per_second: 0.25, burst: 3}"))
	send(alarm).wantOK(t)
	send(alarm).wantRefusal(t, refusedRate)
	for range 2 {
		send(otherCommand).wantOK(t) // a drained alarm bucket is not theirs
	}
	send(otherCommand).wantRefusal(t, refusedRate)
	g.accounts.reload(parseApps(t, testApps)) // to the default, where a token comes in 10 ms and not in 4 s
	send(alarm).wantRefusal(t, refusedRate)
	g.clock.add(10 * time.Millisecond)
	send(alarm).wantOK(t)
}

// TestUnlistedAreBounded invents apps under --unknown-apps accept: their number in memory
// is bounded, and those beyond the bound share one bucket.
func TestUnlistedAreBounded(t *testing.T) {
	g := newGate(t, func(o *Options) {
		o.AcceptUnknown = true
		o.Apps = reload.Fixed("apps", parseApps(t, "defaults: {alarm_rate_limit: {per_second: 1, burst: 1}}"+testApps))
	})
	status := func(app int64) int {
		ctx := newContext(post(target(app, alarm), "{}"))
		g.Handler(ctx)
		return ctx.Response.StatusCode()
	}
	for i := range int64(maxUnlisted) {
		if got := status(2000000000 + i); got != 200 {
			t.Fatalf("app %d: status %d", i, got)
		}
	}
	if first, second := status(3000000000), status(3000000001); first != 200 || second != 429 {
		t.Errorf("apps beyond the bound: %d and %d, want 200 and, as they share a bucket, 429", first, second)
	}
	if n := len(g.accounts.all()); n != maxUnlisted+3 {
		t.Errorf("%d accounts, want %d", n, maxUnlisted+3)
	}
	// One of them is put into the file: it keeps what it used up.
	g.accounts.reload(parseApps(t, "apps: [{sdk_app_id: 2000000000, name: Known now, alarm_rate_limit: {per_second: 1, burst: 1}}]"))
	if got := status(2000000000); got != 429 {
		t.Errorf("after it was listed: status %d, want 429", got)
	}
	if n := len(g.accounts.all()); n != maxUnlisted {
		t.Errorf("%d accounts, want %d", n, maxUnlisted)
	}
}

// TestConcurrentReload reloads while callbacks come in; it is for the race detector.
func TestConcurrentReload(t *testing.T) {
	g := newGate(t, unlimited(t))
	snapshot := g.accounts.snapshot
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			ctx := newContext(post(signed(alarm), alarmBody))
			for {
				select {
				case <-stop:
					return
				default:
				}
				g.Handler(ctx)
				if ctx.Response.StatusCode() != 200 {
					t.Errorf("status %d during a reload", ctx.Response.StatusCode())
					return
				}
				ctx.Response.Reset()
			}
		})
	}
	for range 200 {
		g.accounts.reload(snapshot)
		g.page()
	}
	close(stop)
	senders.Wait()
}

func BenchmarkHandler(b *testing.B) {
	for _, bb := range []struct{ name, raw string }{
		{"signed", post(signed(alarm), alarmBody)},
		{"unsigned", post(target(unsignedApp, alarm), alarmBody)},
		{"dropped", post(target(unsignedApp, "State.StateChange"), alarmBody)},
		{"wrongSign", post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, "{}")},
		{"unknownApp", post(target(unknownApp, alarm), "{}")},
		{"malformed", post("/?SdkAppid=x", "{}")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			g := newGate(b, unlimited(b))
			ctx := newContext(bb.raw)
			b.ReportAllocs()
			for b.Loop() {
				g.Handler(ctx)
				ctx.Response.Reset()
			}
		})
	}
}
