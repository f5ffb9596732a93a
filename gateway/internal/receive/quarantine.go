package receive

import (
	"net/netip"
	"path"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// Refused is a callback that was refused for something that an operator can put right: its Sign,
// the time of that, or an app that the apps file does not have. Its slices are views.
type Refused struct {
	At          time.Time  // when its request was complete
	Reason      string     // sign_missing, sign_wrong, request_time or app_unknown
	Source      netip.Addr // as at /apps
	AppID       int64      // SdkAppid as sent
	Command     []byte     // valid
	Query       []byte     // raw, with Sign and RequestTime: never to be shown
	Traceparent []byte     // nil: none, or not a valid one
	Body        []byte
}

// keepRefused hands a callback that was refused for f to Options.Quarantine, where f is one of the
// four reasons, and a route keeps such callbacks: what nobody wants kept is not kept because its
// Sign was wrong.
func (r *Receiver) keepRefused(q *request, f refusal) {
	if r.quarantine == nil {
		return
	}
	switch f {
	case refusedSignMissing, refusedSignWrong, refusedRequestTime, refusedAppUnknown:
	default:
		return
	}
	if !r.routes.Get().keeps(q.query.command, q.query.appID, f == refusedAppUnknown) {
		return
	}
	q.refused = Refused{
		At: q.now, Reason: refusals[f].reason, Source: r.source(q), AppID: q.query.appID,
		Command: q.query.command, Query: q.raw, Traceparent: q.callback.Attributes[schema.AttributeTraceparent], Body: q.callback.Body,
	}
	r.quarantine(&q.refused)
	q.refused = Refused{}
}

// keeps says whether callbacks of command and app have a topic; anyApp: of command and any app.
// Unlike find it remembers nothing: whoever is refused must not fill the cache.
func (r *Routes) keeps(command []byte, app int64, anyApp bool) bool {
	// A route with a topic keeps it, one without decides only for those that it is for.
	look := func(topic string, ids []int64) (keeps, decided bool) {
		_, ours := slices.BinarySearch(ids, app)
		ours = ours || ids == nil
		return topic != "" && (ours || anyApp), ours
	}
	if decisions, ok := (*r.cache.Load())[string(command)]; ok {
		for _, d := range decisions {
			if keeps, decided := look(d.Topic, d.apps); keeps || decided {
				return keeps
			}
		}
	}
	name := string(command) // allocates, once for all routes; not for the alarm, which is remembered from the start
	for i := range r.list {
		if ok, _ := path.Match(r.list[i].command, name); !ok {
			continue
		}
		if keeps, decided := look(r.list[i].topic, r.list[i].apps); keeps || decided {
			return keeps
		}
	}
	return false
}

// Second is what a second look at a refused callback says.
type Second struct {
	Callback schema.Callback // views into what was looked at, and into the Rechecker
	Topic    string          // "": its route drops it
	Reserve  bool            // its route may use the last tenth
	Refusal  string          // not "": it would be refused today too, and why
	Unsigned bool            // its app has no tokens: anyone may have sent it
	Late     bool            // RequestTime was outside the window when it came: who once saw its Sign may have sent it
}

// Rechecker looks at refused callbacks again, as a request is looked at, but for the method, the
// rates, and the time of RequestTime: it is as long ago as the callback is. It is for one goroutine
// at a time.
type Rechecker struct {
	Apps          *apps.Snapshot // with tokens resolved
	Routes        *Routes        // nil: Topic and Reserve are not looked for
	Gateway       []byte         // ce_gateway
	AcceptUnknown bool           // see Options
	Window        time.Duration  // RequestTimeWindow of Options, for Second.Late; 0: its default

	query   query
	scratch []byte
}

// Look looks at one. The result is valid until the next call, and while c's views are.
func (k *Rechecker) Look(c *Refused) Second {
	if f := k.query.parse(c.Query); f != notRefused {
		return Second{Refusal: refusals[f].reason} // this release is stricter than that which took it
	}
	app := k.Apps.Get(k.query.appID)
	if app == nil {
		if !k.AcceptUnknown {
			return Second{Refusal: refusals[refusedAppUnknown].reason}
		}
		app = k.Apps.Unlisted(k.query.appID)
	}
	setDefault(&k.Window, DefaultRequestTimeWindow)
	p, buf, f := authenticate(app, nil, &k.query, c.At, k.Window, k.scratch)
	k.scratch = buf
	if f != notRefused && (f != refusedRequestTime || p.position == noPosition) {
		return Second{Refusal: refusals[f].reason}
	}
	second := Second{Unsigned: len(app.Tokens) == 0, Late: f == refusedRequestTime, Callback: schema.Callback{
		Gateway: k.Gateway, AppID: k.query.appID, Command: k.query.command, ReceivedAt: c.At.UTC().Truncate(time.Millisecond),
		Authenticated: p.by, Attributes: k.query.attributes, Body: c.Body,
	}}
	if len(c.Traceparent) > 0 {
		second.Callback.Attributes[schema.AttributeTraceparent] = c.Traceparent
	}
	if k.Routes != nil {
		d := k.Routes.find(k.query.command, k.query.appID)
		second.Topic, second.Reserve = d.Topic, d.Reserve
	}
	return second
}
