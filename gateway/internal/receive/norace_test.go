//go:build !race

package receive

import "testing"

// skipUnderRace skips nothing: there is no race detector.
func skipUnderRace(*testing.T) {}
