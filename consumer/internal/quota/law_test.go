package quota

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// drawAlarms draws alarms of one app over at most five days, in order of their events,
// no two alike. Calm: use only rises within a day and the cap stays.
func drawAlarms(t *rapid.T, w *world, calm bool) []Alarm {
	at := noon
	used, limit := int64(7000), int64(10000)
	var all []Alarm
	for range rapid.IntRange(1, 40).Draw(t, "alarms") {
		next := at.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 1000, 60_000, 600_000, 7_200_000}).Draw(t, "gap")) * time.Millisecond)
		if calm {
			next = next.Add(time.Millisecond) // of one millisecond, the ids decide the order
		}
		if next.Sub(noon) > 5*24*time.Hour {
			break
		}
		if localDate(next, w.app.Zone) != localDate(at, w.app.Zone) {
			used = 7000
		}
		at = next
		used += rapid.Int64Range(0, 800).Draw(t, "created")
		if !calm {
			used = max(0, used-rapid.SampledFrom([]int64{0, 0, 0, 500, 3000}).Draw(t, "dissolved"))
			limit += rapid.SampledFrom([]int64{0, 0, 0, 0, 5000, -1000}).Draw(t, "cap")
			limit = max(1, limit)
		}
		w.offset++
		a := w.raw(schema.QuotaAlarm{QuotaUsed: used, Quota: limit, EventTime: at}, at)
		if !slices.ContainsFunc(all, func(b Alarm) bool { return a.ID == b.ID }) {
			all = append(all, a)
		}
	}
	return all
}

// drawBatches draws how alarms are cut into batches.
func drawBatches(t *rapid.T, alarms []Alarm) [][]Alarm {
	var batches [][]Alarm
	for len(alarms) > 0 {
		n := rapid.IntRange(1, len(alarms)).Draw(t, "batch")
		batches, alarms = append(batches, alarms[:n]), alarms[n:]
	}
	return batches
}

// follow handles batches at the time of their last receipt, or later, and returns the
// notices that are new by their key, as the database takes them.
func follow(t *rapid.T, w *world, batches [][]Alarm) []Notice {
	var told []Notice
	seen := map[string]bool{}
	now := noon
	for _, batch := range batches {
		for i := range batch {
			if at := batch[i].Callback.ReceivedAt; at.After(now) {
				now = at
			}
		}
		now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 20 * 60}).Draw(t, "delay")) * time.Second)
		notices, _ := w.handle(now, batch...)
		for _, n := range notices {
			key := fmt.Sprint(n.Period, n.Kind, n.Step)
			if !seen[key] {
				seen[key] = true
				told = append(told, n)
			}
		}
	}
	return told
}

// highest returns the highest step that notices tell of.
func highest(told []Notice) (step level) {
	for _, n := range told {
		if n.Kind == KindStep || n.Kind == KindDigest {
			step = max(step, levelOf(n.Step))
		}
	}
	return step
}

// TestAnyOrder: whatever the order, the repetition and the batches, a person hears of the
// highest step that was reached.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "Asia/Shanghai")
		alarms := drawAlarms(rt, w, false)
		want := levelOK
		for _, a := range alarms {
			want = max(want, reached(a.Quota.QuotaUsed, a.Quota.Quota, steps))
		}
		repeats := rapid.SliceOfN(rapid.SampledFrom(alarms), 0, 10).Draw(rt, "repeats")
		shuffled := rapid.Permutation(append(slices.Clone(alarms), repeats...)).Draw(rt, "order")
		told := follow(rt, w, drawBatches(rt, shuffled))
		if got := highest(told); got != want {
			rt.Fatalf("told of %s, reached %s: %s", got.severity(), want.severity(), shown(told))
		}
	})
}

