package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

const manager = `
channels:
  - {name: am, type: alertmanager, url: http://am}
default: [am]
`

// fakeManager keeps alerts as Alertmanager does: by their labels, until their endsAt.
type fakeManager struct {
	bad string // an app whose alert is malformed; set before anything is posted

	mu     sync.Mutex
	alerts map[string]managed // guarded by mu
}

// managed is an alert as Alertmanager knows it.
type managed struct{ starts, ends time.Time }

// answer takes a post.
func (m *fakeManager) answer(r *sent) (*http.Response, error) {
	var posted []struct {
		Labels   map[string]string `json:"labels"`
		StartsAt time.Time         `json:"startsAt"`
		EndsAt   time.Time         `json:"endsAt"`
	}
	if err := json.Unmarshal([]byte(r.body), &posted); err != nil {
		return respond(400, err.Error())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	status := 200
	for _, a := range posted {
		l := a.Labels
		if l["app"] == m.bad || a.EndsAt.Before(a.StartsAt) { // "start time must be before end time"
			status = 400
			continue
		}
		name := fmt.Sprintf("%s %s %s", strings.TrimPrefix(l["alertname"], "TidegateGroupQuota"), l["sdk_app_id"], l["step"])
		m.alerts[strings.TrimSpace(name)] = managed{a.StartsAt, a.EndsAt}
	}
	return respond(status, "")
}

// stands returns what stands now.
func (m *fakeManager) stands() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name, a := range m.alerts {
		if a.ends.After(time.Now()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// known returns an alert, standing or not.
func (m *fakeManager) known(name string) managed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alerts[name]
}

// runManager runs a test with an Alertmanager and a worker, at noon in the apps' zone.
func runManager(t *testing.T, test func(b *bench, m *fakeManager)) {
	run(t, manager, func(b *bench) {
		m := &fakeManager{alerts: map[string]managed{}}
		b.places.set("am", m.answer)
		b.pass(4 * time.Hour) // the bubble's clock begins at midnight, UTC
		b.look = idle
		test(b, m)
	})
}

func TestAlertsFireStandAndResolve(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.work(b.outbox, "a", nil)
		b.tell("1 step watch, 2 step critical")
		fired := time.Now().Truncate(time.Millisecond)
		b.soon()
		b.want("fired", m.stands(), "1 watch, 2 critical")
		if a := m.known("1 watch"); !a.starts.Equal(fired) || a.ends.Sub(fired)-channel.KeepAliveFor > b.look || a.ends.Sub(fired) < channel.KeepAliveFor {
			b.Errorf("from %s to %s", a.starts, a.ends)
		}
		for range 20 { // it must not end for a moment
			b.pass(time.Minute)
			b.want("kept alive", m.stands(), "1 watch, 2 critical")
		}
		b.tell("1 step critical, 2 forecast critical")
		b.soon()
		b.want("a higher step, a forecast", m.stands(), "1 critical, 1 watch, 2 critical, Forecast 2 critical")
		b.tell("1 resolve critical")
		b.soon()
		b.want("resolved", m.stands(), "2 critical, Forecast 2 critical")
		b.pass(10 * time.Minute)
		b.want("and not fired again", m.stands(), "2 critical, Forecast 2 critical")
		if a := m.known("1 watch"); !a.starts.Equal(fired) {
			b.Errorf("the end began at %s, the alert at %s: another alert", a.starts, fired)
		}
	})
}

// TestAlertsEndWithThePeriod, whether or not another alarm ever comes.
func TestAlertsEndWithThePeriod(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.pass(11*time.Hour + 40*time.Minute) // 20 minutes before the apps' midnight
		b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.pass(19*time.Minute + 59*time.Second)
		b.want("before", m.stands(), "1 critical")
		b.pass(time.Second)
		b.want("at midnight", m.stands(), "")
		b.pass(10 * time.Minute)
		b.want("afterwards", m.stands(), "")
		posts := len(b.places.to("am"))
		b.pass(10 * time.Minute)
		if again := len(b.places.to("am")); again != posts {
			b.Errorf("%d more posts of nothing", again-posts)
		}
	})
}

