package receive

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/tidegate/tidegate/internal/apps"
)

// Who guesses tokens, or which apps are ours, fails authentication again and again. Beyond a
// rate per source such requests are answered 429 guessing, whatever it was that failed.
//
// The limit comes after authentication and is of failures only: a right Sign is never hurt by what
// else its source sends, and many apps come from the same few addresses of the vendor's, or of a
// proxy's. Coming before it would save a SHA-256 of some dozen bytes, a tenth of a microsecond, and
// cost honest callbacks. What it saves is what is done about a refusal beyond counting it: the list
// of last refusals, where a guesser would push out what an operator looks for, and the log. And all
// that the answer says is that it was too much.
//
// A botched rotation looks the same from here: many callbacks of one app, from few addresses, with
// a Sign that matches nothing; and so does an app that the vendor's console has before our file. So
// this does not decide what is kept for a second look: what is kept of an app of ours is bounded for
// each app, that of all others together, and is kept whatever is answered here.

const (
	// guessingBurst is how many seconds' worth of failures a source may have at once.
	guessingBurst = 5

	guessingSets = 1024
	guessingWays = 4
)

// guessing has a token bucket of failures for each of the sources that fail most: 4096 of them
// in 64 KiB, whatever comes. A further one takes the place of the one of its set that has the least
// to its account, so that who fails most is forgotten last. It takes no lock; a source that is
// replaced in the moment in which it fails may be let off.
type guessing struct {
	rate rate
	seed uint64 // so that nobody can choose addresses of one set
	sets [guessingSets][guessingWays]failures
}

// failures is the bucket of one source.
type failures struct {
	source atomic.Uint64 // see sourceKey; 0: free
	bucket bucket
}

// newGuessing returns the table for a rate of failures per second; nil, which lets everything
// pass, when that is not above 0.
func newGuessing(perSecond float64) *guessing {
	if perSecond <= 0 {
		return nil
	}
	return &guessing{
		rate: rateOf(apps.RateLimit{PerSecond: perSecond, Burst: max(1, int(perSecond*guessingBurst))}),
		seed: rand.Uint64(),
	}
}

// fail counts a failure of source at now, in nanoseconds since the Receiver was made. retry is 0
// while the source may fail, else the seconds until it may again.
func (g *guessing) fail(source netip.Addr, now int64) (retry int) {
	if g == nil {
		return 0
	}
	wait, ok := g.find(sourceKey(source)).take(now, g.rate)
	if ok {
		return 0
	}
	return retrySeconds(wait)
}

// find returns the bucket of a source, which may have been another's until now.
func (g *guessing) find(key uint64) *bucket {
	high, low := bits.Mul64(key^g.seed, 0x9e3779b97f4a7c15)
	set := &g.sets[(high^low)%guessingSets]
	least := &set[0]
	for i := range set {
		f := &set[i]
		if f.source.Load() == key {
			return &f.bucket
		}
		if f.bucket.fullAt.Load() < least.bucket.fullAt.Load() {
			least = f
		}
	}
	least.source.Store(key)
	least.bucket.fullAt.Store(0)
	return &least.bucket
}

// sourceKey is what counts as one source: an IPv4 address, or the /64 of an IPv6 address, as
// that is what one customer has at least (RFC 6177). Never 0.
func sourceKey(source netip.Addr) uint64 {
	b := source.As16()
	if source.Is4() {
		return binary.BigEndian.Uint64(b[8:]) // ::ffff:a.b.c.d: no network has ffff there
	}
	return max(1, binary.BigEndian.Uint64(b[:8]))
}

// slowed is what is answered to a request for which identify found f: f, or guessing when its
// source has failed too often. Failures are those of who does not know a token or an app; a right
// Sign at the wrong time is none.
func (r *Receiver) slowed(q *request, f refusal) refusal {
	switch f {
	case refusedSignMissing, refusedSignWrong, refusedAppUnknown:
	default:
		return f
	}
	if q.retry = r.guessing.fail(r.source(q), int64(q.now.Sub(r.started))); q.retry > 0 {
		return refusedGuessing
	}
	return f
}
