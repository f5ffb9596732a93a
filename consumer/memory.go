package main

import (
	"os"
	"runtime/debug"
)

// heapBytes is from where on memory is collected sooner than when it has doubled. What a
// consumer holds at a time does not grow with its lag, and is half of that at most with alarms
// as the vendor sends them; with batches of larger records collecting costs up to half of the
// processors' time, as Go sees to.
const heapBytes = 72 << 20

// boundMemory sets heapBytes, unless GOMEMLIMIT says otherwise.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapBytes)
	}
}