// TestAlertsOutliveAConsumer: the next one keeps up what the one before had fired.
func TestAlertsOutliveAConsumer(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		_, stop := b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.soon()
		stop()
		b.pass(4 * time.Minute)
		b.work(b.outbox, "b", nil)
		for range 10 {
			b.pass(time.Minute)
			b.want("kept alive", m.stands(), "1 critical")
		}
	})
}

func TestAlertmanagerAway(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.soon()
		b.places.set("am", always(503))
		b.tell("2 step critical, 3 digest exhausted")
		b.pass(20 * time.Minute)
		b.want("away", m.stands(), "")
		b.places.set("am", m.answer)
		b.pass(maxBackoff + idle)
		b.want("back", m.stands(), "1 critical, 2 critical, Late 3 exhausted")
		b.pass(channel.LateFor)
		b.want("what was late ends by itself", m.stands(), "1 critical, 2 critical")
	})
}

// TestAlertsOfAPeriodThatIsOver are told as late: nobody has seen them.
func TestAlertsOfAPeriodThatIsOver(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.tell("1 step critical, 2 step critical, 2 resolve critical")
		b.work(b.outbox, "a", nil)
		b.soon()
		b.want("one ended before it was sent", m.stands(), "1 critical, Late 2 critical")
	})
	runManager(t, func(b *bench, m *fakeManager) {
		b.tell("1 step critical")
		b.pass(12 * time.Hour) // midnight
		b.work(b.outbox, "a", nil)
		b.soon()
		b.want("the day is over", m.stands(), "Late 1 critical")
	})
}

// TestAlertOfAClockAhead: the clock that the alarm's time is of need not be ours, and an alert
// that begins after its end is malformed to Alertmanager: nobody would be told.
func TestAlertOfAClockAhead(t *testing.T) {
	run(t, manager, func(b *bench) {
		m := &fakeManager{alerts: map[string]managed{}}
		b.places.set("am", m.answer)
		ahead := b.notice(1, quota.KindStep, schema.SeverityCritical)
		ahead.Alarm.EventTime = schema.FormatTime(time.Now().Add(channel.KeepAliveFor + time.Minute))
		tx, err := b.store.Begin(b.Context(), "t", 0, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := tx.Save(b.Context(), store.Changes{Notices: []quota.Notice{ahead}, Progress: store.Progress{Topic: "t", Newest: time.Now()}}); err != nil {
			b.Fatal(err)
		}
		b.work(b.outbox, "a", nil)
		b.soon()
		b.want("stands", m.stands(), "1 critical")
		b.want("states", b.states(), "am 1 critical sent")
	})
}

// TestKeepAliveThatIsRefused is told: what stood ends by itself within minutes, as if it were over.
func TestKeepAliveThatIsRefused(t *testing.T) {
	run(t, manager, func(b *bench) {
		core, logs := observer.New(zap.WarnLevel)
		b.log = zap.New(core)
		w, _ := b.work(b.outbox, "a", nil)
		b.tell("1 step critical")
		b.soon()
		b.places.set("am", always(404))
		b.pass(channel.KeepAliveEvery + time.Second)
		if logs.FilterMessageSnippet("kept alive").Len() == 0 {
			b.Errorf("nothing is said: %v", logs.All())
		}
		if ok, detail := w.Status(); ok || detail != "am: HTTP 404" {
			b.Errorf("status: %v, %s", ok, detail)
		}
	})
}

// crowded is an outbox in which each alert that stands does so for as many apps; 0: as it is.
type crowded struct {
	store.Outbox
	apps int
}

func (c crowded) Kept(ctx context.Context, channel string, now time.Time) (all []store.Dispatch, err error) {
	kept, err := c.Outbox.Kept(ctx, channel, now)
	if c.apps == 0 {
		return kept, err
	}
	for _, d := range kept {
		for app := range int64(c.apps) {
			d.AppID = app + 1
			all = append(all, d)
		}
	}
	return all, err
}

// TestSlowAlertmanagerCostsNoLease: however many requests one step takes, of however many
// seconds each, no other consumer begins beside it.
func TestSlowAlertmanagerCostsNoLease(t *testing.T) {
	for name, row := range map[string]struct {
		fired, kept int // apps
		bad         string
		want        string // of so many apps something stands
	}{
		"halves of a malformed batch": {20, 0, "App-7", "19"},
		"alerts that are kept alive":  {1, 4 * claimLimit, "", "2000"},
	} {
		t.Run(name, func(t *testing.T) {
			runManager(t, func(b *bench, m *fakeManager) {
				m.bad = row.bad
				var posting atomic.Int32
				b.places.set("am", func(r *sent) (*http.Response, error) {
					if posting.Add(1) > 1 {
						b.Error("two consumers post at once")
					}
					time.Sleep(9900 * time.Millisecond) // a request may take ten seconds
					posting.Add(-1)
					return m.answer(r)
				})
				b.tellMany(1, row.fired)
				b.work(crowded{b.outbox, row.kept}, "a", nil)
				b.work(crowded{b.outbox, row.kept}, "b", nil)
				b.pass(3 * time.Minute)
				b.want("stands", fmt.Sprint(strings.Count(m.stands(), "warning")), row.want)
			})
		})
	}
}

// TestWhatStandsKeepsNothingElseWaiting, also where it takes longer to repeat than the time in
// which it is repeated.
func TestWhatStandsKeepsNothingElseWaiting(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.places.set("am", func(r *sent) (*http.Response, error) {
			time.Sleep(9 * time.Second)
			return m.answer(r)
		})
		b.tell("1 step warning")
		b.work(crowded{b.outbox, 8 * claimLimit}, "a", nil)
		b.pass(channel.KeepAliveEvery + 20*time.Second) // it is being repeated
		b.tell("2 step critical")
		b.pass(4 * time.Minute)
		if !strings.Contains(m.stands(), "2 critical") {
			b.Error("the second was not fired")
		}
	})
}

