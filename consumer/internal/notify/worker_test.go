package notify

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

const twoHooks = `
channels:
  - {name: good, type: webhook, url: http://good/}
  - {name: dead, type: webhook, url: http://dead/}
default: [good, dead]
`

const oneHook = `
channels:
  - {name: hook, type: webhook, url: http://hook/}
default: [hook]
`

func TestNoticeArrivesWithinASecond(t *testing.T) {
	run(t, twoHooks, func(b *bench) {
		b.work(b.outbox, "a", nil)
		b.pass(time.Minute)
		b.tell("1 step critical, 2 forecast warning")
		told := time.Now()
		b.pass(time.Second)
		for _, host := range []string{"good", "dead"} {
			all := b.places.to(host)
			b.want(host, titles(all), "[critical] App-1 (1), [warning] App-2 (2)")
			if took := all[1].at.Sub(told); took > lookEvery {
				b.Errorf("%s: the last came after %s", host, took)
			}
		}
		b.want("states", b.states(), "good 1 critical sent, dead 1 critical sent, good 2 warning sent, dead 2 warning sent")
	})
}

// inHand is an outbox whose unrouted notices another consumer has in hand.
type inHand struct {
	store.Outbox
	asked atomic.Int32
}

func (o *inHand) Route(context.Context, []store.Route, time.Time) (int, error) {
	o.asked.Add(1)
	return 0, nil
}

// TestNoticesThatAnotherHasInHandAreWaitedFor, instead of asking for them without a pause: it may
// have been stopped.
func TestNoticesThatAnotherHasInHandAreWaitedFor(t *testing.T) {
	run(t, manager, func(b *bench) {
		b.tellMany(1, routeLimit+1)
		o := &inHand{Outbox: b.outbox}
		b.work(o, "a", nil)
		b.pass(10 * time.Second)
		if n, most := o.asked.Load(), int32(10*time.Second/lookEvery)+1; n < 2 || n > most {
			b.Errorf("asked %d times in 10 s, want 2 to %d", n, most)
		}
	})
}

// TestNoticeThatAnotherRoutedArrivesWithinASecond: in a shared store the consumer that has a
// channel's lease need not be the one that routes.
func TestNoticeThatAnotherRoutedArrivesWithinASecond(t *testing.T) {
	const yaml = `
channels:
  - {name: hook, type: webhook, url: http://hook/}
  - {name: am, type: alertmanager, url: http://am/}
default: [hook, am]
`
	run(t, yaml, func(b *bench) {
		b.shared = true
		b.work(b.outbox, "a", nil)
		b.pass(time.Minute + lookEvery/2) // it looks now and now, not at this moment
		for app := range int64(3) {
			told := time.Now()
			b.tell(fmt.Sprintf("%d step critical", app+1))
			unrouted, err := b.outbox.Unrouted(b.Context(), 10)
			if err != nil || len(unrouted) != 1 {
				b.Fatalf("%d unrouted, %v", len(unrouted), err)
			}
			route := store.Route{NoticeID: unrouted[0].ID, Channels: []string{"hook", "am"}}
			if n, err := b.outbox.Route(b.Context(), []store.Route{route}, time.Now()); n != 1 || err != nil {
				b.Fatal(n, err)
			}
			b.pass(lookEvery)
			for _, host := range []string{"hook", "am"} {
				if all := b.places.to(host); len(all) == 0 || all[len(all)-1].at.Before(told) {
					b.Errorf("%s: nothing of app %d came", host, app+1)
				}
			}
			b.pass(10 * time.Second)
		}
	})
}

// goodGoesOn has n apps told of, one after the other: saving takes no time, and each comes to
// the good channel at the next look.
func (b *bench) goodGoesOn(n int) {
	b.Helper()
	for i := range n {
		before := time.Now()
		b.tell(fmt.Sprintf("%d step critical", i+1))
		if took := time.Since(before); took != 0 {
			b.Fatalf("saving took %s", took)
		}
		b.pass(lookEvery)
		if got := len(b.places.to("good")); got != i+1 {
			b.Fatalf("%d of %d came to the good one", got, i+1)
		}
	}
}

