package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

func TestSQLiteOutbox(t *testing.T) {
	testOutbox(t, func(t *testing.T) database { return sqliteAt(filepath.Join(t.TempDir(), "tidegate.db")) })
}

// testOutbox is the conformance suite of Outbox, as testStore is Store's.
func testOutbox(t *testing.T, fresh func(t *testing.T) database) {
	for _, test := range []struct {
		name string
		run  func(b *outboxBench)
	}{
		{"a notice is unrouted until it is routed, and once", testRouteOnce},
		{"a notice without channels is routed, and nobody is told", testRouteNowhere},
		{"what is due comes once its time has come, what failed later", testDueInTime},
		{"an app's later notice waits for its earlier one that failed", testOrderOfApp},
		{"a lease keeps others out until it ends or is given up", testLease},
		{"of many who ask at once for a lease, one gets it", testLeaseRace},
		{"a lease and a wait from a clock that was ahead hold nobody up", testClockAhead},
		{"a dead owner's notices are taken over, and come again", testTakenOver},
		{"sent and parked ones do not come again, whoever settles them then", testSettledIsFinal},
		{"when a channel was sent to, whatever became of it", testMessages},
		{"kept ones are repeated until their time, or until they are ended", testKept},
		{"a parked one that is sent again is as new, another changes nothing", testResend},
		{"of two who send parked ones again, one does", testResendTwice},
		{"a channel that nobody has any more is parked", testAbandon},
		{"the oldest that waits, routed or not", testOldestPending},
		{"retention takes dispatches with their notices", testRetainDispatches},
		{"filters of dispatches", testDispatchFilter},
		{"what a channel said may be any text", testStrangeError},
		{"a reader reads and does not write", testOutboxReader},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := fresh(t)
			b := &outboxBench{T: t, d: d, now: start}
			b.store = d.open(t, Options{Now: func() time.Time { return b.now }})
			b.Outbox = b.store.(Outbox)
			test.run(b)
		})
	}
}

// outboxBench is a database with a clock.
type outboxBench struct {
	*testing.T
	Outbox
	d     database
	store Store
	now   time.Time
}

// told saves step notices, "app step", and routes them to channels, where there are any.
func (b *outboxBench) told(notices string, channels ...string) {
	b.Helper()
	c := Changes{Progress: progressAt(0)}
	for text := range strings.SplitSeq(notices, ", ") {
		var app int64
		var step string
		if _, err := fmt.Sscan(text, &app, &step); err != nil {
			b.Fatal(err)
		}
		c.Notices = append(c.Notices, notice(app, schema.Severity(step)))
	}
	save(b.T, b.store, c)
	if channels != nil {
		b.route(channels...)
	}
}

// route gives everything unrouted to channels.
func (b *outboxBench) route(channels ...string) {
	b.Helper()
	var routes []Route
	for _, u := range b.unrouted() {
		routes = append(routes, Route{u.ID, channels})
	}
	if n, err := b.Route(b.Context(), routes, b.now); n != len(routes) || err != nil {
		b.Fatalf("Route: %d, %v, want %d", n, err, len(routes))
	}
}

func (b *outboxBench) unrouted() []Unrouted {
	b.Helper()
	all, err := b.Unrouted(b.Context(), 100)
	if err != nil {
		b.Fatal(err)
	}
	return all
}

const ttl = 30 * time.Second

// claim returns what owner gets.
func (b *outboxBench) claim(channel, owner string) (due []Dispatch, held bool) {
	b.Helper()
	due, held, err := b.Claim(b.Context(), Claim{Channel: channel, Owner: owner, Now: b.now, TTL: ttl, Limit: 100})
	if err != nil {
		b.Fatal(err)
	}
	return due, held
}

// due is what owner a gets of the channel, which it must have the lease of, as "app step".
func (b *outboxBench) due(channel string) string {
	b.Helper()
	due, held := b.claim(channel, "a")
	if !held {
		b.Fatal("a does not have the lease")
	}
	return said(due)
}

func said(all []Dispatch) string {
	var texts []string
	for _, d := range all {
		texts = append(texts, fmt.Sprintf("%d %s", d.AppID, d.Step))
	}
	return strings.Join(texts, ", ")
}

