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
	if reserve {
		a.reserve.note(err)
	} else {
		a.ordinary.note(err)
	}
	return ticket, err
}

// fullness says whether a journal has no room, by what its appends were told. The journal's
// size alone does not say: delivered callbacks that are only kept make room when it is
// needed.
type fullness struct {
	taken   atomic.Bool // an append was taken since the last look
	refused atomic.Bool // one was refused for want of room

	mu      sync.Mutex // guards the rest
	full    bool
	settled journal.LSN // at the look that saw the last refusal
}

// note takes over the result of an append. A device that is merely slow is not full.
func (f *fullness) note(err error) {
	switch {
	case err == nil:
		if !f.taken.Load() {
			f.taken.Store(true)
		}
	case errors.Is(err, journal.ErrFull) && !errors.Is(err, journal.ErrBusy):
		f.refused.Store(true)
	}
}

// look says whether there was no room at the last append, and nothing was delivered since:
// a gateway that is not ready gets no callbacks by which it could find out.
func (f *fullness) look(settled journal.LSN) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken, refused := f.taken.Swap(false), f.refused.Swap(false)
	switch {
	case refused:
		f.full, f.settled = true, settled
	case taken || settled > f.settled:
		f.full = false
	}
	return f.full
}