// TestDeadChannelDelaysNoOther: nor the saving of alarms.
func TestDeadChannelDelaysNoOther(t *testing.T) {
	run(t, twoHooks, func(b *bench) {
		reg := prometheus.NewRegistry()
		b.places.set("dead", hangs)
		w, _ := b.work(b.outbox, "a", reg)
		b.goodGoesOn(30)
		b.pass(time.Minute)
		if ok, detail := w.Status(); ok || !strings.Contains(detail, "dead: no answer within 10s") || strings.Contains(detail, "good") {
			b.Errorf("status: %v, %s", ok, detail)
		}
		if sent, failed := series(reg, "good", resultSent), series(reg, "dead", resultFailed); sent != 30 || failed < 3 {
			b.Errorf("%d sent, %d failed", sent, failed)
		}
		b.places.set("dead", nil)
		b.pass(5 * time.Minute)
		if strings.Contains(b.states(), "pending") {
			b.Errorf("states: %s", b.states())
		}
		if ok, detail := w.Status(); !ok || detail != "2 channels" {
			b.Errorf("status: %v, %s", ok, detail)
		}
	})
}

// TestCrashBetweenSendAndMark: it is sent again, by the next one, with the same id.
func TestCrashBetweenSendAndMark(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		crashing := &faulty{Outbox: b.outbox}
		crashing.settle.Store(true)
		_, stop := b.work(crashing, "a", nil)
		b.tell("1 step critical")
		b.pass(time.Second)
		if got := len(b.places.to("hook")); got != 1 {
			b.Fatalf("%d requests, want 1: what cannot be marked is not sent again by the same one", got)
		}
		crashing.all.Store(true) // it does not give its lease up either
		stop()
		b.want("after the crash", b.states(), "hook 1 critical pending")

		b.work(b.outbox, "b", nil)
		b.pass(leaseTTL + idle)
		all := b.places.to("hook")
		if len(all) != 2 || all[0].header.Get("Webhook-Id") == "" || all[0].header.Get("Webhook-Id") != all[1].header.Get("Webhook-Id") {
			b.Errorf("%d requests: %v", len(all), all)
		}
		b.want("at last", b.states(), "hook 1 critical sent")
	})
}

// TestDatabaseAwayBetweenSendAndMark: the process lives on, so nothing is sent twice.
func TestDatabaseAwayBetweenSendAndMark(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		flaky := &faulty{Outbox: b.outbox}
		flaky.settle.Store(true)
		b.work(flaky, "a", nil)
		b.tell("1 step critical, 2 step critical")
		b.pass(time.Minute)
		flaky.all.Store(true)
		b.pass(time.Minute)
		flaky.settle.Store(false)
		flaky.all.Store(false)
		b.pass(time.Minute)
		b.want("sent", titles(b.places.to("hook")), "[critical] App-1 (1), [critical] App-2 (2)")
		b.want("states", b.states(), "hook 1 critical sent, hook 2 critical sent")
	})
}