// settle settles the nth of what a gets of channel.
func (b *outboxBench) settle(channel string, n int, s Settlement) {
	b.Helper()
	due, _ := b.claim(channel, "a")
	s.ID = due[n].ID
	if err := b.Settle(b.Context(), []Settlement{s}, b.now); err != nil {
		b.Fatal(err)
	}
}

func (b *outboxBench) want(what, got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("%s: %q, want %q", what, got, want)
	}
}

func testRouteOnce(b *outboxBench) {
	b.told("1 watch, 2 warning")
	first := b.unrouted()
	if len(first) != 2 || first[0].AppID != 1 || first[1].Step != schema.SeverityWarning || !first[0].CreatedAt.Equal(start) {
		b.Fatalf("unrouted: %+v", first)
	}
	one, err := b.Unrouted(b.Context(), 1)
	if err != nil || len(one) != 1 || one[0].AppID != 1 {
		b.Errorf("at most one: %+v, %v", one, err)
	}
	b.route("x", "y")
	if n, err := b.Route(b.Context(), []Route{{first[0].ID, []string{"z"}}}, b.now); n != 0 || err != nil {
		b.Errorf("routed again: %d, %v", n, err)
	}
	if rest := b.unrouted(); len(rest) != 0 {
		b.Errorf("still unrouted: %+v", rest)
	}
	for channel, want := range map[string]string{"x": "1 watch, 2 warning", "y": "1 watch, 2 warning", "z": ""} {
		b.want(channel, b.due(channel), want)
	}
	due, _ := b.claim("x", "a")
	equal(b.T, "notice", due[0].Notice, notice(1, schema.SeverityWatch))
	if d := due[0]; d.Channel != "x" || d.State != DispatchPending || d.Attempts != 0 || !d.CreatedAt.Equal(start) {
		b.Errorf("dispatch: %+v", d)
	}
}

func testRouteNowhere(b *outboxBench) {
	b.told("1 watch")
	b.route()
	if rest := b.unrouted(); len(rest) != 0 {
		b.Errorf("still unrouted: %+v", rest)
	}
	if all := list(b.T, b.Dispatches(b.Context(), DispatchFilter{})); len(all) != 0 {
		b.Errorf("dispatches: %+v", all)
	}
}

func testDueInTime(b *outboxBench) {
	b.told("1 watch, 2 watch", "x")
	b.settle("x", 0, Settlement{State: DispatchPending, NextAt: b.now.Add(time.Minute), Error: "HTTP 503"})
	b.want("at once", b.due("x"), "2 watch")
	b.now = b.now.Add(time.Minute - time.Millisecond)
	b.want("just before", b.due("x"), "2 watch")
	b.now = b.now.Add(time.Millisecond)
	b.want("then, behind what waited longer", b.due("x"), "2 watch, 1 watch")
	due, _ := b.claim("x", "a")
	if d := due[1]; d.Attempts != 1 || d.Error != "HTTP 503" || !d.ChangedAt.Equal(start) {
		b.Errorf("dispatch: %+v", d)
	}
}

func testOrderOfApp(b *outboxBench) {
	b.told("1 watch, 2 watch, 1 warning", "x", "y")
	b.settle("x", 0, Settlement{State: DispatchPending, NextAt: b.now.Add(time.Minute)})
	b.want("the app waits", b.due("x"), "2 watch")
	b.want("on another channel it does not", b.due("y"), "1 watch, 2 watch, 1 warning")
	b.now = b.now.Add(time.Minute)
	b.want("both come", b.due("x"), "2 watch, 1 warning, 1 watch")
	b.settle("x", 2, Settlement{State: DispatchParked, Error: "HTTP 410"})
	b.want("a parked one holds nothing up", b.due("x"), "2 watch, 1 warning")
}

