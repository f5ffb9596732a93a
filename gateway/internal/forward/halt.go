package forward

import (
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// HaltError is an entry that this release cannot decode, and at which delivery therefore
// stands: a newer release wrote it, or it is wrong in a way that the journal's checksum
// cannot see. What came before it is delivered, callbacks go on being taken. Someone runs the
// release that can read it, or keeps the entry elsewhere and calls Skip.
type HaltError struct {
	LSN    journal.LSN // in its journal
	Parked bool        // that is the parked one
	Reason error       // wraps entry.ErrVersion, entry.ErrCorrupt or ErrEnvelope
}

// Error implements error.
func (e *HaltError) Error() string {
	which := ""
	if e.Parked {
		which = " of the parked journal"
	}
	return fmt.Sprintf("halted at LSN %d%s: %v", e.LSN, which, e.Reason)
}

// Unwrap returns the reason.
func (e *HaltError) Unwrap() error { return e.Reason }

// Halted returns where delivery stands, at most one entry of each journal; nil: it goes on. It
// may be called from any goroutine and costs one atomic load.
func (f *Forwarder) Halted() []*HaltError { return *f.halted.Load() }

// halt lets delivery stand at an entry of the main journal. The reader keeps the entry in its
// hand, so that nothing behind it is read until it is skipped.
func (f *Forwarder) halt(o *offered) {
	if f.stand == nil || f.stand.LSN != o.lsn {
		f.stand = &HaltError{LSN: o.lsn, Reason: o.err}
		f.publishHalts(f.stand)
	}
}

// publishHalts tells Halted and the metric, and logs the entry that is new among them; nil:
// none is.
func (f *Forwarder) publishHalts(fresh *HaltError) {
	var all []*HaltError
	for _, h := range []*HaltError{f.stand, f.park.stand} {
		if h != nil {
			all = append(all, h)
		}
	}
	f.halted.Store(&all)
	f.metrics.halted.Set(float64(min(1, len(all))))
	if fresh != nil {
		f.o.Log.Error("delivery halts at an entry that cannot be decoded; callbacks go on being taken until the budget is used up",
			zap.Uint64("lsn", uint64(fresh.LSN)), zap.Bool("parked", fresh.Parked), zap.Error(fresh.Reason))
	}
}

// wasSkipped reports whether an entry of the main journal was skipped: it is settled.
func (f *Forwarder) wasSkipped(lsn journal.LSN) bool {
	return len(f.skipped) > 0 && slices.Contains(f.skipped, lsn)
}

// limit returns the last entry of the parked journal that may be delivered, or counts as
// settled because nothing of a stash is left. Nobody knows of which topic the entry is at which
// delivery stands, so nothing behind it may pass it.
func (p *parking) limit() journal.LSN {
	if len(p.broken) > 0 {
		return p.broken[0] - 1
	}
	return p.tail
}

// standParked finds out at which parked entry delivery stands now, and why.
func (f *Forwarder) standParked() {
	f.park.stand = nil
	if len(f.park.broken) > 0 {
		f.park.stand = &HaltError{LSN: f.park.broken[0], Parked: true}
		e, done, err := entryAt(f.parked, f.park.broken[0])
		if err == nil {
			o, _ := openParked(e)
			err = o.err
			done()
		}
		f.park.stand.Reason = err
	}
	f.publishHalts(f.park.stand)
}

// stuck reports whether delivery halts and nothing is left that could still go out.
func (f *Forwarder) stuck() bool {
	if len(f.Halted()) == 0 {
		return false
	}
	// Synced is looked at before the reader: an entry must not slip through in between.
	if f.stand == nil && (f.journal.Stats().Unsynced > 0 || f.pick(&f.live) || f.live.failed) {
		return false
	}
	for _, t := range f.order {
		behind := t.parked.count > 0 && t.parked.open() > f.park.limit()
		if !t.idle() || t.parked.count > 0 && !behind {
			return false
		}
		for _, l := range t.lanes {
			if l.lagging && (!behind || t.state != returning) {
				return false
			}
		}
	}
	return true
}

// haltError is what Drain returns when delivery halts.
func (f *Forwarder) haltError() error {
	var errs []error
	for _, h := range f.Halted() {
		errs = append(errs, h)
	}
	return errors.Join(errs...)
}
