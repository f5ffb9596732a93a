package reload

import "errors"

// ErrTooLarge is a file of more than MaxBytes. At start the process does not begin; at
// reload the last good value stays.
var ErrTooLarge = errors.New("file is too large")
