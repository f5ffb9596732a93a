package receive

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
)

// outcome is what became of a callback: a refusal, or one of the two kinds of 200. Exactly
// one is counted for each answer.
type outcome uint8

// The outcomes beside the refusals, which have their own numbers.
const (
	outcomeAccepted = outcome(notRefused)
	outcomeDropped  = outcome(numRefusals)
	numOutcomes     = int(numRefusals) + 1
)

// labels returns result and reason of tidegate_gateway_callbacks_total.
func (o outcome) labels() (string, string) {
	switch o {
	case outcomeAccepted:
		return string(resultAccepted), reasonNone
	case outcomeDropped:
		return string(resultDropped), reasonNone
	}
	r := &refusals[o]
	return string(r.result), r.reason
}

const (
	lastRefusals = 20 // that are shown of each app

	// maxUnlisted bounds the apps that have a ledger without being in the apps file, as
	// --unknown-apps accept lets them. All others share one, and with it one rate.
	maxUnlisted = 1000

	// maxPositions bounds the token positions whose last match is noted.
	maxPositions = 8
)

// ledger is what we know of one app from its callbacks: its buckets, counters and last
// refusals. It survives reloads of the apps file. All methods may be called from any
// goroutine and none of them waits.
type ledger struct {
	alarms bucket // of the quota alarm
	others bucket // of everything else

	outcomes [numOutcomes]atomic.Uint64
	last     atomic.Int64               // last callback, Unix milliseconds; 0: none yet
	matched  [maxPositions]atomic.Int64 // last match of each token position, Unix milliseconds
	refused  atomic.Pointer[refusalRing]
}

// refusalRing keeps the last refusals of one ledger. It is made at the first one: most
// apps never have any.
type refusalRing struct {
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

// refuse notes a refusal. Under a flood a few are left out of the list, but not of the
// counters: the list must not become what a flood waits for.
func (l *ledger) refuse(f refusal, now time.Time, app int64, source netip.Addr, command []byte) {
	ring := l.refused.Load()
	if ring == nil {
		l.refused.CompareAndSwap(nil, new(refusalRing))
		ring = l.refused.Load()
	}
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

// match notes that the token at position matched.
func (l *ledger) match(position int, now time.Time) {
	if position < maxPositions {
		l.matched[position].Store(now.UnixMilli())
	}
}

// account is an app with its ledger.
type account struct {
	app    *apps.App
	ledger *ledger
}

// accounts holds the account of every app. Looking one up takes no lock; it is one map
// look-up for an app that is in the file.
type accounts struct {
	listed atomic.Pointer[map[int64]account] // of the current snapshot; replaced, never changed

	mu       sync.RWMutex      // guards what is below, and one reload at a time
	snapshot *apps.Snapshot    // that listed was made of
	unlisted map[int64]account // at most maxUnlisted
	shared   *ledger           // of the unlisted apps beyond that

	nobody ledger // requests of no app that could be known, and of apps that are not ours
}

func newAccounts() *accounts {
	a := &accounts{unlisted: make(map[int64]account), shared: new(ledger)}
	a.listed.Store(&map[int64]account{})
	return a
}

// reload takes over a new snapshot. Apps that stay keep their ledger; that of an app that
// is gone is forgotten.
func (a *accounts) reload(s *apps.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := *a.listed.Load()
	next := make(map[int64]account, s.Len())
	for app := range s.All() {
		l := old[app.ID].ledger
		if l == nil {
			l = a.unlisted[app.ID].ledger
		}
		if l == nil {
			l = new(ledger)
		}
		next[app.ID] = account{app, l}
		delete(a.unlisted, app.ID)
	}
	for id, acc := range a.unlisted {
		a.unlisted[id] = account{s.Unlisted(id), acc.ledger}
	}
	a.snapshot = s
	a.listed.Store(&next)
}

// find returns the account of an app that is in the file; ok is false for any other.
func (a *accounts) find(id int64) (account, bool) {
	acc, ok := (*a.listed.Load())[id]
	return acc, ok
}

// accept returns an account for an app that is not in the file, with the file's defaults.
func (a *accounts) accept(id int64) account {
	a.mu.RLock()
	acc, ok := a.unlisted[id]
	a.mu.RUnlock()
	if ok {
		return acc
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if acc, ok = a.find(id); ok {
		return acc // the file was reloaded meanwhile
	}
	if acc, ok = a.unlisted[id]; ok {
		return acc
	}
	if len(a.unlisted) >= maxUnlisted {
		return account{a.snapshot.Unlisted(id), a.shared}
	}
	acc = account{a.snapshot.Unlisted(id), new(ledger)}
	a.unlisted[id] = acc
	return acc
}

// all returns every account: the apps of the file in its order, then unlisted ones by id.
func (a *accounts) all() []account {
	a.mu.RLock()
	defer a.mu.RUnlock()
	listed := *a.listed.Load()
	list := make([]account, 0, len(listed)+len(a.unlisted))
	for app := range a.snapshot.All() {
		list = append(list, listed[app.ID])
	}
	ids := make([]int64, 0, len(a.unlisted))
	for id := range a.unlisted {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		list = append(list, a.unlisted[id])
	}
	return list
}
