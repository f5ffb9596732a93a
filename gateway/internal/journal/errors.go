package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is returned by Append when nothing was taken because the budget is used up,
	// the device has no space or takes no writes, or there was no room in a batch. The caller
	// answers 503 "not taken" with Retry-After. Appending resumes by itself.
	ErrFull = errors.New("journal: full")

	// ErrBusy is an ErrFull of the third kind: the device is slower than the appenders. For as
	// long as Append waits, both batches were full, or had only the last tenth left, which is
	// for reserve, or the waiters of the one being filled were sent away. It clears with the
	// next sync.
	ErrBusy = fmt.Errorf("both batches are full: %w", ErrFull)

	// ErrTooLarge is returned by Append when a payload is longer than Options.MaxPayload;
	// nothing was taken. The caller answers 413: it will never fit.
	ErrTooLarge = errors.New("journal: payload too large")

	// ErrClosed is returned by Append and by a Reader after Close began; nothing was taken.
	ErrClosed = errors.New("journal: closed")

	// ErrNotConfirmed is returned by Wait when the level was not reached by the deadline.
	// The entry may still become durable and be delivered, once. The caller answers
	// 503 "not confirmed".
	ErrNotConfirmed = errors.New("journal: not confirmed in time")

	// ErrParked is returned by Wait at level Broker when the entry was settled by being
	// kept aside. The caller answers 503 "not confirmed": it is safe here, not at the broker.
	ErrParked = errors.New("journal: entry was parked")

	// ErrLocked is returned by Open when another process has the directory. The caller stops.
	ErrLocked = errors.New("journal: directory is in use by another process")

	// ErrForeign is returned by Open for a directory, or a file in it, that is not of this
	// journal. Nothing was modified. An operator decides.
	ErrForeign = errors.New("journal: foreign directory")

	// ErrVersion is returned by Open when a file is of a version that this release cannot
	// read. Nothing was modified. A newer release is needed.
	ErrVersion = errors.New("journal: unknown format version")

	// ErrCorrupt is returned by Dump after it skipped entries that cannot be read. The
	// caller shows what it got, and says to run Verify.
	ErrCorrupt = errors.New("journal: corrupt entries")

	// ErrBudget is returned by Open when MaxBytes is smaller than MinBytes. The caller stops.
	ErrBudget = errors.New("journal: budget too small")
)

// The three ways in which a header can be wrong besides its version.
var (
	errMagic = errors.New("magic number is wrong")
	errCRC   = errors.New("checksum is wrong")
	errShape = errors.New("a field contradicts its place in the file")
)
