package forecast

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var midnight = time.Date(2026, time.November, 23, 0, 0, 0, 0, time.UTC)

// at returns the alarm of some minutes after midnight.
func at(minutes float64, used int64) Alarm {
	return Alarm{At: midnight.Add(time.Duration(minutes * float64(time.Minute))), Used: used, Quota: 10_000}
}

// line returns alarms every so many minutes along a line of use.
func line(from, to, every float64, used int64, perHour float64) (alarms []Alarm) {
	for m := from; m <= to; m += every {
		alarms = append(alarms, at(m, used+int64(math.Round((m-from)*perHour/60))))
	}
	return alarms
}

func TestPlayOfOneDay(t *testing.T) {
	// 600 an hour from 11:40, after 7,000 in the hours before: full at 16:40.
	runs := Play(line(700, 1000, 10, 7000, 600), time.UTC)
	if len(runs) != 1 {
		t.Fatalf("%d periods: %+v", len(runs), runs)
	}
	r := runs[0]
	if r.Period != "2026-11-23" || r.Alarms != 30 || !r.Exhausted.Equal(midnight.Add(1000*time.Minute)) {
		t.Errorf("period %s, %d alarms, exhausted at %v", r.Period, r.Alarms, r.Exhausted)
	}
	if len(r.Forecasts) != 28 { // the first two are too few
		t.Errorf("%d forecasts of 30 alarms, want all but the first two", len(r.Forecasts))
	}
	for _, f := range r.Forecasts {
		if d := f.Quota.Sub(r.Exhausted).Abs(); d > time.Second {
			t.Errorf("at %v quota is %v off a straight line", f.At, d)
		}
	}
	first := r.Forecasts[0] // at 12:00: 7,200 in 720 minutes, 2,800 to go
	if want := midnight.Add(1000 * time.Minute); !first.Naive.Equal(want) {
		t.Errorf("naive: %v, want %v", first.Naive, want)
	}
	if want := midnight.Add(950 * time.Minute); !r.ToldAt.Equal(want) { // within the hour
		t.Errorf("told at %v, want %v", r.ToldAt, want)
	}
}

func TestPlayOfSeveralPeriods(t *testing.T) {
	alarms := slices.Concat(
		line(600, 660, 10, 7000, 600),       // not exhausted
		line(1440, 1500, 10, 7100, 600),     // the next day
		line(1510, 1570, 10, 5900, 12_000),  // a fall: a new day of the vendor's, full in 21 minutes
		line(1580, 1600, 10, 20_000, 6_000), // beyond the cap
	)
	slices.Reverse(alarms) // any order
	runs := Play(alarms, time.UTC)
	var keys []string
	for _, r := range runs {
		keys = append(keys, r.Period)
	}
	if want := []string{"2026-11-23", "2026-11-24", "2026-11-24#2"}; !slices.Equal(keys, want) {
		t.Fatalf("periods %v, want %v", keys, want)
	}
	if !runs[0].Exhausted.IsZero() || !runs[1].Exhausted.IsZero() || runs[2].Exhausted.IsZero() || runs[2].Alarms != 3 {
		t.Errorf("runs %+v", runs)
	}
	s := Summarize(runs)
	if s.Periods != 3 || s.Exhausted != 1 || s.Alarms != 3 || s.Wrong != len(runs[0].Forecasts)+len(runs[1].Forecasts) || s.Wrong == 0 {
		t.Errorf("summary %+v", s)
	}
}

func TestNaiveCountsFromThePeriodsStart(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	// 12:00 in Shanghai is 04:00 UTC: 8,000 in twelve hours leaves three.
	runs := Play(slices.Concat(line(220, 240, 10, 7700, 900)), shanghai)
	if got, want := runs[0].Forecasts[0].Naive, midnight.Add(7*time.Hour); got.Sub(want).Abs() > time.Second {
		t.Errorf("naive: %v, want %v", got, want)
	}
}

