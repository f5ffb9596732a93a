package receive

import (
	"errors"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

// request is one callback on its way through the stages. It is pooled: it owns the buffers
// that parsing needs and the function that the journal calls.
type request struct {
	// What came: views.
	ctx   *fasthttp.RequestCtx // nil: a plain request, or one that is only foreseen, which has no source
	conn  *conn                // nil: none of ours
	raw   []byte               // the query as sent
	body  []byte
	block []byte // of a plain request's headers, as sent

	forwarded [][]byte // views of block, see source

	query    query
	callback schema.Callback
	topic    string
	scratch  []byte
	now      time.Time // when the request was complete

	// fill appends the entry's payload, see journal.Append. It is made once with the
	// request, because a closure made per callback would be an allocation per callback.
	fill func(dst []byte) []byte

	from netip.Addr // see source; the zero address until it was asked for

	account  account   // of the app; the zero account until one is known
	decision *decision // of the route; nil until there is one
	retry    int       // seconds for Retry-After, where a stage knows them
	refused  Refused   // while Options.Quarantine looks at it

	part uint32 // of the histograms: the pool gives a processor the requests that it had before

	misframed bool // as the connection saw it, see requestLine and padded
	header    headerBlock
}

func (r *Receiver) newRequest() any {
	q := &request{part: 1 + r.made.Add(1)%(answerParts-1)}
	q.fill = func(dst []byte) []byte { return entry.Append(dst, q.topic, &q.callback) }
	return q
}

// release gives up the views and puts q back.
func (r *Receiver) release(q *request) {
	q.ctx, q.conn, q.raw, q.body, q.block = nil, nil, nil, nil, nil
	clear(q.forwarded)
	q.callback = schema.Callback{}
	q.account, q.decision, q.topic, q.retry, q.from = account{}, nil, "", 0, netip.Addr{}
	q.misframed, q.header = false, headerBlock{}
	q.query.forget()
	r.requests.Put(q)
}

// Handler takes one request and answers it. It is the server's handler, for any number of
// goroutines. It returns when the answer is decided, or, at ack level disk, is held by the
// connection until it is, see held.go; elsewhere at disk and broker it waits for the journal,
// which bounds the waiting.
func (r *Receiver) Handler(ctx *fasthttp.RequestCtx) {
	q := r.requests.Get().(*request) //nolint:forcetypeassert // the pool has one maker
	c, _ := ctx.Conn().(*conn)
	q.ctx, q.conn, q.now = ctx, c, r.now(ctx)
	if c == nil || c.begin() {
		r.handle(q)
	} else { // no answer can leave any more, nor one to what lies behind it in fasthttp's buffer
		ctx.SetConnectionClose()
		c.giveBack()
	}
	ctx.Request.ReleaseBody(keptBytes)
	r.release(q)
}

// handle takes a request of fasthttp's through the stages, and answers it.
func (r *Receiver) handle(q *request) {
	ctx, c := q.ctx, q.conn
	if c != nil {
		q.misframed = !c.line.handled(sizeOf(&ctx.Request)) || padded(&ctx.Request, c.share.read)
	}
	result := outcome(r.parse(q))
	if result == outcome(notRefused) {
		result = r.serve(q)
	}
	if result != outcomeHeld {
		r.count(q, result)
	}
	switch result {
	case outcomeAccepted, outcomeDropped, outcomeHeld:
		answer(ctx, q.decision.Answer)
	default:
		answerRefusal(ctx, refusal(result), q.retry)
	}
	if q.header.last || r.leaving.Load() {
		ctx.SetConnectionClose()
	}
	if c != nil {
		c.end(result)
	}
}

// serve takes q, whose query was parsed, through the stages that follow and returns its outcome. What
// is cheap to see comes first; what names the app comes before what is held against it.
func (r *Receiver) serve(q *request) outcome {
	c := &q.callback // one after the other: a literal would be made on the stack first and copied
	c.Gateway, c.AppID, c.Command, c.Body = r.gateway, q.query.appID, q.query.command, q.body
	c.ReceivedAt = time.UnixMilli(q.now.UnixMilli()).UTC()
	c.Attributes = q.query.attributes
	c.Attributes[schema.AttributeTraceparent] = traceparent(q.header.traceparent)
	if f := r.identify(q); f != notRefused {
		r.keepRefused(q, f)
		return outcome(r.slowed(q, f))
	}
	q.decision = r.routes.Get().find(q.query.command, q.query.appID)
	r.warnBlocking(q)
	if q.decision.Topic == "" {
		// No token is taken: what we throw away must not use up the rate of what the
		// app wants kept.
		if q.decision.Blocking {
			r.metrics.blocking.note(q.part, r.since(q.now))
		}
		return outcomeDropped
	}
	if f := r.limit(q); f != notRefused {
		return outcome(f)
	}
	return r.keep(q)
}

// parse reads a request of fasthttp's: views only.
func (r *Receiver) parse(q *request) refusal {
	if f := r.checkSource(q); f != notRefused {
		return f
	}
	if r.draining.Load() {
		return refusedDraining
	}
	if f := r.parseHeader(&q.ctx.Request.Header, q); f != notRefused {
		return f
	}
	if q.body = q.ctx.Request.Body(); len(q.body) == 0 {
		return refusedBodyEmpty
	}
	return notRefused
}

// parseHeader reads what stands before the body.
func (r *Receiver) parseHeader(h *fasthttp.RequestHeader, q *request) refusal {
	var path []byte
	var ok bool
	path, q.raw, ok = splitTarget(h.RequestURI())
	if !ok || q.misframed {
		return refusedHTTP
	}
	if q.header, ok = strict(h); !ok {
		return refusedHTTP
	}
	switch {
	case !r.takes(path):
		return refusedPath
	case !h.IsPost():
		return refusedMethod
	}
	return q.query.parse(q.raw)
}

// takes says whether callbacks are taken at path.
func (r *Receiver) takes(path []byte) bool { return r.path == "" || string(path) == r.path }

// identify finds the app and checks that the callback comes from those who know its token.
func (r *Receiver) identify(q *request) refusal {
	acc, ok := r.accounts.find(q.query.appID)
	if !ok {
		if !r.acceptUnknown {
			return refusedAppUnknown
		}
		acc = r.accounts.accept(q.query.appID)
	}
	q.account = acc
	p, buf, f := authenticate(acc.app, acc.uses, &q.query, q.now, r.window, q.scratch)
	q.scratch = buf
	q.callback.Authenticated = p.by
	if p.position != noPosition {
		acc.uses[p.position].match(q.now)
		if p.timed {
			r.metrics.skewed(p.skew)
		}
	}
	return f
}

// limit takes a token from the app's bucket of this command: the quota alarm has its own.
func (r *Receiver) limit(q *request) refusal {
	b, rate := q.bucket()
	wait, ok := b.take(int64(q.now.Sub(r.started)), rate)
	if !ok {
		q.retry = retrySeconds(wait)
		return refusedRate
	}
	return notRefused
}

// bucket is the bucket of the callback, with its rate.
func (q *request) bucket() (*bucket, rate) {
	if isAlarm(q.query.command) {
		return &q.account.ledger.alarms, q.account.alarms
	}
	return &q.account.ledger.others, q.account.others
}

// keep appends the callback, and waits for its ack level or has the answer held until then.
func (r *Receiver) keep(q *request) outcome {
	d := q.decision
	q.topic = d.Topic
	if r.topicFull != nil && r.topicFull(d.Topic) {
		return outcome(refusedParkedFull)
	}
	if d.Ack == journal.Memory {
		// Nothing is in flight where nobody waits. While the disk stalls it waits for room, but not a blocking
		// callback: a user of the app is waiting for the answer.
		_, err := r.journal.TryAppend(d.Reserve, q.fill)
		if err == nil {
			r.metrics.answered(q.part, d, r.since(q.now))
			return outcomeAccepted
		}
		if d.Blocking || !errors.Is(err, journal.ErrBusy) {
			return outcome(r.notTaken(err))
		}
	}
	if !r.inFlight.enter(d.Reserve) {
		return outcome(refusedBusy)
	}
	ticket, err := r.journal.Append(d.Reserve, q.fill)
	if err != nil {
		r.inFlight.leave()
		return outcome(r.notTaken(err))
	}
	if c := r.holder(q); c != nil {
		if r.sources.trusted.Len() > 0 {
			r.source(q) // as the header says it; else the connection knows
		}
		c.hold(ticket, q, q.from)
		return outcomeHeld
	}
	err = r.journal.Wait(ticket, d.Ack)
	r.inFlight.leave()
	r.metrics.answered(q.part, d, r.since(q.now))
	return outcome(unconfirmedBy(err))
}

// unconfirmedBy is the refusal for an error of Wait. Whatever went wrong, the entry is in the
// journal's hands and may come.
func unconfirmedBy(err error) refusal {
	switch {
	case err == nil:
		return notRefused
	case errors.Is(err, journal.ErrParked):
		return unconfirmedParked
	default:
		return unconfirmed
	}
}

// notTaken is the refusal for an error of Append.
func (r *Receiver) notTaken(err error) refusal {
	switch {
	case errors.Is(err, journal.ErrBusy):
		return refusedBusy
	case errors.Is(err, journal.ErrFull):
		return refusedJournalFull
	case errors.Is(err, journal.ErrTooLarge):
		return refusedBodySize
	case errors.Is(err, journal.ErrClosed):
		return refusedDraining
	}
	if line, leftOut := r.oddLine.check(r.log, r.clockTime(), zap.ErrorLevel, "journal refused an entry for an unknown reason"); line != nil {
		line.Write(zap.Error(err), zap.Uint64("left_out", leftOut))
	}
	return refusedJournalFull
}

// count notes the outcome, once per answer: in the metrics, in the app's ledger, and where
// it is a refusal in the list of the last ones, unless its source has filled that already, and in
// the log.
func (r *Receiver) count(q *request, result outcome) {
	r.metrics.outcomes[result].Inc()
	l := q.account.ledger
	if l == nil {
		l = r.ledgerOf(q)
	}
	l.note(result, q.now)
	switch result {
	case outcomeAccepted, outcomeDropped:
	case outcome(refusedGuessing):
		r.logRefusal(l, refusedGuessing, q.now, q.query.appID, r.source(q), q.query.command)
	default:
		r.refuse(l, refusal(result), q.now, q.query.appID, r.source(q), q.query.command)
	}
}

// warnBlocking says once per blocking command that our OK approves what it asks about.
func (r *Receiver) warnBlocking(q *request) {
	d := q.decision
	if d.Blocking && !d.Static && !d.warned.Load() && d.warned.CompareAndSwap(false, true) {
		r.log.Warn("blocking callback is answered OK, which allows what it asks about; its route has no answer of its own",
			zap.ByteString("command", q.query.command), zap.Int64("sdk_app_id", q.query.appID))
	}
}

// ledgerOf returns the ledger for a request that was refused before its app was found:
// that of the app it names where it is one of ours, for its owner looks there.
func (r *Receiver) ledgerOf(q *request) *ledger {
	if acc, ok := r.accounts.find(q.query.appID); ok {
		return acc.ledger
	}
	return &r.accounts.nobody
}
