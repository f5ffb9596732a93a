package receive

import (
	"math"
	"sync/atomic"
	"time"

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

// take takes one token. If there is none, wait is the time until there will be one, if
// nobody else takes it first. A rate of 0 is no limit. now is in nanoseconds since the
// Receiver was made.
func (b *bucket) take(now int64, rate apps.RateLimit) (wait time.Duration, ok bool) {
	if rate.PerSecond <= 0 {
		return 0, true
	}
	// Bounded so that a rate of one token in years cannot overflow.
	each := int64(min(float64(time.Second)/rate.PerSecond, math.MaxInt64/8))
	whole := int64(min(float64(each)*float64(max(rate.Burst, 1)), math.MaxInt64/4))
	for {
		before := b.fullAt.Load()
		if before > now+whole {
			// Emptied at a slower rate, before a reload: it must not owe more than
			// its new size, and that has to be noted, else it would never fill.
			b.fullAt.CompareAndSwap(before, now+whole)
			continue
		}
		after := max(now, before) + each
		if after > now+whole {
			return time.Duration(after - now - whole), false
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

// inFlight counts the callbacks between append and answer, and caps them. A tenth of the
// cap is for routes with reserve.
type inFlight struct {
	limit int64
	now   atomic.Int64
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