func testLease(b *outboxBench) {
	b.told("1 watch", "x")
	b.want("a", b.due("x"), "1 watch")
	if due, held := b.claim("x", "b"); held || due != nil {
		b.Errorf("b has %v while a has the lease", due)
	}
	due, held, err := b.Claim(b.Context(), Claim{Channel: "x", Owner: "a", Now: b.now, TTL: ttl})
	if err != nil || !held || len(due) > 0 {
		b.Errorf("the lease alone: %v, %v, %v", due, held, err)
	}
	for range 10 { // prolonged by every claim
		b.now = b.now.Add(ttl - time.Second)
		b.want("a", b.due("x"), "1 watch")
		b.now = b.now.Add(ttl/2 - time.Second)
		if _, held := b.claim("x", "b"); held {
			b.Fatal("b has the lease that a prolonged")
		}
	}
	for _, owner := range []string{"b", "a"} { // of somebody else, and then of its own
		if err := b.Release(b.Context(), "x", owner); err != nil {
			b.Fatal(err)
		}
		if _, held := b.claim("x", "c"); held != (owner == "a") {
			b.Errorf("after %s released: c has it %v", owner, held)
		}
	}
}

func testLeaseRace(b *outboxBench) {
	const rounds, owners = 20, 8
	for round := range rounds {
		got := make(chan bool, owners)
		for owner := range owners {
			go func() {
				_, held, err := b.Claim(b.Context(), Claim{Channel: fmt.Sprint(round), Owner: fmt.Sprint(owner), Now: b.now, TTL: ttl, Limit: 1})
				if err != nil {
					b.Error(err)
				}
				got <- held
			}()
		}
		holders := 0
		for range owners {
			if <-got {
				holders++
			}
		}
		if holders != 1 {
			b.Fatalf("%d of %d have the lease", holders, owners)
		}
	}
}

// testClockAhead: a consumer whose clock is a year ahead takes the lease and notes a failure,
// and is lost. Nobody is to wait for a year.
func testClockAhead(b *outboxBench) {
	b.told("1 watch, 1 warning, 2 watch", "x")
	right := b.now
	b.now = right.AddDate(1, 0, 0)
	due, _ := b.claim("x", "ahead")
	if err := b.Settle(b.Context(), []Settlement{{ID: due[0].ID, State: DispatchPending, NextAt: b.now.Add(time.Minute)}}, b.now); err != nil {
		b.Fatal(err)
	}
	b.now = right
	due, held := b.claim("x", "b")
	if !held || said(due) != "1 watch, 1 warning, 2 watch" {
		b.Errorf("b has the lease: %v, %q", held, said(due))
	}
	// Clocks may differ a little: that lease is one.
	b.now = right.Add(-ttl / 3)
	if _, held := b.claim("x", "c"); held {
		b.Error("c, whose clock is a little behind, has the lease as well")
	}
}

func testTakenOver(b *outboxBench) {
	b.told("1 watch, 2 watch", "x")
	due, _ := b.claim("x", "a") // sends the first, and is killed
	b.now = b.now.Add(ttl)
	again, held := b.claim("x", "b")
	if !held || said(again) != "1 watch, 2 watch" || again[0].ID != due[0].ID {
		b.Errorf("b has %v, %q", held, said(again))
	}
	if _, held := b.claim("x", "a"); held {
		b.Error("a, who was only asleep, has the lease as well")
	}
}

func testSettledIsFinal(b *outboxBench) {
	b.told("1 watch, 2 watch, 3 watch", "x")
	due, _ := b.claim("x", "a")
	all := []Settlement{{ID: due[0].ID, State: DispatchSent}, {ID: due[1].ID, State: DispatchParked, Error: "HTTP 400"}}
	if err := b.Settle(b.Context(), all, b.now); err != nil {
		b.Fatal(err)
	}
	b.want("left", b.due("x"), "3 watch")
	late := []Settlement{
		{ID: due[0].ID, State: DispatchPending, NextAt: b.now}, {ID: due[0].ID, State: DispatchParked, Error: "late"},
		{ID: due[1].ID, State: DispatchSent}, {ID: due[1].ID, State: DispatchPending, NextAt: b.now}, {ID: 999, State: DispatchSent},
	}
	if err := b.Settle(b.Context(), late, b.now); err != nil {
		b.Fatal(err)
	}
	var states []string
	for _, d := range list(b.T, b.Dispatches(b.Context(), DispatchFilter{})) {
		states = append(states, fmt.Sprintf("%d %s %s", d.AppID, d.State, d.Error))
	}
	b.want("states", strings.Join(states, "; "), "3 pending ; 2 parked HTTP 400; 1 sent ")
}

