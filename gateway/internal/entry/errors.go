package entry

import "errors"

var (
	// ErrVersion says that the payload was written in a layout that this release does
	// not know, by a newer one. The caller stops and says that the newer release must
	// read this journal; nothing is wrong with the bytes.
	ErrVersion = errors.New("entry was written by a newer release")

	// ErrCorrupt says that the payload is not one that Append writes. The journal's
	// checksum held, so this is a fault of the program and not of the disk. The caller
	// stops there and says so; it does not pass over the entry.
	ErrCorrupt = errors.New("entry is corrupt")
)
