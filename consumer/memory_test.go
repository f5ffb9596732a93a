package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// The limit is ours unless the environment has one.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		environment string
		want        int64
	}{{"", heapBytes}, {"1GiB", math.MaxInt64}} {
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv("GOMEMLIMIT", c.environment)
		boundMemory(heapBytes)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("with GOMEMLIMIT=%s the limit is %d, want %d", c.environment, got, c.want)
		}
	}
}