func testMessages(b *outboxBench) {
	b.told("1 watch, 2 watch, 3 watch, 4 watch, 5 watch", "x", "y")
	due, _ := b.claim("x", "a")
	b.settle("y", 0, Settlement{State: DispatchSent})
	for i, all := range [][]Settlement{
		{{ID: due[0].ID, State: DispatchSent}, {ID: due[1].ID, State: DispatchSent}},
		{{ID: due[2].ID, State: DispatchParked}}, {{ID: due[3].ID, State: DispatchPending, NextAt: start}},
	} {
		b.now = start.Add(time.Duration(i+1) * time.Second)
		if err := b.Settle(b.Context(), all, b.now); err != nil {
			b.Fatal(err)
		}
	}
	for _, test := range []struct{ since, now, want string }{
		{"0s", "1h", "1s 2s 3s"}, {"1s", "1h", "2s 3s"}, {"0s", "2s", "1s 2s"}, {"3s", "1h", ""},
	} {
		since, _ := time.ParseDuration(test.since)
		now, _ := time.ParseDuration(test.now)
		times, err := b.Messages(b.Context(), "x", start.Add(since), start.Add(now))
		if err != nil {
			b.Fatal(err)
		}
		var texts []string
		for _, at := range times {
			texts = append(texts, at.Sub(start).String())
		}
		b.want("after "+test.since+" until "+test.now, strings.Join(texts, " "), test.want)
	}
}

func testKept(b *outboxBench) {
	b.told("1 watch, 1 warning, 2 watch", "x")
	until := b.now.Add(time.Hour)
	for range 3 {
		b.settle("x", 0, Settlement{State: DispatchSent, KeptUntil: until})
	}
	kept := func() string {
		all, err := b.Kept(b.Context(), "x", b.now)
		if err != nil {
			b.Fatal(err)
		}
		return said(all)
	}
	b.want("kept", kept(), "1 watch, 1 warning, 2 watch")

	over := notice(1, schema.SeverityWarning)
	over.Kind = quota.KindResolve
	other := over
	other.Period = "2026-11-22"
	save(b.T, b.store, Changes{Notices: []quota.Notice{other, over}, Progress: progressAt(1)})
	b.route("x", "y")
	b.settle("x", 0, Settlement{State: DispatchSent, EndsKept: true})
	b.want("kept after another period's end", kept(), "1 watch, 1 warning, 2 watch")
	b.settle("y", 1, Settlement{State: DispatchSent, EndsKept: true})
	b.want("kept after the end on another channel", kept(), "1 watch, 1 warning, 2 watch")
	b.settle("x", 0, Settlement{State: DispatchSent, EndsKept: true})
	b.want("kept after the end", kept(), "2 watch")
	b.now = until
	b.want("kept at its time", kept(), "")
}

func testAbandon(b *outboxBench) {
	b.told("1 watch", "x", "gone")
	b.now = b.now.Add(time.Hour)
	for _, test := range []struct {
		before time.Time
		want   int
	}{{start, 0}, {start.Add(time.Millisecond), 1}, {b.now, 0}} {
		if n, err := b.Abandon(b.Context(), []string{"x"}, test.before, b.now); n != test.want || err != nil {
			b.Errorf("before %s: %d, %v, want %d", test.before, n, err, test.want)
		}
	}
	b.want("the other", b.due("x"), "1 watch")
	if n, err := b.Abandon(b.Context(), nil, b.now, b.now); n != 1 || err != nil {
		b.Errorf("with no channel at all: %d, %v", n, err)
	}
	for _, d := range list(b.T, b.Dispatches(b.Context(), DispatchFilter{Channel: "gone"})) {
		if d.State != DispatchParked || !strings.Contains(d.Error, "no consumer has this channel") {
			b.Errorf("gone: %+v", d)
		}
	}
}

