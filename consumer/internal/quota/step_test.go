package quota

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

func TestUsedPercent(t *testing.T) {
	for _, test := range []struct {
		name        string
		used, quota int64
		want        float64
	}{
		{"the vendor's sample", 7321, 10000, 73.21},
		{"nothing used", 0, 10000, 0},
		{"all used", 10000, 10000, 100},
		{"more than all", 10001, 10000, 100.01},
		{"a third, rounded down", 1, 3, 33.33},
		{"two thirds, rounded up", 2, 3, 66.67},
		{"a half of a hundredth, rounded up", 1, 20000, 0.01},
		{"just less than that, rounded down", 1, 20001, 0},
		{"a half of a hundredth above 70", 1400100, 2000000, 70.01},
		{"shown as 100 below the cap", 99999, 100000, 100},
		{"twice a cap of one", 2, 1, 200},
		{"the largest numbers", math.MaxInt64, math.MaxInt64, 100},
		{"the largest use of the smallest cap", math.MaxInt64, 1, 922337203685477580700},
		{"one of the largest cap", 1, math.MaxInt64, 0},
		{"where hundredths stop being exact", 1 << 40, 1, 109951162777600},
	} {
		if got := usedPercent(test.used, test.quota); got != test.want {
			t.Errorf("%s: %d of %d is %v %%, want %v", test.name, test.used, test.quota, got, test.want)
		}
	}
}

// numbers draws numbers of groups, small and absurd ones alike.
func numbers(from int64) *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.Int64Range(from, 50), rapid.Int64Range(from, 100_000), rapid.Int64Range(from, math.MaxInt64),
		rapid.Int64Range(math.MaxInt64-10, math.MaxInt64),
	)
}

func TestUsedPercentLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		used, quota := numbers(0).Draw(t, "used"), numbers(1).Draw(t, "quota")
		got := usedPercent(used, quota)
		if math.IsNaN(got) || math.IsInf(got, 0) || got < 0 {
			t.Fatalf("%d of %d is %v", used, quota, got)
		}
		if used < math.MaxInt64 && usedPercent(used+1, quota) < got {
			t.Fatalf("%d of %d is more than one more of it", used, quota)
		}
		if all := usedPercent(quota, quota); all != 100 {
			t.Fatalf("all of %d is %v", quota, all)
		}
		if (got < 100) != (hundredthsOf(used, quota).Cmp(big.NewInt(hundredths)) < 0) {
			t.Fatalf("%d of %d is %v", used, quota, got)
		}
		// Exact, but for the last step to a float64.
		want, _ := new(big.Rat).SetFrac(hundredthsOf(used, quota), big.NewInt(100)).Float64()
		if got != want {
			t.Fatalf("%d of %d is %v, want %v", used, quota, got, want)
		}
	})
}

// hundredthsOf returns used of quota in hundredths of a percent, rounded half up: the
// definition.
func hundredthsOf(used, quota int64) *big.Int {
	twice := new(big.Int).Mul(big.NewInt(used), big.NewInt(2*hundredths))
	twice.Add(twice, big.NewInt(quota))
	return twice.Div(twice, new(big.Int).Mul(big.NewInt(quota), big.NewInt(2)))
}

func TestReached(t *testing.T) {
	for _, test := range []struct {
		name        string
		used, quota int64
		steps       apps.Steps
		want        level
	}{
		{"below the first step", 6999, 10000, steps, levelOK},
		{"on the first step", 7000, 10000, steps, levelWatch},
		{"below the second", 7999, 10000, steps, levelWatch},
		{"on the second", 8000, 10000, steps, levelWarning},
		{"on the third", 9000, 10000, steps, levelCritical},
		{"shown as 100, but one is left", 99999, 100000, steps, levelCritical},
		{"the cap", 100000, 100000, steps, levelExhausted},
		{"beyond it", 100001, 100000, steps, levelExhausted},
		{"a step of two decimals", 7051, 10000, apps.Steps{Watch: 70.51, Warning: 80, Critical: 90, Exhausted: 100}, levelWatch},
		{"just below it", 7050, 10000, apps.Steps{Watch: 70.51, Warning: 80, Critical: 90, Exhausted: 100}, levelOK},
		{"seven tenths are 70 %, which no float64 says", 7, 10, steps, levelWatch},
		{"a step beyond the cap", 109, 100, apps.Steps{Watch: 70, Warning: 80, Critical: 90, Exhausted: 110}, levelCritical},
		{"the largest numbers", math.MaxInt64, math.MaxInt64, steps, levelExhausted},
		{"nearly the largest numbers", math.MaxInt64 - 1, math.MaxInt64, steps, levelCritical},
	} {
		if got := reached(test.used, test.quota, test.steps); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got.severity(), test.want.severity())
		}
	}
}

func TestReachedRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quota := numbers(1).Draw(t, "quota")
		a, b := numbers(0).Draw(t, "a"), numbers(0).Draw(t, "b")
		if reached(min(a, b), quota, steps) > reached(max(a, b), quota, steps) {
			t.Fatalf("of %d and %d of %d, less reaches a higher step", a, b, quota)
		}
	})
}

func TestFell(t *testing.T) {
	for _, test := range []struct {
		name            string
		from, to, quota int64
		want            bool
	}{
		{"ten points", 9500, 8500, 10000, true},
		{"one group less", 9500, 8501, 10000, false},
		{"a rise", 8500, 9500, 10000, false},
		{"no change", 9500, 9500, 10000, false},
		{"a tenth of 15 is more than one group", 15, 14, 15, false},
		{"and less than two", 15, 13, 15, true},
		{"a cap of one", 1, 0, 1, true},
		{"to nothing, from the largest number", math.MaxInt64, 0, math.MaxInt64, true},
	} {
		if got := fell(test.from, test.to, test.quota); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestLevels(t *testing.T) {
	for i, s := range schema.Severities() {
		if l := levelOf(s); l != level(i) || l.severity() != s {
			t.Errorf("%s has level %d, which is called %s", s, l, l.severity())
		}
	}
	if len(schema.Severities()) != int(numLevels) {
		t.Errorf("%d severities, %d levels", len(schema.Severities()), numLevels)
	}
	for _, s := range []schema.Severity{"", "meltdown"} {
		if l := levelOf(s); l != levelOK {
			t.Errorf("%q has level %d: what is not known is no step", s, l)
		}
	}
}
