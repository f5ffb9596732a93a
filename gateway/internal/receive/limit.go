package receive

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/tidegate/tidegate/internal/apps"
)

// bucket is a token bucket: Burst tokens at most, PerSecond new ones. The zero value is
// full. It may be used by any number of goroutines, takes no lock, and keeps no rate of its
// own: a rate that is changed by a reload holds from the next callback on, and what was
// used up before stays used up.
type bucket struct {
	// fullAt is when the bucket would be full again if nothing more were taken, in
	// nanoseconds since the Receiver was made (generic cell rate algorithm).
	fullAt atomic.Int64
}

// rate is an apps.RateLimit in nanoseconds: what one token and a whole bucket take to come. The zero
// value is no limit.
type rate struct{ each, whole int64 }

// rateOf returns the rate of a limit; one of 0 is none.
func rateOf(l apps.RateLimit) rate {
	if l.PerSecond <= 0 {
		return rate{}
	}
	// Bounded so that a rate of one token in years cannot overflow.
	each := int64(min(float64(time.Second)/l.PerSecond, math.MaxInt64/8))
	return rate{each, int64(min(float64(each)*float64(max(l.Burst, 1)), math.MaxInt64/4))}
}

// take takes one token. If there is none, wait is the time until there will be one, if
// nobody else takes it first. now is in nanoseconds since the Receiver was made.
func (b *bucket) take(now int64, r rate) (wait time.Duration, ok bool) {
	if r.whole <= 0 {
		return 0, true
	}
	for {
		before := b.fullAt.Load()
		if before > now+r.whole {
			// Emptied at a slower rate, before a reload: it must not owe more than
			// its new size, and that has to be noted, else it would never fill.
			b.fullAt.CompareAndSwap(before, now+r.whole)
			continue
		}
		after := max(now, before) + r.each
		if after > now+r.whole {
			return time.Duration(after - now - r.whole), false
		}
		if b.fullAt.CompareAndSwap(before, after) {
			return 0, true
		}
	}
}

// retrySeconds rounds a wait up to whole seconds, as Retry-After has them, at least 1.
func retrySeconds(wait time.Duration) int {
	return max(1, int(math.Ceil(wait.Seconds())))
}

// inFlight counts the callbacks between append and answer, of those that wait for something, and
// caps them. A tenth of the cap is for routes with reserve.
type inFlight struct {
	limit int64
	_     [2]cpu.CacheLinePad // what changes must not take what is only read from the processors' caches
	now   atomic.Int64
	_     [2]cpu.CacheLinePad
}

// enter takes a place, which leave gives back, or says that there is none.
func (f *inFlight) enter(reserve bool) bool {
	limit := f.limit
	if !reserve {
		limit -= limit / 10
	}
	if f.now.Add(1) > limit {
		f.now.Add(-1)
		return false
	}
	return true
}

func (f *inFlight) leave() { f.now.Add(-1) }
