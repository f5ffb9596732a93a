package quota

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// level is a severity as a number, so that steps can be compared.
type level uint8

// The levels, in rising order.
const (
	levelOK level = iota
	levelWatch
	levelWarning
	levelCritical
	levelExhausted

	numLevels
)

// severities is the name of each level.
var severities = [numLevels]schema.Severity{
	levelOK:        schema.SeverityOK,
	levelWatch:     schema.SeverityWatch,
	levelWarning:   schema.SeverityWarning,
	levelCritical:  schema.SeverityCritical,
	levelExhausted: schema.SeverityExhausted,
}

func (l level) severity() schema.Severity { return severities[l] }

// levelOf returns the level of a severity. One that is not known, from the row of a
// later release, is no step.
func levelOf(s schema.Severity) level {
	for l, name := range severities {
		if name == s {
			return level(l)
		}
	}
	return levelOK
}

// reached returns the highest step at or below which used stands, compared exactly and
// not by the rounded percentage: 99.999 % is shown as 100 but is not exhausted. Steps
// count to the hundredth of a percent.
func reached(used, quota int64, steps apps.Steps) level {
	for _, step := range [...]struct {
		level   level
		percent float64
	}{
		{levelExhausted, steps.Exhausted},
		{levelCritical, steps.Critical},
		{levelWarning, steps.Warning},
		{levelWatch, steps.Watch},
	} {
		if atLeast(used, quota, step.percent) {
			return step.level
		}
	}
	return levelOK
}

// hundredths is how many hundredths of a percent make the whole.
const hundredths = 10_000

// atLeast says whether used is at least percent of quota, without rounding.
func atLeast(used, quota int64, percent float64) bool {
	threshold := math.Round(min(max(percent, 0), 1e6) * 100)
	usedHigh, usedLow := bits.Mul64(uint64(used), hundredths)
	needHigh, needLow := bits.Mul64(uint64(quota), uint64(threshold))
	return usedHigh > needHigh || usedHigh == needHigh && usedLow >= needLow
}

// usedPercent returns used as a percentage of quota, rounded half up to two decimals and
// then to the nearest float64. The rounding is done on integers, so it is the same
// everywhere, grows with used, and is exactly 100 where used is quota. Quota is at
// least 1.
func usedPercent(used, quota int64) float64 {
	high, low := bits.Mul64(uint64(used), hundredths)
	low, carry := bits.Add64(low, uint64(quota)/2, 0)
	if high += carry; high < uint64(quota) {
		if n, _ := bits.Div64(high, low, uint64(quota)); n < 1<<53 {
			return float64(n) / 100
		}
	}
	return hugePercent(used, quota)
}

// hugePercent is usedPercent where a float64 does not hold the hundredths exactly: a cap
// of a few groups and 10^14 used. Nobody has such an app, but the number must be finite
// and in order.
func hugePercent(used, quota int64) float64 {
	n := new(big.Int).Mul(big.NewInt(used), big.NewInt(hundredths))
	n.Add(n, big.NewInt(quota/2)).Div(n, big.NewInt(quota))
	percent, _ := new(big.Rat).SetFrac(n, big.NewInt(100)).Float64()
	return percent
}

// fell says whether usage fell by ten points of the cap. Groups that are dissolved make
// it fall too, but that much at once is most likely the vendor's new day.
func fell(from, to, quota int64) bool {
	return from > to && from-to >= quota/10+min(1, quota%10)
}
