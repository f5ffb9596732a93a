package receive

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestLedgerOutlivesItsListing: an app that sends before it is in the file, and while it is put
// into it, has one ledger through all of it, be its first callback ever so close to the reload.
func TestLedgerOutlivesItsListing(t *testing.T) {
	empty := parseApps(t, "apps: []")
	for i := range int64(200) {
		id := 1 + i
		listing := parseApps(t, fmt.Sprintf("apps: [{sdk_app_id: %d, name: a}]", id))
		a := newAccounts(time.Now)
		a.reload(empty)
		stop := make(chan struct{})
		var senders sync.WaitGroup
		ledgers := make([]map[*ledger]bool, 3)
		for k := range ledgers {
			seen := make(map[*ledger]bool)
			ledgers[k] = seen
			senders.Go(func() {
				for last := false; !last; {
					select {
					case <-stop:
						last = true // once more, after the reload
					default:
					}
					acc, ok := a.find(id)
					if !ok {
						acc = a.accept(id)
					}
					seen[acc.ledger] = true
				}
			})
		}
		a.reload(listing)
		close(stop)
		senders.Wait()
		acc, ok := a.find(id)
		for _, seen := range ledgers {
			if !ok || len(seen) != 1 || !seen[acc.ledger] {
				t.Fatalf("app %d: listed %v, %d ledgers", id, ok, len(seen))
			}
		}
		if n := len(a.all()); n != 1 {
			t.Fatalf("%d accounts of one app", n)
		}
	}
}

// TestReloadMakesNoneWait: callbacks of unlisted apps go on while a reload goes through its apps.
func TestReloadMakesNoneWait(t *testing.T) {
	a := newAccounts(time.Now)
	a.reload(parseApps(t, "apps: []"))
	a.accept(7)
	reading, goOn := make(chan bool), make(chan bool)
	a.now = func() time.Time { // relist asks for the time first
		reading <- true
		<-goOn
		return time.Now()
	}
	done := make(chan bool)
	go func() {
		a.reload(parseApps(t, "apps: [{sdk_app_id: 8, name: a}]"))
		close(done)
	}()
	<-reading
	a.accept(7)
	a.accept(9)
	if n := len(a.all()); n != 2 {
		t.Errorf("%d accounts during the reload, want 2", n)
	}
	close(goOn)
	<-done
	if n := len(a.all()); n != 3 {
		t.Errorf("%d accounts after it, want 3", n)
	}
}
