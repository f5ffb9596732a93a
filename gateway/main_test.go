package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// A sync that is under way leaves as many goroutines running as there are processors; what the
// environment says stands.
func TestTune(t *testing.T) {
	places, percent := runtime.GOMAXPROCS(0), debug.SetGCPercent(100)
	restore := func() {
		runtime.GOMAXPROCS(places)
		debug.SetGCPercent(percent)
	}
	defer restore()
	for _, test := range []struct {
		name            string
		environment     map[string]string
		places, percent int
	}{
		{"nothing is said", nil, places + 1, garbagePercent},
		{"places are said", map[string]string{"GOMAXPROCS": "7"}, places, garbagePercent},
		{"garbage is said", map[string]string{"GOGC": "100"}, places + 1, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			runtime.GOMAXPROCS(places)
			debug.SetGCPercent(100)
			tune(func(name string) string { return test.environment[name] })
			if got := runtime.GOMAXPROCS(0); got != test.places {
				t.Errorf("%d goroutines run at a time, want %d", got, test.places)
			}
			if got := debug.SetGCPercent(100); got != test.percent {
				t.Errorf("GOGC %d, want %d", got, test.percent)
			}
		})
	}
}
