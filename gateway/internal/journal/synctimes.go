package journal

import (
	"slices"
	"sync"
	"time"
)

// SyncTimes says how the device did in the last second.
type SyncTimes struct {
	Count int           // syncs of batches
	P99   time.Duration // of their durations; 0 when there were none
}

// recentSyncs bounds the syncs that are remembered.
const recentSyncs = 2048

// syncTimes remembers the last syncs. The committer notes each; others look now and then.
type syncTimes struct {
	mu   sync.Mutex
	next int // in list, of the next note
	list [recentSyncs]struct {
		at   time.Time
		took time.Duration
	}
}

func (s *syncTimes) note(at time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[s.next].at, s.list[s.next].took = at, took
	s.next = (s.next + 1) % recentSyncs
}

// lastSecond looks at what was noted in the second before now.
func (s *syncTimes) lastSecond(now time.Time) SyncTimes {
	var took []time.Duration
	s.mu.Lock()
	for i := range recentSyncs {
		n := &s.list[(s.next+recentSyncs-1-i)%recentSyncs]
		if n.at.IsZero() || now.Sub(n.at) > time.Second {
			break
		}
		took = append(took, n.took)
	}
	s.mu.Unlock()
	if len(took) == 0 {
		return SyncTimes{}
	}
	slices.Sort(took)
	return SyncTimes{Count: len(took), P99: took[(len(took)*99-1)/100]}
}

// Synced is the synced watermark: all entries up to there are durable. It costs one atomic load.
func (j *Journal) Synced() LSN { return LSN(j.synced.Load()) }

// SyncTimes says how long the syncs of batches took in the last second. It may be called from
// any goroutine; it sorts up to 2,048 numbers.
func (j *Journal) SyncTimes() SyncTimes { return j.syncTimes.lastSecond(time.Now()) }
