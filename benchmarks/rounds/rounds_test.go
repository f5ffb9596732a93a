package rounds

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestReportIsMediansInOrderAndTheSpreadOfRatios(t *testing.T) {
	var f Figures
	for _, v := range []float64{30, 10, 20} {
		f.Add("entries/s", v)
		f.AddRatio("x-raw", v, 10)
	}
	f.Add("late", 1)
	f.Add("late", 4)
	var got []string
	f.Report(func(value float64, unit string) { got = append(got, fmt.Sprint(unit, "=", value)) })
	want := []string{"ns/op=0", "entries/s=20", "x-raw=2", "x-raw:least=1", "x-raw:most=3", "late=2.5"}
	if !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := Median(values); got != want {
			t.Errorf("median of %v is %v", values, got)
		}
	}
}

func TestCPUCountsWork(t *testing.T) {
	before := CPU()
	for deadline := time.Now().Add(5 * time.Second); CPU() == before; {
		if time.Now().After(deadline) {
			t.Fatal("five seconds of work cost no processor time")
		}
	}
}
