package receive

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// maxUnlisted bounds the apps that have a ledger without being in the apps file, as
// --unknown-apps accept lets them. All others share one, and with it one rate.
const maxUnlisted = 1000

// account is an app with its ledger, and with what every callback needs to know of the app, so that
// nothing of app itself has to be in the processor's cache.
type account struct {
	ledger         *ledger
	uses           []*tokenUse // of the app's tokens, by position
	alarms, others rate        // of the quota alarm, and of everything else
	app            *apps.App
}

func newAccount(app *apps.App, l *ledger, uses []*tokenUse) account {
	return account{ledger: l, uses: uses, alarms: rateOf(app.AlarmRateLimit), others: rateOf(app.RateLimit), app: app}
}

// accounts holds the account of every app. Looking one up takes no lock; it is one map
// look-up for an app that is in the file.
type accounts struct {
	listed atomic.Pointer[map[int64]account] // of the current snapshot; replaced, never changed

	now func() time.Time

	reloading sync.Mutex // one reload at a time; taken before mu

	mu       sync.RWMutex      // guards what is below, and that listed is replaced
	snapshot *apps.Snapshot    // that listed was made of
	unlisted map[int64]account // at most maxUnlisted
	shared   *ledger           // of the unlisted apps beyond that

	nobody ledger // requests of no app that could be known, and of apps that are not ours
}

func newAccounts(now func() time.Time) *accounts {
	a := &accounts{now: now, unlisted: make(map[int64]account), shared: new(ledger)}
	a.listed.Store(&map[int64]account{})
	return a
}

// reload takes over a new snapshot. Apps that stay keep their ledger, and their tokens what
// is known of their use; that of an app that is gone is forgotten.
func (a *accounts) reload(s *apps.Snapshot) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	next := a.relist(s)
	// Callbacks of unlisted apps wait for mu, so that what is done under it is of them alone,
	// of which there are few.
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, acc := range a.unlisted {
		if listed, ok := next[id]; ok {
			listed.ledger = acc.ledger
			next[id] = listed
			delete(a.unlisted, id)
			continue
		}
		a.unlisted[id] = newAccount(s.Unlisted(id), acc.ledger, nil)
	}
	a.snapshot = s
	a.listed.Store(&next)
}

// relist returns the accounts of the apps in s: those that stay and new ones. An app that is
// listed is not among the unlisted, whose accounts are not looked at.
func (a *accounts) relist(s *apps.Snapshot) map[int64]account {
	var pace reload.Pace
	old, now := *a.listed.Load(), a.now()
	next := make(map[int64]account, s.Len())
	for app := range s.All() {
		pace.Step()
		before := old[app.ID]
		l := before.ledger
		if l == nil {
			l = new(ledger)
		}
		next[app.ID] = newAccount(app, l, tokenUses(app, before, now))
	}
	return next
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
		return newAccount(a.snapshot.Unlisted(id), a.shared, nil)
	}
	acc = newAccount(a.snapshot.Unlisted(id), new(ledger), nil)
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
