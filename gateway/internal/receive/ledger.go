package receive

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is what became of a callback: a refusal, or one of the two kinds of 200. Exactly
// one is counted for each answer.
type outcome uint8

// The outcomes beside the refusals, which have their own numbers.
const (
	outcomeAccepted = outcome(notRefused)
	outcomeDropped  = outcome(numRefusals)
	numOutcomes     = int(numRefusals) + 1

	// outcomeHeld is none yet: it is counted when the journal has told.
	outcomeHeld = outcome(numOutcomes)
)

// labels returns result and reason of tidegate_gateway_callbacks_total.
func (o outcome) labels() (string, string) {
	switch o {
	case outcomeAccepted:
		return string(resultAccepted), reasonNone
	case outcomeDropped:
		return string(resultDropped), reasonNone
	case outcomeHeld:
		panic("BUG: a held answer is counted when it was decided")
	}
	r := &refusals[o]
	return string(r.result), r.reason
}

// authentic says of a refusal whether the callback was the app's, as far as can be known: its
// Sign was right, or the app has no tokens.
func (o outcome) authentic() bool {
	switch refusal(o) {
	case refusedRequestTime, refusedRate, refusedJournalFull, refusedBusy, refusedParkedFull, unconfirmed, unconfirmedParked:
		return true
	default:
		return false
	}
}

const lastRefusals = 20 // that are shown of each app

// ledger is what we know of one app from its callbacks: its buckets, counters and last
// refusals. It survives reloads of the apps file. All methods may be called from any
// goroutine and none of them waits.
type ledger struct {
	// What a callback that is accepted changes stands together, in 64 bytes: not all apps' ledgers
	// are in a processor's cache at once.
	alarms bucket       // of the quota alarm, at the app's alarm_rate_limit
	others bucket       // of everything else, at its rate_limit
	last   atomic.Int64 // last callback that was let through, Unix milliseconds; 0: none yet

	outcomes [numOutcomes]atomic.Uint64 // outcomeAccepted is the first
	away     atomic.Int64               // last callback that was refused although it was the app's, Unix milliseconds; 0: none yet
	refused  atomic.Pointer[refusalRing]
}

// refusalRing keeps the last refusals of one ledger, and which of them are lines of the log.
// It is made at the first one: most apps never have any.
type refusalRing struct {
	lines [numRefusals]sampler // by reason, see refusallog.go

	mu   sync.Mutex
	next int // index of the next to be overwritten
	list [lastRefusals]refusedCallback
}

// refusedCallback is one refusal as /apps shows it: no Sign, no token, no query, no body.
type refusedCallback struct {
	at      int64 // Unix milliseconds; 0: unused
	reason  refusal
	app     int64 // as sent; 0: none that could be read
	source  netip.Addr
	size    uint8
	command [maxCommand]byte // the first size bytes; empty where it could not be read
}

// note counts an outcome, and remembers when the last callback was let through, and when one
// that was the app's was not.
func (l *ledger) note(result outcome, now time.Time) {
	l.outcomes[result].Add(1)
	switch {
	case result == outcomeAccepted || result == outcomeDropped:
		l.last.Store(now.UnixMilli())
	case result.authentic():
		l.away.Store(now.UnixMilli())
	}
}

// sent is when the app last sent a callback, Unix milliseconds; 0: not yet.
func (l *ledger) sent() int64 { return max(l.last.Load(), l.away.Load()) }

// refuse notes a refusal. Under a flood a few are left out of the list, but not of the
// counters: the list must not become what a flood waits for.
func (l *ledger) refuse(f refusal, now time.Time, app int64, source netip.Addr, command []byte) {
	ring := l.ring()
	if !ring.mu.TryLock() {
		return
	}
	defer ring.mu.Unlock()
	slot := &ring.list[ring.next]
	ring.next = (ring.next + 1) % lastRefusals
	slot.at, slot.reason, slot.app, slot.source = now.UnixMilli(), f, app, source
	slot.size = 0
	if validCommand(command) {
		slot.size = uint8(copy(slot.command[:], command))
	}
}

// ring returns the ledger's ring, and makes it where there is none.
func (l *ledger) ring() *refusalRing {
	ring := l.refused.Load()
	if ring == nil {
		l.refused.CompareAndSwap(nil, new(refusalRing))
		ring = l.refused.Load()
	}
	return ring
}

// refusals returns the last refusals, newest first.
func (l *ledger) refusals() []refusedCallback {
	ring := l.refused.Load()
	if ring == nil {
		return nil
	}
	ring.mu.Lock()
	defer ring.mu.Unlock()
	var list []refusedCallback
	for i := range lastRefusals {
		if slot := ring.list[(ring.next+lastRefusals-1-i)%lastRefusals]; slot.at != 0 {
			list = append(list, slot)
		}
	}
	return list
}
