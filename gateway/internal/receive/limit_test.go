package receive

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/apps"
)

// TestBucketLaws draws arrivals and rates and holds the bucket to what a token bucket is:
// never more than burst plus rate times time, and a wait that is exactly true.
func TestBucketLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := apps.RateLimit{
			PerSecond: rapid.Float64Range(0.01, 10000).Draw(t, "per second"),
			Burst:     rapid.IntRange(1, 50).Draw(t, "burst"),
		}
		var b bucket
		now, taken := int64(0), 0
		for range rapid.IntRange(1, 200).Draw(t, "arrivals") {
			now += rapid.Int64Range(0, int64(2*float64(time.Second)/limit.PerSecond)).Draw(t, "pause")
			wait, ok := b.take(now, rateOf(limit))
			if ok {
				taken++
			} else {
				if wait <= 0 {
					t.Fatalf("refused with a wait of %v", wait)
				}
				if _, early := b.take(now+int64(wait)-1, rateOf(limit)); early {
					t.Fatalf("a token came before the wait of %v was over", wait)
				}
				now += int64(wait)
				if _, ok = b.take(now, rateOf(limit)); !ok {
					t.Fatalf("no token after the wait of %v", wait)
				}
				taken++
			}
			// A nanosecond per token is lost in rounding.
			if most := float64(limit.Burst) + limit.PerSecond*float64(now+int64(taken))/float64(time.Second) + 1e-6; float64(taken) > most {
				t.Fatalf("%d taken after %v, at most %v", taken, time.Duration(now), most)
			}
		}
	})
}

func TestBucketFollowsItsRate(t *testing.T) {
	var b bucket
	slow, fast := rateOf(apps.RateLimit{PerSecond: 0.001, Burst: 100}), rateOf(apps.RateLimit{PerSecond: 10, Burst: 1})
	for range 100 {
		if _, ok := b.take(0, slow); !ok {
			t.Fatal("a full bucket refused")
		}
	}
	// 100,000 seconds are used up; the new rate must not owe them.
	wait, ok := b.take(0, fast)
	if ok || wait > 200*time.Millisecond {
		t.Errorf("after the change of the rate: %v, %v", wait, ok)
	}
	if _, ok := b.take(int64(wait), fast); !ok {
		t.Error("no token after the wait")
	}
}

func TestBucketEdges(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  apps.RateLimit
		takes int // of the first 3 at once
	}{
		{"no rate is no limit", apps.RateLimit{}, 3},
		{"a burst below 1 is 1", apps.RateLimit{PerSecond: 1}, 1},
		{"one token in centuries", apps.RateLimit{PerSecond: 1e-12, Burst: 1}, 1},
		{"a burst beyond all numbers", apps.RateLimit{PerSecond: 1e-9, Burst: 1 << 62}, 2},
	} {
		var b bucket
		n := 0
		for range 3 {
			if _, ok := b.take(0, rateOf(tt.rate)); ok {
				n++
			}
		}
		if n != tt.takes {
			t.Errorf("%s: %d of 3 taken, want %d", tt.name, n, tt.takes)
		}
	}
}

// TestBucketConcurrent takes from many goroutines: not one token too many, none too few.
func TestBucketConcurrent(t *testing.T) {
	var b bucket
	var taken atomic.Int64
	var takers sync.WaitGroup
	for range 8 {
		takers.Go(func() {
			for range 1000 {
				if _, ok := b.take(0, rateOf(apps.RateLimit{PerSecond: 1, Burst: 500})); ok {
					taken.Add(1)
				}
			}
		})
	}
	takers.Wait()
	if n := taken.Load(); n != 500 {
		t.Errorf("%d taken of 500", n)
	}
}

func TestRetrySeconds(t *testing.T) {
	for wait, want := range map[time.Duration]int{1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90} {
		if got := retrySeconds(wait); got != want {
			t.Errorf("%v: %d, want %d", wait, got, want)
		}
	}
}
