// Command tell prints the time, and fails where a second of sleep is not one by its clocks.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	begun := time.Now()
	time.Sleep(50 * time.Millisecond)
	if slept := time.Since(begun); slept < 50*time.Millisecond || slept > 30*time.Second {
		fmt.Println("slept", slept)
		os.Exit(1)
	}
	fmt.Println(time.Now().UTC().Format(time.RFC3339Nano))
}