// TestHalvesLeaveTheChannelAlone where it asks for that between them.
func TestHalvesLeaveTheChannelAlone(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.places.set("am", func(r *sent) (*http.Response, error) {
			if strings.Count(r.body, "startsAt") > 1 {
				return respond(400, "")
			}
			return respond(429, "", "Retry-After", "40")
		})
		b.tellMany(1, 2)
		b.work(b.outbox, "a", nil)
		b.pass(time.Minute)
		posts := b.places.to("am")
		if len(posts) < 3 {
			b.Fatalf("%d posts", len(posts))
		}
		if gap := posts[2].at.Sub(posts[1].at); gap < 40*time.Second {
			b.Errorf("the second half came %s after the first was answered 429", gap)
		}
	})
}

// TestOneMalformedAlert costs itself only.
func TestOneMalformedAlert(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		m.bad = "App-7"
		b.tellMany(1, 20)
		b.work(b.outbox, "a", nil)
		b.soon()
		if got := strings.Count(m.stands(), "warning"); got != 19 {
			b.Errorf("%d stand: %s", got, m.stands())
		}
		states := b.states()
		if strings.Count(states, "sent") != 19 || !strings.Contains(states, "am 7 warning parked") {
			b.Errorf("states: %s", states)
		}
		b.pass(2 * time.Minute)
		if got := strings.Count(m.stands(), "warning"); got != 19 {
			b.Errorf("%d are kept alive: %s", got, m.stands())
		}
	})
}

// TestThousandAppsAtOnce are a few posts, and no digest: grouping is Alertmanager's.
func TestThousandAppsAtOnce(t *testing.T) {
	runManager(t, func(b *bench, m *fakeManager) {
		b.tellMany(1, 1000)
		b.work(b.outbox, "a", nil)
		b.pass(5 * idle) // two hundred are routed at a time
		if got := strings.Count(m.stands(), "warning"); got != 1000 {
			b.Errorf("%d stand", got)
		}
		if posts := len(b.places.to("am")); posts > 8 {
			b.Errorf("%d posts", posts)
		}
	})
}
