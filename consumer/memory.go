package main

import (
	"os"
	"runtime/debug"
)

// Beyond these bytes memory is collected sooner than when it has doubled: what is resident then
// stays within 128 MiB, of which the program itself is 26. What a consumer holds at a time does
// not grow with its lag, and is half of that at most with alarms as the vendor sends them; with
// batches of larger records collecting costs up to half of the processors' time, as Go sees to.
const (
	heapBytes       = 98 << 20
	heapBytesSQLite = 72 << 20 // its cache and what it works with is not Go's
)

// boundMemory sets the bound, unless GOMEMLIMIT says otherwise.
func boundMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}