// TestNeverMore: of days on which use only rises, no order and no batches tell more than
// each step once a day, and a digest of it.
func TestNeverMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "Asia/Shanghai")
		alarms := drawAlarms(rt, w, true)
		reachedOn := map[string]bool{}
		for _, a := range alarms {
			step := reached(a.Quota.QuotaUsed, a.Quota.Quota, steps)
			reachedOn[fmt.Sprint(localDate(a.Quota.EventTime, w.app.Zone), step.severity())] = true
		}
		shuffled := rapid.Permutation(alarms).Draw(rt, "order")
		told := follow(rt, w, drawBatches(rt, shuffled))
		for _, n := range told {
			if n.Kind != KindStep && n.Kind != KindDigest {
				continue
			}
			if !reachedOn[fmt.Sprint(n.Period, n.Step)] {
				rt.Fatalf("%s was not reached on %s: %s", n.Step, n.Period, shown(told))
			}
		}
	})
}

// TestAtMostEight: whatever an app does, it has at most eight step notices, and as many
// forecasts, in any 24 hours.
func TestAtMostEight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "Asia/Shanghai")
		at := noon
		toldAt := map[Kind][]time.Time{}
		for range rapid.IntRange(1, 150).Draw(rt, "alarms") {
			at = at.Add(time.Duration(rapid.Int64Range(1, 3600).Draw(rt, "gap")) * time.Second)
			used := rapid.Int64Range(7000, 10500).Draw(rt, "used")
			told, _ := w.handle(at, w.raw(schema.QuotaAlarm{QuotaUsed: used, Quota: 10000, EventTime: at}, at))
			for _, n := range told {
				toldAt[n.Kind] = append(toldAt[n.Kind], at)
			}
		}
		for _, kind := range []Kind{KindStep, KindForecast} {
			for i := maxTold; i < len(toldAt[kind]); i++ {
				if span := toldAt[kind][i].Sub(toldAt[kind][i-maxTold]); span < tellWindow {
					rt.Fatalf("nine %s notices in %v", kind, span)
				}
			}
		}
	})
}

// TestStateMovesForward: by (event time, alarm id), and from period to period.
func TestStateMovesForward(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]string{"Asia/Shanghai", "America/New_York", "Africa/Cairo"}).Draw(rt, "zone"))
		zones := []*time.Location{w.app.Zone, load(t, "Pacific/Kiritimati"), load(t, "Pacific/Pago_Pago")}
		shuffled := rapid.Permutation(drawAlarms(rt, w, false)).Draw(rt, "order")
		var p Period
		for _, a := range shuffled {
			w.app.Zone = rapid.SampledFrom(zones).Draw(rt, "zone of the apps file")
			q, _, _ := p.Apply(a, w.app)
			before, after := position{p.LastAt, p.LastID}, position{q.LastAt, q.LastID}
			if p.Date != "" && after.compare(before) < 0 {
				rt.Fatalf("from %+v back to %+v", before, after)
			}
			if q.Date < p.Date || q.Date == p.Date && q.Number < p.Number {
				rt.Fatalf("from period %s back to %s", p.Key(), q.Key())
			}
			if q.Key() == p.Key() && q.OpenedAt != p.OpenedAt {
				rt.Fatalf("period %s was opened at %d and at %d", p.Key(), p.OpenedAt, q.OpenedAt)
			}
			p = q
		}
	})
}

// TestAgain: the same batch again tells nothing and changes nothing.
func TestAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "Asia/Shanghai")
		shuffled := rapid.Permutation(drawAlarms(rt, w, false)).Draw(rt, "order")
		for _, batch := range drawBatches(rt, shuffled) {
			now := batch[len(batch)-1].Callback.ReceivedAt
			w.handle(now, batch...)
			before := pretty(t, w.period)
			if told, _ := w.handle(now, batch...); len(told) > 0 {
				rt.Fatalf("told again: %s", shown(told))
			}
			if after := pretty(t, w.period); after != before {
				rt.Fatalf("was %s\nis %s", before, after)
			}
		}
	})
}