func testOldestPending(b *outboxBench) {
	oldest := func() string {
		at, err := b.OldestPending(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if at.IsZero() {
			return "none"
		}
		return at.Sub(start).String()
	}
	b.want("empty", oldest(), "none")
	b.now = start.Add(time.Second)
	b.told("1 watch")
	b.want("unrouted", oldest(), "1s")
	b.route("x", "y")
	b.settle("x", 0, Settlement{State: DispatchSent})
	b.want("sent on one channel of two", oldest(), "1s")
	b.now = start.Add(time.Minute)
	b.told("2 watch")
	b.settle("y", 0, Settlement{State: DispatchParked})
	b.want("the next", oldest(), "1m0s")
	b.route()
	b.want("nobody is to be told", oldest(), "none")
}

func testRetainDispatches(b *outboxBench) {
	b.told("1 watch", "x", "y")
	b.now = b.now.AddDate(0, 0, 40)
	b.told("2 watch", "x")
	if _, err := b.store.Retain(b.Context(), 30, b.now); err != nil {
		b.Fatal(err)
	}
	b.want("left", said(list(b.T, b.Dispatches(b.Context(), DispatchFilter{}))), "2 watch")
}

func testDispatchFilter(b *outboxBench) {
	b.told("1 watch, 2 watch, 3 watch", "x", "y")
	b.settle("x", 1, Settlement{State: DispatchSent})
	sent := list(b.T, b.Dispatches(b.Context(), DispatchFilter{State: DispatchSent}))[0]
	b.now = start.Add(time.Minute)
	b.told("4 watch", "z")
	for _, test := range []struct {
		filter DispatchFilter
		want   string
	}{
		{DispatchFilter{Channel: "x"}, "3 watch, 2 watch, 1 watch"},
		{DispatchFilter{Channel: "x", State: DispatchPending}, "3 watch, 1 watch"},
		{DispatchFilter{State: DispatchSent}, "2 watch"},
		{DispatchFilter{AppID: 3, Limit: 1}, "3 watch"},
		{DispatchFilter{ID: sent.ID}, "2 watch"},
		{DispatchFilter{ID: sent.ID, Channel: "y"}, ""},
		{DispatchFilter{From: b.now}, "4 watch"},
		{DispatchFilter{From: b.now.Add(time.Millisecond)}, ""},
		{DispatchFilter{From: start, Until: start, Channel: "y"}, "3 watch, 2 watch, 1 watch"},
		{DispatchFilter{Until: start.Add(-time.Millisecond)}, ""},
		{DispatchFilter{Channel: "nobody"}, ""},
	} {
		b.want(fmt.Sprint(test.filter), said(list(b.T, b.Dispatches(b.Context(), test.filter))), test.want)
	}
}

func testStrangeError(b *outboxBench) {
	const strange = "HTTP 500: a'\x00\xff␀0\U0001F4E8"
	b.told("1 watch, 2 watch", "x")
	b.settle("x", 0, Settlement{State: DispatchPending, NextAt: b.now, Error: strange})
	b.settle("x", 1, Settlement{State: DispatchParked, Error: strange})
	all := list(b.T, b.Dispatches(b.Context(), DispatchFilter{}))
	if len(all) != 2 || all[0].Error != strange || all[1].Error != strange {
		b.Errorf("dispatches: %+v", all)
	}
}

func testOutboxReader(b *outboxBench) {
	b.told("1 watch", "x")
	reader := b.d.open(b.T, Options{ReadOnly: true}).(Outbox)
	b.want("read", said(list(b.T, reader.Dispatches(b.Context(), DispatchFilter{}))), "1 watch")
	_, _, claimed := reader.Claim(b.Context(), Claim{Channel: "x", Owner: "r", Now: b.now, TTL: ttl, Limit: 1})
	_, routed := reader.Route(b.Context(), nil, b.now)
	_, resent := reader.Resend(b.Context(), nil, b.now)
	for what, err := range map[string]error{"Claim": claimed, "Route": routed, "Resend": resent, "Settle": reader.Settle(b.Context(), nil, b.now)} {
		if !errors.Is(err, ErrReadOnly) {
			b.Errorf("%s of a reader: %v, want ErrReadOnly", what, err)
		}
	}
}
