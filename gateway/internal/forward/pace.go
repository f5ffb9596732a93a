package forward

import (
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

const (
	// behindEntries is how far the live reader may be behind what is synced before the
	// forwarder counts as catching up.
	behindEntries = 4096

	paceEvery  = 250 * time.Millisecond // between two adjustments
	paceRest   = 10 * time.Millisecond  // how long a spent pace rests
	paceFirst  = 5000                   // entries a second to begin with
	paceLeast  = 1000                   // however busy the disk is
	paceOfLive = 1.5                    // of the rate at which entries come: else it would never arrive
	paceSlower = 0.7                    // factors of an adjustment
	paceFaster = 1.4
	paceSyncs  = 10 // so few syncs in the last second: nobody waits for the disk
)

// pace bounds how fast entries are handed out while the forwarder catches up. A broker on the
// same disk, or its network, would otherwise take it from those whose callbacks wait for a
// sync: catching up at full speed took their p99 from 1.7 to 27 ms. The rule: slower while the
// p99 of the last second's syncs is above twice what it is when nothing is to catch up, else
// faster; never below 1.5 times the rate at which entries come. Owned by the loop.
type pace struct {
	quiet   time.Duration // p99 of syncs while nothing is to catch up; 0: not known
	live    float64       // entries a second that come, smoothed
	limited bool          // catching up
	rate    float64       // entries a second, while limited
	tokens  float64       // entries that may go now, while limited
	filled  time.Time     // when tokens were last added
	looked  time.Time     // at the last adjust
	seen    journal.LSN   // the appended watermark then
}

// adjust takes over a look at the journal; the loop takes one every paceEvery. behind: there is
// something to catch up with.
func (p *pace) adjust(now time.Time, behind bool, appended journal.LSN, syncs journal.SyncTimes) {
	if dt := now.Sub(p.looked).Seconds(); !p.looked.IsZero() && dt > 0 {
		p.live += 0.4 * (float64(appended-p.seen)/dt - p.live)
	}
	p.looked, p.seen = now, appended
	least := max(paceLeast, paceOfLive*p.live)
	switch {
	case !behind:
		p.limited = false
		if syncs.Count >= paceSyncs {
			if p.quiet == 0 {
				p.quiet = syncs.P99
			}
			p.quiet += (syncs.P99 - p.quiet) / 4
		}
		return
	case !p.limited:
		p.limited, p.rate, p.tokens, p.filled = true, paceFirst, paceFirst/10, now
	case syncs.Count < paceSyncs:
		p.rate *= 2
	case p.quiet == 0 || syncs.P99 < p.quiet:
		// A start with a backlog: the least that was seen is the best guess.
		p.quiet = syncs.P99
		p.rate *= paceFaster
	case syncs.P99 > 2*p.quiet:
		p.rate *= paceSlower
	default:
		p.rate *= paceFaster
	}
	p.rate = min(max(p.rate, least), 1e7)
}

// spent reports whether no entry may go just now.
func (p *pace) spent(now time.Time) bool {
	if !p.limited {
		return false
	}
	if dt := now.Sub(p.filled).Seconds(); dt > 0 {
		p.tokens = min(p.tokens+p.rate*dt, p.rate*0.1) // at most what 100 ms bring
		p.filled = now
	}
	return p.tokens < 1
}

// limit returns the bound in entries a second; 0: none.
func (p *pace) limit() float64 {
	if !p.limited {
		return 0
	}
	return p.rate
}

// took counts an entry that went.
func (p *pace) took() {
	if p.limited {
		p.tokens--
	}
}

// lookAtPace adjusts the pace when it is time, and at once when there is suddenly something to
// catch up with: a quarter of a second at full speed is what it is to prevent.
func (f *Forwarder) lookAtPace() {
	due := f.now.Sub(f.pace.looked) >= paceEvery
	if behind := f.behind(); due || behind && !f.pace.limited {
		f.pace.adjust(f.now, behind, f.journal.Stats().Appended, f.journal.SyncTimes())
		f.metrics.catchUp.Set(f.pace.limit())
	}
}

// behind reports whether the forwarder is catching up with anything. While Kafka is away it is
// not: the pace begins slowly, when there is somebody to hand entries to.
func (f *Forwarder) behind() bool {
	if f.o.unpaced || !f.o.Producer.Up() {
		return false
	}
	if f.pass.running && f.liveLSN > f.pass.lsn+behindEntries || f.journal.Synced() > f.liveLSN+behindEntries {
		return true
	}
	for _, t := range f.order {
		if t.state == returning && t.parked.count > behindEntries {
			return true
		}
	}
	return false
}