func TestSummaryByHand(t *testing.T) {
	full := midnight.Add(10 * time.Hour)
	off := func(quota, naive time.Duration) Forecast {
		return Forecast{At: full.Add(-2 * time.Hour), Quota: full.Add(quota), Naive: full.Add(naive)}
	}
	s := Summarize([]Run{
		{Alarms: 4, Exhausted: full, ToldAt: full.Add(-30 * time.Minute), Forecasts: []Forecast{off(-time.Minute, time.Hour), off(3*time.Minute, -2*time.Hour)}},
		{Alarms: 2, Exhausted: full, Forecasts: []Forecast{off(5*time.Minute, 10*time.Minute)}},
		{Alarms: 1, Exhausted: full},
		{Alarms: 9, Forecasts: []Forecast{off(0, 0)}},
	})
	want := Summary{Periods: 4, Exhausted: 3, Alarms: 7, Forecasts: 3, Wrong: 1, First: 2 * time.Hour, Told: 0, Error: 3, NaiveError: 60}
	if s != want {
		t.Errorf("summary %+v, want %+v", s, want)
	}
	if s.Ratio() != 0.05 || !s.Holds() {
		t.Errorf("ratio %v", s.Ratio())
	}
	if none := Summarize(nil); !math.IsNaN(none.Error) || none.Holds() {
		t.Errorf("of nothing: %+v", none)
	}
}

// The floor: on at least four of the five generated kinds the median error is at most half of
// the naive rule's. Steady use from midnight on is what the naive rule assumes.
func TestForecastsBeatTheNaiveRule(t *testing.T) {
	const days = 10
	holds := 0
	for _, name := range Names() {
		periods, err := Generate(name, days)
		if err != nil {
			t.Fatal(err)
		}
		var runs []Run
		for _, alarms := range periods {
			runs = append(runs, Play(alarms, time.UTC)...)
		}
		s := Summarize(runs)
		t.Logf("%s: %.1f min, naive %.1f min, ratio %.2f, told %v before", name, s.Error, s.NaiveError, s.Ratio(), s.Told)
		if s.Exhausted != days || s.Forecasts < s.Alarms/2 || s.Told == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if s.Holds() {
			holds++
		}
	}
	if holds < 4 {
		t.Errorf("on %d of %d kinds the error is at most %v of the naive rule's, want 4", holds, len(Names()), MaxRatio)
	}
}

func TestGenerate(t *testing.T) {
	for _, name := range Names() {
		one, err := Generate(name, 2)
		if err != nil || Story(name) == "" {
			t.Fatalf("%s: %q, %v", name, Story(name), err)
		}
		two, _ := Generate(name, 2)
		for i, alarms := range one {
			if !slices.Equal(alarms, two[i]) {
				t.Errorf("%s is another the second time", name)
			}
			last := alarms[len(alarms)-1]
			if last.Used != generatedCap || len(alarms) < 1000 {
				t.Errorf("%s ends at %d after %d alarms", name, last.Used, len(alarms))
			}
			for _, a := range alarms {
				if a.Used <= generatedFloor || a.Used > generatedCap || a.Quota != generatedCap {
					t.Fatalf("%s has the alarm %+v, which the vendor does not send", name, a)
				}
			}
		}
	}
	if _, err := Generate("calm", 1); err == nil {
		t.Error("a name that does not exist generates")
	}
}

func TestThin(t *testing.T) {
	alarms := line(0, 59, 1, 7000, 600)
	if got := Thin(alarms, 0); !slices.Equal(got, alarms) {
		t.Errorf("thinned by nothing: %d of %d", len(got), len(alarms))
	}
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute
		got := Thin(alarms, every)
		if got[0] != alarms[0] || got[len(got)-1] != alarms[len(alarms)-1] {
			t.Fatalf("the first or the last is gone: %v", got)
		}
		for i := 1; i < len(got)-1; i++ {
			if got[i].At.Sub(got[i-1].At) < every {
				t.Fatalf("%v and %v are nearer than %v", got[i-1], got[i], every)
			}
		}
	})
}
