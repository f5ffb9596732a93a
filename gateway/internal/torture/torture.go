// Package torture bounds the crash and fault loops of the gateway's tests, and counts what
// they covered. Only tests import it, and every test that does has a name that begins
// with TestTorture: .ci/torture finds it by that.
//
// Without being asked a loop has a fixed number of rounds and the seeds 0, 1, 2 and so on.
// The environment changes that:
//
//   - TIDEGATE_TORTURE=10m: all loops together go on for that long.
//   - TIDEGATE_TORTURE_LOOPS=9: how many loops share it, one after another; absent: 1.
//   - TIDEGATE_TORTURE_SEED=7: the first seed; absent: random in a run with a duration, else 0.
//     Each round has the next one, so that a round that failed comes first with its seed.
package torture

import (
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Loop is one crash or fault loop. Its methods may be called from any goroutine.
type Loop struct {
	first  uint64
	rounds uint64 // where until is zero
	short  bool
	until  time.Time // zero: rounds decide

	done, crashes, faults, lives atomic.Int64
}

// New returns a loop of so many rounds, or of underRace rounds where the race detector
// makes each a multiple as slow. What it covered is logged at the end of t, in the form
// that .ci/torture adds up.
func New(t testing.TB, rounds, underRace uint64) *Loop {
	t.Helper()
	l := &Loop{rounds: rounds, short: race || testing.Short()}
	if l.short {
		l.rounds = underRace
	}
	if text := os.Getenv("TIDEGATE_TORTURE"); text != "" {
		asked, err := time.ParseDuration(text)
		if err != nil || asked <= 0 {
			t.Fatalf("TIDEGATE_TORTURE: want a duration such as 10m, have %q", text)
		}
		l.until = time.Now().Add(asked / time.Duration(number(t, "TIDEGATE_TORTURE_LOOPS", 1)))
		l.first = rand.Uint64N(1 << 32)
	}
	l.first = number(t, "TIDEGATE_TORTURE_SEED", l.first)
	t.Cleanup(func() {
		violations := 0
		if t.Failed() {
			violations = 1 // or more: a loop ends at the first
		}
		t.Logf("torture: %d crash points, %d faults, %d lives of the whole gateway, %d violations (%s, %d rounds from seed %d)",
			l.crashes.Load(), l.faults.Load(), l.lives.Load(), violations, t.Name(), l.done.Load(), l.first)
	})
	return l
}

// number reads a variable of the environment, absent where that has none.
func number(t testing.TB, name string, absent uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 && name == "TIDEGATE_TORTURE_LOOPS" {
		t.Fatalf("%s: want a number, have %q", name, text)
	}
	return n
}

// Seeds returns the seeds of all rounds, at least one.
func (l *Loop) Seeds() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for seed := l.first; seed == l.first || !l.over(seed); seed++ {
			l.done.Add(1)
			if !yield(seed) {
				return
			}
		}
	}
}

// over reports whether the round of a seed is one too many.
func (l *Loop) over(seed uint64) bool {
	if l.until.IsZero() {
		return seed-l.first >= l.rounds
	}
	return time.Now().After(l.until)
}

// Short says whether a round should be content with a sample of what it could do: under the
// race detector, and with -short.
func (l *Loop) Short() bool { return l.short }

// Crashed counts a power loss or kill after which what was left was compared with a ledger.
func (l *Loop) Crashed() { l.crashes.Add(1) }

// Faulted counts operations that were made to fail, or answers that a broker was made to give.
func (l *Loop) Faulted(n int) { l.faults.Add(int64(n)) }

// Lived counts a life of the whole gateway.
func (l *Loop) Lived() { l.lives.Add(1) }
