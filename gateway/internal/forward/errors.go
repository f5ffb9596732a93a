package forward

import "errors"

// ErrStopped is returned by Drain when Run ended before all was settled. What is left is in the
// journals; another process goes on with it.
var ErrStopped = errors.New("forwarder stopped before all was settled")

// ErrEnvelope means that an entry of the parked journal is not one that this release wrote. Run
// ends with it: an operator decides.
var ErrEnvelope = errors.New("unknown envelope in the parked journal")
