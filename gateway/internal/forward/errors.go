package forward

import "errors"

// ErrStopped is returned by Drain when Run ended before all was settled. What is left is in the
// journals; another process goes on with it.
var ErrStopped = errors.New("forwarder stopped before all was settled")

// ErrEnvelope means that an entry of the parked journal is not one that this release wrote.
// Delivery halts there: an operator decides.
var ErrEnvelope = errors.New("unknown envelope in the parked journal")

// ErrNotSkippable is returned by Look and Skip for an entry that will be delivered, or was, or
// is not there. Nothing was changed; the error says which entry may be skipped.
var ErrNotSkippable = errors.New("only the entry at which delivery halts, or a parked record that Kafka refuses, can be skipped")
