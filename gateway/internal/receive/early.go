package receive

import (
	"math"
	"time"

	"github.com/valyala/fasthttp"
)

// Refusals before the body. A large body is refused before any of it is read where the header
// tells enough, and a client that asks first (Expect: 100-continue) is told no instead of to go on.
// A small one lies in the reader's buffer already, and takes the ordinary way at no extra cost.
//
//	fasthttp   header read, headerReceived
//	foresee    what would come of it, by the stages of handler.go, taking nothing
//	mark       the refusal stands in the header as an impossible Content-Length, as there is no
//	           other way from one to the other
//	fasthttp   finds the body too large, handleError
//	refuseEarly  counts and answers what was marked

// earlyBytes is the longest body that is not looked at before it was read.
const earlyBytes = 4 << 10

// The shares of --max-waiting-bytes, in percent: bodies of those who did not prove who they are
// leave the other half to those who did.
const (
	shareOfAll      = 100
	shareOfUnproven = 50
)

// marked is where the Content-Lengths begin that are a refusal. A client that sends one itself has
// a body that is too large, and that is marked over it.
const marked = math.MaxInt - int(numRefusals)

// headerReceived decides on a request whose header was read.
func (r *Receiver) headerReceived(h *fasthttp.RequestHeader) (config fasthttp.RequestConfig) {
	size := h.ContentLength()
	if size <= earlyBytes && size != chunkedLength && len(h.Peek(fasthttp.HeaderExpect)) == 0 {
		return config
	}
	f, most := r.foresee(h, size)
	if f != notRefused {
		h.Del(fasthttp.HeaderExpect)
		h.SetContentLength(marked + int(f))
		most = 1
	}
	config.MaxRequestBodySize = most
	return config
}

// chunkedLength is the Content-Length that fasthttp gives to a chunked body.
const chunkedLength = -1

// foresee returns the refusal that is sure, or notRefused and the largest body that is read; 0: as of any.
// It takes no token and counts nothing.
func (r *Receiver) foresee(h *fasthttp.RequestHeader, size int) (f refusal, most int) {
	q := r.requests.Get().(*request) //nolint:forcetypeassert // the pool has one maker
	defer r.release(q)
	q.now = r.clockTime()
	if r.draining.Load() {
		return refusedDraining, 0
	}
	if f := r.parseHeader(h, q); f != notRefused {
		return f, 0
	}
	if size > r.server.MaxRequestBodySize {
		return refusedBodySize, 0
	}
	if f := r.identify(q); f != notRefused {
		return r.unlessWanted(f, size), r.mostUnproven(size)
	}
	return r.foreseeKeep(q, size), 0
}

// foreseeKeep is for a callback that comes from whom it says.
func (r *Receiver) foreseeKeep(q *request, size int) refusal {
	d := r.routes.Get().find(q.query.command, q.query.appID)
	switch {
	case d.Topic == "":
		// It is answered 200, once it was read.
	case r.topicFull != nil && r.topicFull(d.Topic):
		return refusedParkedFull
	case r.hasRoom != nil && !r.hasRoom(d.Reserve):
		return refusedJournalFull
	default:
		if _, ok := r.foreseeLimit(q); !ok {
			return refusedRate
		}
	}
	if !r.waiting.room(r.atMost(size), shareOfAll) {
		return refusedBusy
	}
	return notRefused
}

// unlessWanted returns f, or notRefused where the body is read all the same. A callback that is
// refused for want of proof may be an honest one, of an app whose token or number we do not know
// yet, so it is kept in quarantine, for which there has to be a body. All other refusals need none.
func (r *Receiver) unlessWanted(f refusal, size int) refusal {
	wanted := f == refusedSignMissing || f == refusedSignWrong || f == refusedRequestTime || f == refusedAppUnknown
	if wanted && r.waiting.room(r.atMost(size), shareOfUnproven) {
		return notRefused
	}
	return f
}

// mostUnproven is the largest body that is read of those who did not prove who they are; 0: as of any.
// A chunked one takes its share as it comes, when it is too late to look what is left for others: it
// may be as long as what takes none.
func (r *Receiver) mostUnproven(size int) int {
	if size != chunkedLength {
		return 0
	}
	return min(r.server.ReadBufferSize, r.server.MaxRequestBodySize)
}

// atMost is how many bytes a body of that Content-Length can have.
func (r *Receiver) atMost(size int) int64 {
	if size < 0 {
		size = r.server.MaxRequestBodySize
	}
	return int64(size)
}

// foreseeLimit is what limit would say, of a copy of the bucket.
func (r *Receiver) foreseeLimit(q *request) (wait time.Duration, ok bool) {
	b, rate := q.bucket()
	return b.peek(int64(q.now.Sub(r.started)), rate)
}

// peek is take without taking.
func (b *bucket) peek(now int64, r rate) (wait time.Duration, ok bool) {
	var probe bucket
	probe.fullAt.Store(b.fullAt.Load())
	return probe.take(now, r)
}

// refuseEarly answers a request that headerReceived has marked, and counts it as any other refusal.
// It reports whether there was one.
func (r *Receiver) refuseEarly(ctx *fasthttp.RequestCtx) bool {
	size := ctx.Request.Header.ContentLength()
	if size <= marked {
		return false
	}
	f := refusal(size - marked)
	q := r.requests.Get().(*request) //nolint:forcetypeassert // the pool has one maker
	defer r.release(q)
	q.ctx, q.now = ctx, r.clockTime()
	if f != refusedHTTP {
		_ = r.parseHeader(&ctx.Request.Header, q) // whose it is; that was refused already
	}
	if elsewhere := r.checkSource(q); elsewhere != notRefused {
		f = elsewhere // the header alone does not say where a request comes from
	}
	f = r.slowed(q, f)
	if f == refusedRate {
		q.retry = r.retryOf(q)
	}
	r.count(q, outcome(f))
	answerRefusal(ctx, f, q.retry)
	return true
}

// retryOf is the Retry-After of an app that is over its rate.
func (r *Receiver) retryOf(q *request) int {
	acc, ok := r.accounts.find(q.query.appID)
	if !ok {
		if !r.acceptUnknown {
			return 0 // the apps file was reloaded since
		}
		acc = r.accounts.accept(q.query.appID)
	}
	q.account = acc
	wait, _ := r.foreseeLimit(q)
	return retrySeconds(wait)
}