// TestDatabaseAwayIsToldOnce, not every second by every channel for as long as it is away.
func TestDatabaseAwayIsToldOnce(t *testing.T) {
	run(t, twoHooks, func(b *bench) {
		core, logs := observer.New(zap.WarnLevel)
		b.log = zap.New(core)
		flaky := &faulty{Outbox: b.outbox}
		b.work(flaky, "a", nil)
		for range 2 {
			b.pass(time.Minute)
			flaky.all.Store(true)
			b.pass(time.Hour)
			flaky.all.Store(false)
		}
		b.pass(time.Minute)
		if got := logs.Len(); got != 2*3 { // the worker's and two channels', twice
			b.Errorf("%d lines", got)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = time.Second
		b.places.set("hook", always(429, "Retry-After", "600"))
		b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.pass(time.Second)
		b.tell("2 step critical") // its own time is now, but the channel's is not
		b.pass(598 * time.Second)
		if got := len(b.places.to("hook")); got != 1 {
			b.Fatalf("%d requests before the time that the channel named", got)
		}
		b.places.set("hook", nil)
		b.pass(10 * time.Second)
		b.want("states", b.states(), "hook 1 critical sent, hook 2 critical sent")
	})
}

// TestBackoffAndGivingUp: every wait is at most twice the one before, up to five minutes;
// after a day it is given up.
func TestBackoffAndGivingUp(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = idle
		reg := prometheus.NewRegistry()
		b.places.set("hook", always(503))
		_, stop := b.work(b.outbox, "a", reg)
		b.tell("1 step critical")
		b.pass(30 * time.Minute)
		b.want("after half an hour", b.states(), "hook 1 critical pending")
		all := b.places.to("hook")
		for i := 1; i < len(all); i++ {
			between, longest := all[i].at.Sub(all[i-1].at), min(maxBackoff, firstBackoff<<min(i-1, 10))
			if between < longest/2 || between > longest+idle {
				b.Errorf("wait %d is %s, want %s to %s", i, between, longest/2, longest)
			}
		}
		stop()
		b.pass(24 * time.Hour)
		reg = prometheus.NewRegistry()
		b.work(b.outbox, "b", reg)
		b.pass(time.Minute)
		b.want("after a day", b.states(), "hook 1 critical parked")
		if parked := series(reg, "hook", resultParked); parked != 1 {
			b.Errorf("%d parked in metrics", parked)
		}
		requests := len(b.places.to("hook"))
		b.pass(10 * time.Minute)
		if again := len(b.places.to("hook")); again != requests {
			b.Error("it is sent after it was given up")
		}
	})
}

// TestParkedIsSentAgain: what a person sends again after a day has a fresh start, and is given
// up again only after attempts of its own.
func TestParkedIsSentAgain(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = idle
		b.places.set("hook", always(410))
		_, stop := b.work(b.outbox, "a", nil)
		b.tell("1 step critical, 2 step critical")
		b.soon()
		stop()
		b.pass(25 * time.Hour)
		b.work(b.outbox, "b", nil)
		b.want("refused", b.states(), "hook 1 critical parked, hook 2 critical parked")
		b.places.set("hook", always(503))
		resend := func() {
			b.Helper()
			if n, err := b.outbox.Resend(b.Context(), b.ids(), time.Now()); n != 2 || err != nil {
				b.Fatalf("Resend: %d, %v", n, err)
			}
		}
		resend()
		b.pass(5 * time.Minute)
		b.want("while the channel is away", b.states(), "hook 1 critical pending, hook 2 critical pending")
		b.pass(20 * time.Minute)
		b.want("long after", b.states(), "hook 1 critical parked, hook 2 critical parked")
		b.places.set("hook", nil)
		before := len(b.places.to("hook"))
		resend()
		b.pass(maxBackoff + idle + time.Second) // the channel rests after its failures
		b.want("at last", b.states(), "hook 1 critical sent, hook 2 critical sent")
		b.want("sent", titles(b.places.to("hook")[before:]), "[late] 2 apps")
	})
}

func TestRefusedIsParkedAndVisible(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.places.set("hook", func(r *sent) (*http.Response, error) {
			if strings.Contains(r.body, "App-2") {
				return respond(410, "no such hook")
			}
			return respond(200, "")
		})
		w, _ := b.work(b.outbox, "a", nil)
		b.tell("1 step critical, 2 step critical, 3 step critical")
		b.pass(time.Minute)
		b.want("states", b.states(), "hook 1 critical sent, hook 2 critical parked, hook 3 critical sent")
		for d, err := range b.outbox.Dispatches(b.Context(), store.DispatchFilter{State: store.DispatchParked}) {
			if err != nil || d.Error != "HTTP 410 no such hook" {
				b.Errorf("%q, %v", d.Error, err)
			}
		}
		if got := len(b.places.to("hook")); got != 3 {
			b.Errorf("%d requests, want 3", got)
		}
		if ok, detail := w.Status(); !ok {
			b.Errorf("what came after was taken, but the status is %s", detail)
		}
	})
}

