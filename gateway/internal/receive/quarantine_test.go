package receive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

const tracedBy = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestQuarantine: the four reasons, and no other refusal, are handed over, with all that a second
// look needs, and only what a route keeps.
func TestQuarantine(t *testing.T) {
	var seen []string
	g := newServing(t, func(o *Options) {
		o.Quarantine = func(c *Refused) {
			seen = append(seen, fmt.Sprintf("%s %d %s %s %s %q %s %v", c.Reason, c.AppID, c.Command, c.Query, c.Traceparent, c.Body, c.Source, c.At.Equal(vectorNow)))
		}
		o.Routes = reload.Fixed("routes", parseRoutes(t, testRoutes+`  - {command: "Only.*", apps: [1400000001], topic: im.callbacks.raw}
  - {command: "Not.*", apps: [1499999999], drop: true}
  - {command: "Not.*", topic: im.callbacks.raw}
`))
	})
	for _, row := range []struct {
		name, target, body string
		status             int
		want               string // reason; "": not handed over
	}{
		{"right", signed(alarm), alarmBody, 200, ""},
		{"no Sign", target(signedApp, alarm), alarmBody, 401, "sign_missing"},
		{"wrong Sign", target(signedApp, otherCommand) + "&RequestTime=1&Sign=" + vectorSign, "\x00", 401, "sign_wrong"},
		{"old", target(signedApp, alarm) + "&RequestTime=1&Sign=" + sign(vectorToken, "1"), "{}", 401, "request_time"},
		{"unknown app", target(unknownApp, alarm), "{}", 403, "app_unknown"},
		{"unknown app, a command that some app keeps", target(unknownApp+1, "Only.X"), "{}", 403, "app_unknown"},
		{"unknown app, a command that its route drops", target(unknownApp, "Not.X"), "{}", 403, ""},
		{"kept for this app", target(signedApp, "Only.X"), "{}", 401, "sign_missing"},
		{"kept for another app only", target(rotatingApp, "Only.X"), "{}", 401, ""},
		{"dropped by its route", target(signedApp, "State.StateChange"), "{}", 401, ""},
		{"nobody keeps it", target(unknownApp, "State.StateChange"), "{}", 403, ""},
		{"malformed", "/?SdkAppid=x", "{}", 400, ""},
		{"no body", target(unknownApp, alarm), "", 400, ""},
		{"over its rate", target(unsignedApp, otherCommand), "{}", 200, ""},
	} {
		for range 2 { // the second time a route may be remembered
			seen = nil
			raw := strings.Replace(post(row.target, row.body), "\r\n\r\n", "\r\nTraceparent: "+tracedBy+"\r\n\r\n", 1)
			if got := g.exchange(t, raw); got.status != row.status {
				t.Errorf("%s: status %d", row.name, got.status)
			}
			var want []string
			if row.want != "" {
				var q query
				_, raw, _ := strings.Cut(row.target, "?")
				q.parse([]byte(raw))
				want = []string{fmt.Sprintf("%s %d %s %s %s %q 127.0.0.1 true", row.want, q.appID, q.command, raw, tracedBy, row.body)}
			}
			if !slices.Equal(seen, want) {
				t.Errorf("%s: handed over %q, want %q", row.name, seen, want)
			}
		}
	}
	if n := len(*g.routes.Get().cache.Load()); n > 4 {
		t.Errorf("%d commands are remembered: refused ones must not be", n)
	}
}

// TestRechecker: today's tokens and today's apps decide, RequestTime's age does not.
func TestRechecker(t *testing.T) {
	snapshot, routes := parseApps(t, testApps), parseRoutes(t, testRoutes)
	at := func(seconds, token string) string { return "&RequestTime=" + seconds + "&Sign=" + sign(token, seconds) }
	for _, row := range []struct {
		name, target string
		accept       bool
		want         string // refusal, or topic and what else there is
	}{
		{"right", target(signedApp, alarm) + at("1", vectorToken), false, "im.alarms.raw reserve sign late 1"},
		{"right and in time", signed(alarm), false, "im.alarms.raw reserve sign 1669872112"},
		{"the old token of a rotation", target(rotatingApp, otherCommand) + at("1", "old-token"), false, "im.callbacks.raw sign late 1"},
		{"RequestTime in milliseconds", target(signedApp, alarm) + at("1669872112000", vectorToken), false, "im.alarms.raw reserve sign late 1669872112000"},
		{"forged", target(signedApp, alarm) + at("1", "guess"), false, "sign_wrong"},
		{"no Sign", target(signedApp, alarm), false, "sign_missing"},
		{"no Sign needed", target(unsignedApp, alarm), false, "im.alarms.raw reserve none unsigned"},
		{"unknown", target(unknownApp, alarm) + at("1", vectorToken), false, "app_unknown"},
		{"unknown, accepted", target(unknownApp, alarm), true, "im.alarms.raw reserve none unsigned"},
		{"dropped", target(signedApp, "State.StateChange") + at("1", vectorToken), false, " sign late 1"},
		{"no query any more", "/?SdkAppid=1", false, "command_missing"},
	} {
		k := Rechecker{Apps: snapshot, Routes: routes, Gateway: []byte("g"), AcceptUnknown: row.accept}
		for range 2 {
			_, raw, _ := strings.Cut(row.target, "?")
			c := Refused{At: vectorNow, Query: []byte(raw), Body: []byte("body"), Traceparent: []byte(tracedBy)}
			second := k.Look(&c)
			got := second.Refusal
			if got == "" {
				got = second.Topic
				if second.Reserve {
					got += " reserve"
				}
				got += " " + second.Callback.Authenticated.String()
				if second.Late {
					got += " late"
				}
				if second.Unsigned {
					got += " unsigned"
				}
				if requestTime := second.Callback.Attributes[schema.AttributeRequestTime]; requestTime != nil {
					got += " " + string(requestTime)
				}
				if b := &second.Callback; string(b.Body) != "body" || string(b.Gateway) != "g" || !b.ReceivedAt.Equal(vectorNow) || string(b.Attributes[schema.AttributeTraceparent]) != tracedBy {
					t.Errorf("%s: %+v", row.name, b)
				}
				if strings.Contains(string(second.Callback.Attributes[schema.AttributeQuery]), "Sign") {
					t.Errorf("%s: Sign is kept", row.name)
				}
			}
			if got != row.want {
				t.Errorf("%s: %q, want %q", row.name, got, row.want)
			}
		}
	}
}

// BenchmarkRefused is what a forged callback costs in the handler alone, beside an accepted one.
func BenchmarkRefused(b *testing.B) {
	for name, raw := range map[string]string{
		"accepted": post(signed(alarm), alarmBody), "sign_wrong": post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, alarmBody),
	} {
		b.Run(name, func(b *testing.B) {
			g := newGate(b, func(o *Options) {
				unlimited(b)(o)
				o.Quarantine = func(*Refused) {}
			})
			ctx := newContext(raw)
			for b.Loop() {
				g.Handler(ctx)
				ctx.Response.Reset()
			}
		})
	}
}
