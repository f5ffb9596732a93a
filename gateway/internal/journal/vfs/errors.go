package vfs

import "errors"

var (
	// ErrLocked is returned by Lock when the file is locked already. The caller gives up.
	ErrLocked = errors.New("vfs: file is locked")

	// ErrPowerLost is returned by every operation of a Mem whose power was cut, and by
	// handles from before a Restart or Revive. Only tests see it.
	ErrPowerLost = errors.New("vfs: power lost")
)