// TestLeaseIsTakenOver from a consumer that hangs, after its time and not before.
func TestLeaseIsTakenOver(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		_, held, err := b.outbox.Claim(b.Context(), store.Claim{Channel: "hook", Owner: "stopped", Now: time.Now(), TTL: leaseTTL, Limit: 1})
		if !held || err != nil {
			b.Fatal(held, err)
		}
		b.work(b.outbox, "b", nil)
		b.tell("1 step critical")
		b.pass(leaseTTL - time.Second)
		if got := len(b.places.to("hook")); got != 0 {
			b.Fatalf("%d requests while another has the lease", got)
		}
		b.pass(idle + 2*time.Second)
		b.want("states", b.states(), "hook 1 critical sent")
	})
}

// TestTwoConsumersSendOnce, also when one goes and comes again.
func TestTwoConsumersSendOnce(t *testing.T) {
	run(t, robot, func(b *bench) {
		b.places.set("robot", ok)
		_, stopA := b.work(b.outbox, "a", nil)
		b.work(b.outbox, "b", nil)
		for i := range 10 {
			b.tellMany(1+i, 1)
			b.pass(10 * time.Second)
			if i == 5 {
				stopA()
			}
		}
		b.pass(time.Minute)
		seen := map[string]int{}
		for _, r := range b.places.to("robot") {
			seen[r.body]++
		}
		if len(seen) != 10 {
			b.Errorf("%d messages differ, want 10", len(seen))
		}
		for body, n := range seen {
			if n != 1 {
				b.Errorf("%d times: %s", n, body)
			}
		}
	})
}

// TestOldNoticesComeInOneDigest: after an outage, a channel gets one message about what is
// no news any more, and what is news alone and first.
func TestOldNoticesComeInOneDigest(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.tellMany(1, 30)
		b.tell("31 digest exhausted")
		b.pass(newsAge + time.Second)
		b.tell("40 step critical")
		b.work(b.outbox, "a", nil)
		b.pass(time.Second)
		b.want("sent", titles(b.places.to("hook")), "[critical] App-40 (40), [late] 31 apps")
	})
}

func TestWhatIsADayOldIsNotTold(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.tell("1 step critical")
		b.pass(tooOld + time.Second)
		b.tell("2 step critical")
		b.work(b.outbox, "a", nil)
		b.pass(time.Second)
		b.want("sent", titles(b.places.to("hook")), "[critical] App-2 (2)")
	})
}

// TestOldNoticeHasTenAttempts: also when its time was over before most of them.
func TestOldNoticeHasTenAttempts(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = idle
		b.places.set("hook", always(503))
		b.tell("1 step critical")
		_, stop := b.work(b.outbox, "a", nil)
		b.pass(2 * time.Second)
		stop()
		b.pass(tooOld)
		b.work(b.outbox, "b", nil)
		b.pass(time.Hour)
		b.want("states", b.states(), "hook 1 critical parked")
		if n := len(b.places.to("hook")); n != minAttempts {
			b.Errorf("given up after %d attempts, want %d", n, minAttempts)
		}
	})
}

// TestFileChanges: channels come and go without a restart.
func TestFileChanges(t *testing.T) {
	run(t, twoHooks, func(b *bench) {
		b.look = idle
		reg := prometheus.NewRegistry()
		b.places.set("dead", always(503))
		w, stop := b.work(b.outbox, "a", reg)
		b.tell("1 step critical")
		b.pass(time.Minute)
		b.write(oneHook)
		b.tell("2 step critical")
		b.soon()
		b.want("states", b.states(), "good 1 critical sent, dead 1 critical pending, hook 2 critical sent")
		if ok, detail := w.Status(); !ok || detail != "1 channels" {
			b.Errorf("status: %v, %s", ok, detail)
		}
		requests := len(b.places.to("dead"))
		stop()
		b.pass(abandonedAfter + maxBackoff)
		b.work(b.outbox, "b", nil)
		b.soon()
		b.want("an hour later", b.states(), "good 1 critical sent, dead 1 critical parked, hook 2 critical sent")
		if got := len(b.places.to("dead")); got != requests {
			b.Error("a channel that is gone is sent to")
		}
		b.write(twoHooks)
		b.places.set("dead", nil)
		b.tell("3 step critical")
		b.soon()
		b.want("back again", titles(b.places.to("dead")[requests:]), "[critical] App-3 (3)")
	})
}

