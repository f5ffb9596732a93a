package quarantine

import "errors"

var (
	// ErrLocked is returned by Open when another process has the directory. The caller goes
	// on without a quarantine, or stops.
	ErrLocked = errors.New("quarantine: directory is in use by another process")

	// ErrForeign is returned for a directory with files that are not a quarantine's. Nothing
	// was modified. An operator decides.
	ErrForeign = errors.New("quarantine: foreign directory")

	// ErrVersion is returned when a file is of a version that this release cannot read.
	// Nothing was modified. A newer release is needed.
	ErrVersion = errors.New("quarantine: unknown format version")

	// ErrCorrupt is an item or a header that is not as it was written. What was read before
	// it is good.
	ErrCorrupt = errors.New("quarantine: corrupt item")

	// ErrAdmitting is returned by Admit while another one runs. The caller tries again later.
	ErrAdmitting = errors.New("quarantine: an admit is running already")

	// ErrClosed is returned by Admit after Close began. What it had under way is finished by
	// the next start.
	ErrClosed = errors.New("quarantine: closed")
)
