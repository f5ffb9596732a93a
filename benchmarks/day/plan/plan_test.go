package plan_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/plan"
	"github.com/tidegate/tidegate/benchmarks/day/reference"
)

func day(t *testing.T, seed uint64, apps, callbacks, waves int) *plan.Plan {
	t.Helper()
	p, err := plan.New(plan.Settings{Seed: seed, Apps: apps, Callbacks: callbacks, Waves: waves})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// received returns a wave's callbacks as raw records, received a second after the other's
// hundredth, with offsets from next on.
func received(w *plan.Wave, next *int64) []reference.Record {
	records := make([]reference.Record, len(w.Calls))
	for i := range w.Calls {
		c := &w.Calls[i]
		*next++
		key := strconv.FormatInt(c.App.ID, 10)
		records[i] = reference.Record{Topic: "raw", Offset: *next, Key: key, Value: c.Body, Headers: map[string]string{
			"ce_id": fmt.Sprintf("%016x-%d", 7, *next), "ce_type": "com.tencent.im.Group.CallbackOnDailyGroupQuotaAlarm",
			"ce_time":    w.At.Add(time.Duration(10*(i+1)) * time.Millisecond).Format("2006-01-02T15:04:05.000Z"),
			"ce_subject": key, "ce_authenticated": "sign",
		}}
	}
	return records
}

// play has the reference handle the day in batches whose ends are drawn.
func play(t *testing.T, p *plan.Plan, batch func(left int) int) *reference.Day {
	t.Helper()
	d := reference.New(p.Reference())
	next := int64(0)
	for i := range p.Waves {
		records := received(&p.Waves[i], &next)
		for len(records) > 0 {
			n := batch(len(records))
			if err := d.Batch(records[:n], p.Waves[i].At.Add(5*time.Minute)); err != nil {
				t.Fatal(err)
			}
			records = records[n:]
		}
	}
	return d
}

// Promise: what the day tells people is one set of notices, wherever batches end.
func TestNoticesDoNotDependOnBatches(t *testing.T) {
	for seed := range uint64(6) {
		p := day(t, seed, 40, 4000, []int{12, 24, 48}[seed%3])
		one := play(t, p, func(int) int { return 1 }).Notices
		random := rand.New(rand.NewPCG(seed, 2))
		for name, batch := range map[string]func(int) int{
			"a whole wave": func(left int) int { return left },
			"some":         func(left int) int { return 1 + random.IntN(left) },
			"a few":        func(left int) int { return min(left, 1+random.IntN(30)) },
		} {
			other := play(t, p, batch).Notices
			for n := range one {
				if other[n] == nil {
					t.Errorf("seed %d: %+v is told where records come one by one, and not with %s in a batch", seed, n, name)
				}
			}
			for n := range other {
				if one[n] == nil {
					t.Errorf("seed %d: %+v is told with %s in a batch, and not where records come one by one", seed, n, name)
				}
			}
			for n, made := range one {
				if o := other[n]; o != nil && n.Kind != "forecast" && o.AlarmID != made.AlarmID {
					t.Errorf("seed %d: %+v is of alarm %s or %s", seed, n, made.AlarmID, o.AlarmID)
				}
			}
		}
	}
}

// Promise: the day has what it is made for: the shares, every kind of notice, more periods than
// midnights, and dead letters of every reason that a body can have.
func TestDayHasEverything(t *testing.T) {
	p := day(t, 1, 150, 30_000, 48)
	d := play(t, p, func(int) int { return 1 })
	total := 0
	for i := range p.Waves {
		total += len(p.Waves[i].Calls)
	}
	if total != 30_000 {
		t.Errorf("%d callbacks, want 30000", total)
	}
	for kind, want := range map[plan.Kind][2]float64{plan.KindRepeated: {0.17, 0.24}, plan.KindLate: {0.04, 0.06}, plan.KindMalformed: {0.008, 0.012}} {
		if share := float64(p.Count(kind)) / float64(total); share < want[0] || share > want[1] {
			t.Errorf("%.2f %% are %s", 100*share, kind)
		}
	}
	kinds, periods, steps := map[string]int{}, map[string]int{}, map[string]int{}
	for n := range d.Notices {
		kinds[n.Kind]++
		periods[n.Period]++
		if n.Kind == "step" {
			steps[n.Step]++
		}
	}
	reasons := map[string]int{}
	for _, reason := range d.Dead {
		reasons[reason]++
	}
	t.Log(kinds, steps, reasons, len(periods), "periods by name")
	for _, kind := range []string{"step", "forecast", "digest", "resolve"} {
		if kinds[kind] < 10 {
			t.Errorf("%d notices of kind %s", kinds[kind], kind)
		}
	}
	if want := []string{"bad_field", "bad_json", "bad_utf8", "command_mismatch", "duplicate_key", "too_large"}; !slices.Equal(slices.Sorted(maps.Keys(reasons)), want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	bases := map[string]int{}
	for _, a := range d.Alarms {
		var event struct {
			Basis   string  `json:"forecast_basis"`
			Percent float64 `json:"used_percent"`
		}
		if err := json.Unmarshal(a.Event, &event); err != nil {
			t.Fatal(err)
		}
		bases[event.Basis]++
		if event.Percent <= 70 {
			t.Fatalf("an alarm at %v %%: the vendor does not call", event.Percent)
		}
	}
	t.Log(bases)
	if len(bases) != 4 {
		t.Errorf("forecast bases %v", bases)
	}
}

// Promise: what is malformed is so for the reason that the plan says, and all else is good.
func TestReferenceRefusesWhatThePlanBroke(t *testing.T) {
	p := day(t, 3, 100, 20_000, 24)
	next := int64(0)
	for i := range p.Waves {
		for j, r := range received(&p.Waves[i], &next) {
			if got, want := reference.Judge(&r), p.Waves[i].Calls[j].Reason; got != want {
				t.Fatalf("%q is refused as %q, want %q", r.Value, got, want)
			}
		}
	}
}

// Promise: the same settings give the same day.
func TestSameSeedSameDay(t *testing.T) {
	sum := func(seed uint64) string {
		h := sha256.New()
		p := day(t, seed, 30, 3000, 24)
		fmt.Fprint(h, p.AppsFile())
		for i := range p.Waves {
			for j := range p.Waves[i].Calls {
				c := &p.Waves[i].Calls[j]
				fmt.Fprintln(h, c.App.ID, string(c.Body), c.ClientIP, c.Platform)
			}
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	first, again, other := sum(5), sum(5), sum(6)
	if first != again || first == other {
		t.Error("a day does not follow from its seed alone")
	}
}
