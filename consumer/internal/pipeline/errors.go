package pipeline

import "errors"

// errPanicked means that the rules panicked on a batch. It is halved; on a batch of one
// the record becomes a dead letter (panic).
var errPanicked = errors.New("panic")

// errCrash marks what Options.After returned, which ends Handle at once.
var errCrash = errors.New("stopped by Options.After")

// errUnreadable means that the stored bytes of an event cannot be read back, so that its
// headers cannot be made again. The record becomes a dead letter (store_refused): a
// person must look at the row.
var errUnreadable = errors.New("stored event cannot be read")
