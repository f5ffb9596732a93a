package forward

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// Callbacks that come one after the other share requests, while nobody waits for Kafka.
func TestFewRequestsForATrickle(t *testing.T) {
	const apart = 50 * time.Millisecond // as the package comment says
	r := newRig(t, kfake.SeedTopics(1, testTopic))
	requests := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
	r.start()
	r.append(testTopic, apps(1)...)
	r.drain()
	before, began, n := requests.Hits(), time.Now(), 0
	for ; time.Since(began) < 6*apart; n++ {
		r.synced(r.append(testTopic, apps(1)...))
		time.Sleep(time.Millisecond) // slow enough that no batch gets nearly full meanwhile
	}
	took := time.Since(began)
	r.drain()
	sent := requests.Hits() - before
	t.Logf("%d callbacks in %s, %d requests", n, took, sent)
	if most := int(took/apart) + 3; sent > most {
		t.Errorf("%d requests for %d callbacks in %s, want at most %d", sent, n, took, most)
	}
}

// Who waits for the delivery does not wait for others to share the request.
func TestAwaitedCallbacksDoNotLinger(t *testing.T) {
	r := newRig(t, kfake.SeedTopics(1, testTopic))
	r.ackDeadline = 10 * time.Second
	r.start()
	r.append(testTopic, apps(1)...)
	r.drain()
	least := time.Hour
	for range 20 { // each but the first comes right after a request
		began := time.Now()
		if err := r.main.Wait(r.append(testTopic, apps(1)...), journal.Broker); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	if most := 20 * time.Millisecond; least > most { // requests are 5 ms apart then, and 50 where nobody waits
		t.Errorf("the fastest delivery took %s, want at most %s", least, most)
	}
}
