package reload

import (
	"reflect"
	"strings"
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

// TestParsingMakesSteps: one for every piece of the text at least, and one for every value that is
// looked at.
func TestParsingMakesSteps(t *testing.T) {
	text := "items:\n" + strings.Repeat("  - {burst: 1, per_second: 2}\n", 1000)
	var parsing, all Pace
	doc, problems := parse([]byte(text), &parsing)
	if problems != nil {
		t.Fatal(problems)
	}
	if least := len(text)/512 + 5000; parsing.steps < least {
		t.Errorf("%d steps of parsing, want %d", parsing.steps, least)
	}
	d := decoder{pace: &all, fields: make(map[reflect.Type]map[string]int)}
	d.value(doc.root, reflect.ValueOf(new(sample)).Elem(), nil)
	if all.steps < 3000 {
		t.Errorf("%d steps of decoding, want 3000", all.steps)
	}
}
