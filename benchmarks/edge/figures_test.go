//go:build linux

package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// fairnessSamples are three rounds of a variant at p99 and of its baseline.
func fairnessSamples(alone, flood []int64, refused int64) []sample {
	var all []sample
	for round := range alone {
		all = append(all, sample{Part: partFairness, Variant: variantFlood, Round: round, Seconds: 1, Accepted: 100, P99Micros: flood[round], Refused: refused},
			sample{Part: partFairness, Variant: variantAlone, Round: round, Seconds: 1, Accepted: 100, P99Micros: alone[round]})
	}
	return all
}

func TestRatiosAreWithinARound(t *testing.T) {
	all := fairnessSamples([]int64{100, 1000, 10}, []int64{110, 2000, 9}, 0)
	got := over(all, partFairness, variantFlood, variantAlone, p99)
	if want := []float64{1.1, 2, 0.9}; !slices.Equal(got, want) {
		t.Fatalf("ratios %v, want %v", got, want)
	}
	if s := rounds.SpreadOf(got); s != (rounds.Spread{Middle: 1.1, Least: 0.9, Most: 2, Rounds: 3}) {
		t.Errorf("spread %+v", s)
	}
	if got := over(all, partFairness, variantFlood, variantForged, p99); got != nil {
		t.Errorf("a baseline that was not measured gives %v", got)
	}
}

func TestEveryRoundMustServeTheHonest(t *testing.T) {
	all := fairnessSamples([]int64{1, 1, 1}, []int64{1, 1, 1}, 0)
	all[2].Cut, all[4].Unanswered = 1, 2 // the median of the rounds would be 1, or 0
	if got := total(all, partFairness, variantFlood, unserved); !slices.Equal(got, []float64{3}) {
		t.Errorf("not served: %v", got)
	}
}

func TestVerdicts(t *testing.T) {
	hard := bound{asked: true, hard: true}
	for want, f := range map[string]figure{
		"not measured":        {bound: atMost(1)},
		"stated":              {values: []float64{7}},
		"goal reached":        {bound: atMost(1.2), values: []float64{1, 1.2, 9}},
		"goal missed":         {bound: atMost(1.2), values: []float64{1, 1.3, 1.3}},
		"**above the floor**": {bound: hard, values: []float64{1}},
	} {
		if got := f.verdict(); got != want {
			t.Errorf("%+v: %s, not %s", f, got, want)
		}
	}
}

func TestTheTableHasGoalAndFloorBesideEachFigure(t *testing.T) {
	table := goalTable(figures(fairnessSamples([]int64{100, 100, 100}, []int64{110, 150, 90}, 1)))
	for _, line := range []string{
		"| fairness | honest p99, one app at 20 x its limit over alone | - | <= 1.20 | 1.10 (0.90 - 1.50) | goal reached |\n",
		"| fairness | honest callbacks not answered 200, one app at 20 x its limit | <= 0 | <= 0 | 3 | **above the floor** |\n",
		"| fairness | honest p99, bad signatures, 4,000/s over alone | - | <= 1.20 | - | not measured |\n",
	} {
		if !strings.Contains(table, line) {
			t.Errorf("no line %s in\n%s", line, table)
		}
	}
	if strings.Contains(table, partLoris) {
		t.Error("a part that was not measured has lines")
	}
}

func TestATurnThatWasAnsweredOtherwiseIsNotMeasured(t *testing.T) {
	all := []sample{
		{Part: partRefusals, Variant: baseKept, CPUMicros: 10, WantedShare: 1},
		{Part: partRefusals, Variant: "path", CPUMicros: 5, WantedShare: 1},
		{Part: partRefusals, Variant: "rate", CPUMicros: 5, WantedShare: 0.2},
	}
	verdicts := map[string]string{}
	for _, f := range refusalFigures(all) {
		verdicts[f.what] = f.verdict()
	}
	if got := verdicts["CPU an answer, path over accepted"]; got != "goal reached" {
		t.Errorf("path: %s", got)
	}
	if got := verdicts["CPU an answer, rate over accepted"]; got != "not measured" {
		t.Errorf("rate: %s", got)
	}
}

func TestMemoryIsComparedWithBeforeTheFirstReload(t *testing.T) {
	at := func(round int, bytes int64) sample {
		return sample{Part: partReload, Variant: variantAfter, Round: round, Resident: bytes << 20}
	}
	if got := memoryAfter([]sample{at(2, 30), at(0, 20), at(1, 90)}); !slices.Equal(got, []float64{1.5}) {
		t.Errorf("memory %v", got)
	}
	if got := memoryAfter([]sample{at(0, 20)}); got != nil {
		t.Errorf("memory without a reload: %v", got)
	}
}

// TestAFloodThatIsNone: figures beside it would be green whatever the gateway does.
func TestAFloodThatIsNone(t *testing.T) {
	for name, tt := range map[string]struct {
		s    sample
		want error
	}{
		"alone":                 {sample{Variant: variantAlone, Seconds: 4}, nil},
		"all of it":             {sample{Variant: variantFlood, Seconds: 4, FloodAccepted: 400, FloodRefused: 7600}, nil},
		"half of it":            {sample{Variant: variantFlood, Seconds: 4, FloodAccepted: 400, FloodRefused: 3600}, errNoFlood},
		"let in":                {sample{Variant: variantFlood, Seconds: 4, FloodAccepted: 8000}, errLetIn},
		"forged":                {sample{Variant: variantForged, Seconds: 4, FloodRefused: 16000}, nil},
		"none is forged":        {sample{Variant: variantForged, Seconds: 4}, errNoFlood},
		"a forged one let in":   {sample{Variant: variantForgedMost, Seconds: 4, FloodAccepted: 1, FloodRefused: 90000}, errLetIn},
		"a loop that never ran": {sample{Variant: variantForgedMost, Seconds: 4}, errNoFlood},
	} {
		if err := floodIsWrong(&tt.s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