// TestPeriodIsAValue: what is applied to one copy of a state does not show in another,
// and the state survives its JSON.
func TestPeriodIsAValue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, "Asia/Shanghai")
		var p Period
		for _, a := range drawAlarms(rt, w, false) {
			before := pretty(t, p)
			other, _, offered := p.Apply(a, w.app)
			Reduce(map[int64]Period{w.app.ID: other}, offered, a.Callback.ReceivedAt)
			if after := pretty(t, p); after != before {
				rt.Fatalf("was %s\nis %s", before, after)
			}
			next, _, offered := p.Apply(a, w.app)
			periods := map[int64]Period{w.app.ID: next}
			Reduce(periods, offered, a.Callback.ReceivedAt)
			p = periods[w.app.ID]
			if read := again(t, p); pretty(t, read) != pretty(t, p) {
				rt.Fatalf("%s came back as %s", pretty(t, p), pretty(t, read))
			}
		}
	})
}

// TestNumbersAreNumbers: whatever the vendor sends that decoding lets through, every
// number of the event is one, and every time.
func TestNumbersAreNumbers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]string{"Asia/Shanghai", "America/Havana", "Pacific/Kiritimati"}).Draw(rt, "zone"))
		for range rapid.IntRange(1, 30).Draw(rt, "alarms") {
			q := schema.QuotaAlarm{QuotaUsed: numbers(0).Draw(rt, "used"), Quota: numbers(1).Draw(rt, "quota")}
			receipt := noon.Add(time.Duration(rapid.Int64Range(0, 7200).Draw(rt, "receipt")) * time.Second)
			switch rapid.IntRange(0, 3).Draw(rt, "time") {
			case 0:
			case 1:
				q.EventTime = millis(rapid.Int64Range(schema.MinEventMillis, schema.MaxEventMillis).Draw(rt, "any time"))
			default:
				q.EventTime = receipt.Add(-time.Duration(rapid.Int64Range(-400, 1800).Draw(rt, "age")) * time.Second)
			}
			w.offset++
			_, events := w.handle(receipt, w.raw(q, receipt))
			checkEvent(rt, &events[0], w)
		}
	})
}

// checkEvent checks what holds of every event.
func checkEvent(t *rapid.T, e *schema.EnrichedAlarm, w *world) {
	if _, err := json.Marshal(e); err != nil {
		t.Fatalf("%+v: %v", e, err)
	}
	if e.UsedPercent < 0 || math.IsInf(e.UsedPercent, 0) || e.Remaining < 0 {
		t.Fatalf("%v %% used, %d remaining", e.UsedPercent, e.Remaining)
	}
	if (e.ForecastBasis == schema.ForecastTooFew) != (e.RatePerHour == nil) || (e.ForecastBasis == schema.ForecastTrend) != (e.ExhaustionAt != nil) {
		t.Fatalf("forecast %s with rate %v, exhaustion %v", e.ForecastBasis, e.RatePerHour, e.ExhaustionAt)
	}
	if e.RatePerHour != nil && (math.IsInf(*e.RatePerHour, 0) || *e.RatePerHour == 0 && math.Signbit(*e.RatePerHour)) {
		t.Fatalf("%v an hour", *e.RatePerHour)
	}
	at, ok := schema.ParseTime([]byte(e.EventTime))
	if !ok || e.Period != localDate(at, w.app.Zone) {
		t.Fatalf("event at %s in period %s", e.EventTime, e.Period)
	}
	if e.ExhaustionAt != nil {
		full, ok := schema.ParseTime([]byte(*e.ExhaustionAt))
		if !ok || full.Before(at) || !full.Before(dayEnd(at, w.app.Zone)) {
			t.Fatalf("event at %s, full at %s", e.EventTime, *e.ExhaustionAt)
		}
	}
	if !strings.HasSuffix(e.ReceivedAt, "Z") {
		t.Fatalf("received at %s", e.ReceivedAt)
	}
}
