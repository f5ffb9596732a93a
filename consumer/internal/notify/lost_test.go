package notify

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// victim is a worker that can be killed: from then on nothing of it reaches the database, its
// leases' end neither.
type victim struct {
	outbox *faulty
	stop   func()
}

func (b *bench) victim(owner string) *victim {
	v := &victim{outbox: &faulty{Outbox: b.outbox}}
	_, v.stop = b.work(v.outbox, owner, nil)
	return v
}

func (v *victim) kill() {
	v.outbox.all.Store(true)
	v.stop()
}

// copies returns how often each webhook-id came.
func copies(all []*sent) map[string]int {
	seen := map[string]int{}
	for _, r := range all {
		seen[r.header.Get("Webhook-Id")]++
	}
	return seen
}

// TestLeaseLostWhileASendHangs: a consumer is stopped in the middle of a message, for longer
// than its lease. What it learns of the channel when it wakes up changes nothing that its
// successor did, and it sends no more.
func TestLeaseLostWhileASendHangs(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable, http.StatusGone} {
		t.Run(fmt.Sprintf("HTTP %d in the end", status), func(t *testing.T) {
			run(t, oneHook, func(b *bench) {
				b.look = idle
				var asleep atomic.Bool
				asleep.Store(true)
				b.places.set("hook", func(*sent) (*http.Response, error) {
					if asleep.Swap(false) {
						time.Sleep(leaseTTL + 15*time.Second) // and no deadline ends it
						return respond(status, "")
					}
					return respond(http.StatusOK, "")
				})
				b.work(b.outbox, "a", nil)
				b.tell("1 step critical")
				b.soon()
				b.work(b.outbox, "b", nil)
				b.tell("2 step critical")
				b.pass(leaseTTL + idle)
				b.want("the successor's", b.states(), "hook 1 critical sent, hook 2 critical sent")
				b.tell("3 step critical")
				b.pass(time.Minute)
				b.want("after all", b.states(), "hook 1 critical sent, hook 2 critical sent, hook 3 critical sent")
				b.want("came", titles(b.places.to("hook")), "[critical] App-1 (1), [critical] App-1 (1), [critical] App-2 (2), [critical] App-3 (3)")
				if different := len(copies(b.places.to("hook"))); different != 3 {
					b.Errorf("%d ids for three messages", different)
				}
			})
		})
	}
}

// TestDatabaseAwayForTheSenderOnly: it has sent, and cannot mark it. Its successor sends it
// once more, under the same id, and that is all, also when the first one can mark it.
func TestDatabaseAwayForTheSenderOnly(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = idle
		cut := &faulty{Outbox: b.outbox}
		b.places.set("hook", func(*sent) (*http.Response, error) {
			cut.all.Store(true) // while it is under way
			cut.settle.Store(true)
			time.Sleep(time.Second)
			return respond(http.StatusOK, "")
		})
		b.work(cut, "a", nil)
		b.tell("1 step critical")
		b.pass(10 * time.Second)
		b.places.set("hook", nil)
		b.work(b.outbox, "b", nil)
		b.pass(leaseTTL + idle)
		b.want("taken over", b.states(), "hook 1 critical sent")
		cut.all.Store(false)
		cut.settle.Store(false)
		b.pass(time.Minute)
		all := b.places.to("hook")
		if seen := copies(all); len(all) != 2 || len(seen) != 1 {
			b.Errorf("%d requests with %d ids, want 2 with the same", len(all), len(seen))
		}
	})
}

// TestWorkersKilledAnywhere: consumers are killed at any moment, in the middle of messages as
// well. Everything is told, and for each kill at most one message comes twice, under its id.
func TestWorkersKilledAnywhere(t *testing.T) {
	for seed := range uint64(3) {
		run(t, oneHook, func(b *bench) {
			random := rand.New(rand.NewPCG(seed, 1))
			b.look = time.Second
			b.places.set("hook", func(*sent) (*http.Response, error) {
				time.Sleep(700 * time.Millisecond)
				return respond(http.StatusOK, "")
			})
			workers := []*victim{b.victim("0"), b.victim("1")}
			const notices = 12
			kills := 0
			for app := range notices {
				b.tell(fmt.Sprintf("%d step critical", app+1))
				b.pass(time.Duration(random.IntN(2000)) * time.Millisecond)
				if random.IntN(3) == 0 {
					n := random.IntN(len(workers))
					workers[n].kill()
					kills++
					workers[n] = b.victim(fmt.Sprint(1 + kills))
				}
				if random.IntN(4) == 0 {
					b.pass(leaseTTL)
				}
			}
			b.pass(time.Minute)
			if states := b.states(); strings.Count(states, "sent") != notices {
				b.Errorf("seed %d: %s", seed, states)
			}
			all := b.places.to("hook")
			seen := copies(all)
			if len(seen) != notices || len(all) > notices+kills {
				b.Errorf("seed %d: %d messages with %d ids, want %d ids and at most %d more messages", seed, len(all), len(seen), notices, kills)
			}
		})
	}
}

// TestAlertsOutliveAKilledConsumer: Alertmanager hears of what stands before it thinks that it
// is over, be the next consumer another one, which waits for the lease, or the only one, which
// goes on at once.
func TestAlertsOutliveAKilledConsumer(t *testing.T) {
	for _, only := range []bool{false, true} {
		t.Run(fmt.Sprintf("the only one: %v", only), func(t *testing.T) {
			runManager(t, func(b *bench, m *fakeManager) {
				running := b.victim("the only consumer")
				b.tell("1 step critical, 2 step critical")
				b.soon()
				for n := range 2 {
					running.kill()
					b.want("after a kill", m.stands(), "1 critical, 2 critical")
					began, before := time.Now(), len(b.places.to("am"))
					owner := "the only consumer"
					if !only {
						owner = fmt.Sprint("consumer ", n)
					}
					running = b.victim(owner)
					b.pass(leaseTTL + idle)
					all := b.places.to("am")[before:]
					if len(all) == 0 {
						b.Fatal("nothing is kept up")
					}
					if took := all[0].at.Sub(began); only && took > 0 {
						b.Errorf("the only consumer kept up what stands after %s", took)
					}
					b.pass(3 * time.Minute)
					b.want("kept up", m.stands(), "1 critical, 2 critical")
				}
				b.tell("1 resolve critical")
				b.soon()
				b.want("resolved", m.stands(), "2 critical")
			})
		})
	}
}

// TestSlowChannelDelaysNoOther: one that takes nine seconds for a message, near the longest
// that is waited for.
func TestSlowChannelDelaysNoOther(t *testing.T) {
	run(t, twoHooks, func(b *bench) {
		b.places.set("dead", func(*sent) (*http.Response, error) {
			time.Sleep(9 * time.Second)
			return respond(http.StatusOK, "")
		})
		b.work(b.outbox, "a", nil)
		b.goodGoesOn(8)
		b.pass(80 * time.Second)
		if strings.Contains(b.states(), "pending") {
			b.Errorf("states: %s", b.states())
		}
	})
}
