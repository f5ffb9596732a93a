package main

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// absorber is the journal as the receiver has it, and remembers for /readyz whether it was
// full. It adds an atomic load to an append that is taken.
type absorber struct {
	*journal.Journal
	reserve  fullness // what the last tenth refuses: nothing more is taken, not even an alarm
	ordinary fullness // what is refused everything but the last tenth
}

// Append is Journal.Append.
func (a *absorber) Append(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error) {
	ticket, err := a.Journal.Append(reserve, fill)
	a.note(reserve, err)
	return ticket, err
}

// TryAppend is Journal.TryAppend.
func (a *absorber) TryAppend(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error) {
	ticket, err := a.Journal.TryAppend(reserve, fill)
	a.note(reserve, err)
	return ticket, err
}

func (a *absorber) note(reserve bool, err error) {
	if reserve {
		a.reserve.note(err)
	} else {
		a.ordinary.note(err)
	}
}

// HasRoom is Journal.HasRoom: a large callback is refused by it before it comes to an append.
func (a *absorber) HasRoom(reserve bool) bool {
	if a.Journal.HasRoom(reserve) {
		return true
	}
	if reserve {
		a.reserve.note(journal.ErrFull)
	} else {
		a.ordinary.note(journal.ErrFull)
	}
	return false
}

// fullness says whether a journal has no room, by what its appends were told. The journal's
// size alone does not say: delivered callbacks that are only kept make room when it is
// needed.
type fullness struct {
	last atomic.Uint32 // what became of the last append since the last look: nothing, taken, refused

	mu      sync.Mutex // guards the rest
	full    bool
	settled journal.LSN // at the look that saw the last refusal
	limit   int64       // the budget then
}

// What became of an append.
const (
	nothing uint32 = iota
	taken
	refused // for want of room
)

// note takes over the result of an append. A device that is merely slow is not full.
func (f *fullness) note(err error) {
	switch {
	case err == nil:
		if f.last.Load() != taken {
			f.last.Store(taken)
		}
	case errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrBusy):
		f.last.Store(refused)
	}
}

// look says whether there was no room at the last append, and neither was anything delivered nor
// the budget changed since: a gateway that is not ready gets no callbacks by which it could find
// out.
func (f *fullness) look(settled journal.LSN, limit int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.last.Swap(nothing) {
	case refused:
		f.full, f.settled, f.limit = true, settled, limit
	case taken:
		f.full = false
	default:
		f.full = f.full && settled == f.settled && limit == f.limit
	}
	return f.full
}
