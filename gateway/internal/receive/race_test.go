//go:build race

package receive

import "testing"

// skipUnderRace skips tests that count allocations: under the race detector sync.Pool
// forgets on purpose.
func skipUnderRace(t *testing.T) { t.Skip("the race detector makes sync.Pool allocate") }
