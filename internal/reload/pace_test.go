package reload

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPaceRests: work in small steps is not longer than a stride and the steps between two looks in
// one go, and leaves as much time as it takes.
func TestPaceRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work, steps = 10 * time.Microsecond, 10_000
		var pace Pace
		var longest, stretch time.Duration
		start := time.Now()
		for range steps {
			time.Sleep(work)
			stretch += work
			longest = max(longest, stretch)
			before := time.Now()
			pace.Step()
			if rested := time.Since(before); rested > 0 {
				stretch = 0
				if rested != stride {
					t.Fatalf("a rest of %v", rested)
				}
			}
		}
		if most := stride + 2*stepsPerLook*work; longest > most {
			t.Errorf("%v of work in one go, want %v at most", longest, most)
		}
		if took := time.Since(start); took < work*steps*3/2 || took > work*steps*2 {
			t.Errorf("%v of work took %v", work*steps, took)
		}
	})
}

// TestPaceOfShortWork: what is done in less than a stride does not rest, nor does anything while
// files are being opened, when nobody is served yet.
func TestPaceOfShortWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var short Pace
		for range 1000 {
			short.Step()
		}
		opening.Add(1)
		defer opening.Add(-1)
		var pace Pace
		for range 1000 {
			time.Sleep(time.Millisecond)
			pace.Step()
		}
		if took := time.Since(start); took != 1000*time.Millisecond {
			t.Errorf("a second of work took %v", took)
		}
	})
}
