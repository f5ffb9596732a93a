//go:build linux

package main

import (
	"testing"
	"time"
)

func TestSlowBytesAreSpreadOverThePause(t *testing.T) {
	for elapsed, want := range map[time.Duration]int64{0: 0, time.Second: 1000, 3 * time.Second: 3000, 30 * time.Second: 30000} {
		if got := dripDue(elapsed, 3000, 3*time.Second); got != want {
			t.Errorf("after %s %d bytes are due, not %d", elapsed, got, want)
		}
	}
}
