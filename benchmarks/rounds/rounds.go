// Package rounds gathers what benchmarks measure in rounds, in which the thing and its
// baseline take turns, so that a busy machine hits both alike. What is reported is the
// median of the rounds, and for ratios, which are taken within a round, the least and the
// most too.
//
// A benchmark runs one round for each iteration: -benchtime 5x makes five of them.
package rounds

import (
	"slices"
	"syscall"
	"time"
)

// Figures are the figures of one benchmark. The zero value is empty. It is for one goroutine.
type Figures struct {
	units  []string // in the order of their first Add
	values map[string][]float64
	ratios map[string]bool
}

// Add notes the value of one round. unit names it in the benchmark's output: no spaces.
func (f *Figures) Add(unit string, value float64) {
	if f.values == nil {
		f.values, f.ratios = map[string][]float64{}, map[string]bool{}
	}
	if _, known := f.values[unit]; !known {
		f.units = append(f.units, unit)
	}
	f.values[unit] = append(f.values[unit], value)
}

// AddRatio notes one round's ratio of the thing to its baseline: its spread is reported too.
func (f *Figures) AddRatio(unit string, thing, baseline float64) {
	f.Add(unit, thing/baseline)
	f.ratios[unit] = true
}

// Report hands the medians to report, which is testing.B's ReportMetric, and takes the time
// of an iteration away, which says nothing. After a ratio come unit:least and unit:most.
func (f *Figures) Report(report func(value float64, unit string)) {
	report(0, "ns/op")
	for _, unit := range f.units {
		values := f.values[unit]
		report(Median(values), unit)
		if f.ratios[unit] {
			report(slices.Min(values), unit+":least")
			report(slices.Max(values), unit+":most")
		}
	}
}

// Median returns the middle of values, which are not empty; of an even number, the mean of
// the two in the middle.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// CPU returns the time that this process has had on processors so far, its own and the
// kernel's for it.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: getrusage of this process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
