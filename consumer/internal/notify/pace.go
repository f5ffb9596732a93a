package notify

import (
	"math/rand/v2"
	"time"
)

// Waits between attempts that fail.
const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// backoff returns how long to wait after so many failures in a row, at least one: a second,
// two, four and so on up to maxBackoff, of which a random half is left out, so that what
// failed together does not come back together.
func backoff(failures int) time.Duration {
	wait := maxBackoff
	if shift := failures - 1; shift < 10 {
		wait = min(maxBackoff, firstBackoff<<max(0, shift))
	}
	return wait/2 + rand.N(wait/2+1)
}

// window is over what messages are counted: a minute, and what clocks may differ.
const window = 61 * time.Second

// limiter counts messages over a sliding window: never more than so many in any minute, as
// the robots count. A token bucket would let twice as many through. It is owned by one
// sender.
type limiter struct {
	perMinute int           // 0: no limit
	gap       time.Duration // between two messages
	sent      []time.Time   // within the last window, oldest first
}

// free returns how many messages may be sent before the window is used up, at least 1
// where nothing limits them.
func (l *limiter) free(now time.Time) int {
	if l.perMinute == 0 {
		return 1 << 30
	}
	for len(l.sent) > 0 && now.Sub(l.sent[0]) >= window {
		l.sent = l.sent[1:]
	}
	return l.perMinute - len(l.sent)
}

// wait returns how long it is until the next message may be sent; 0: now.
func (l *limiter) wait(now time.Time) time.Duration {
	var wait time.Duration
	if l.free(now) <= 0 {
		wait = l.sent[0].Add(window).Sub(now)
	}
	if n := len(l.sent); n > 0 {
		wait = max(wait, l.sent[n-1].Add(l.gap).Sub(now))
	}
	return max(0, wait)
}

// note counts a message, whatever became of it.
func (l *limiter) note(now time.Time) {
	if l.perMinute > 0 {
		l.sent = append(l.sent, now)
	}
}