// TestMessageUnderWayIsFinished when the consumer stops, and marked.
func TestMessageUnderWayIsFinished(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.places.set("hook", func(*sent) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return respond(200, "")
		})
		_, stop := b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.pass(time.Second)
		stop()
		b.want("states", b.states(), "hook 1 critical sent")
		if _, held, err := b.outbox.Claim(b.Context(), store.Claim{Channel: "hook", Owner: "b", Now: time.Now(), TTL: leaseTTL}); !held || err != nil {
			b.Errorf("the lease was not given up: %v, %v", held, err)
		}
	})
}

// TestStopDoesNotWaitForTheDead longer than a message's grace.
func TestStopDoesNotWaitForTheDead(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.places.set("hook", hangs)
		_, stop := b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.pass(time.Second)
		before := time.Now()
		stop()
		if took := time.Since(before); took > stopGrace {
			b.Errorf("the stop took %s", took)
		}
	})
}

// TestOrderOfOneApp: a step that failed is not overtaken by the app's next.
func TestOrderOfOneApp(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		fails := 1
		b.places.set("hook", func(r *sent) (*http.Response, error) {
			if strings.Contains(r.body, "App-1") && fails > 0 {
				fails--
				return respond(500, "")
			}
			return respond(200, "")
		})
		b.work(b.outbox, "a", nil)
		b.tell("1 step watch, 2 step watch, 1 step critical")
		b.pass(time.Minute)
		var got []string
		for _, r := range b.places.to("hook")[1:] {
			if strings.Contains(r.body, "App-1") {
				_, rest, _ := strings.Cut(r.body, `"step":"`)
				step, _, _ := strings.Cut(rest, `"`)
				got = append(got, step)
			}
		}
		b.want("order", strings.Join(got, ", "), "watch, critical")
	})
}

// TestOneThatIsNeverTaken does not keep others back.
func TestOneThatIsNeverTaken(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.places.set("hook", func(r *sent) (*http.Response, error) {
			if strings.Contains(r.body, "App-1 ") {
				return respond(500, "")
			}
			return respond(200, "")
		})
		b.work(b.outbox, "a", nil)
		b.tell("1 step critical, 2 step critical, 3 step critical")
		b.pass(time.Minute)
		b.want("states", b.states(), "hook 1 critical pending, hook 2 critical sent, hook 3 critical sent")
	})
}

func TestOldestPendingIsTold(t *testing.T) {
	run(t, oneHook, func(b *bench) {
		b.look = time.Second
		reg := prometheus.NewRegistry()
		oldest := func() float64 {
			families, err := reg.Gather()
			if err != nil {
				b.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "tidegate_consumer_notices_oldest_pending_seconds" {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		b.places.set("hook", always(503))
		b.work(b.outbox, "a", reg)
		b.pass(time.Minute)
		if got := oldest(); got != 0 {
			b.Errorf("with nothing: %g", got)
		}
		b.tell("1 step critical")
		b.pass(100 * time.Second)
		if got := oldest(); got != 100 {
			b.Errorf("after 100 seconds: %g", got)
		}
		b.places.set("hook", nil)
		b.pass(10 * time.Minute)
		if got := oldest(); got != 0 {
			b.Errorf("after all was taken: %g", got)
		}
	})
}

func TestSteps(t *testing.T) {
	for kind, want := range map[quota.Kind]string{quota.KindStep: "[critical]", quota.KindResolve: "[ok watch warning critical]"} {
		if got := fmt.Sprint(steps(&quota.Notice{Kind: kind, Step: schema.SeverityCritical})); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}
