package store

import (
	"time"

	"github.com/tidegate/tidegate/schema"
)

// Progress is how far a partition was saved.
type Progress struct {
	Topic     string
	Partition int32
	Offset    int64     // of the last record that was saved
	LogEnd    int64     // the partition's end when it was fetched: LogEnd-1-Offset is the lag
	Newest    time.Time // newest Kafka timestamp among all saved records, whole milliseconds
}

// Covers says whether the record was saved before, so that its delivery is not counted
// again: its offset is not beyond the saved one.
//
// A topic that was deleted and made again begins at offset 0 once more, and its records
// would look as if they had been saved. What tells them apart is Kafka's timestamp: of
// all records that were saved none is newer than Newest, so a newer one is of a new
// topic, whatever its offset. (Where producers' clocks are behind those of the old
// topic's, deliveries go uncounted until they have caught up; nothing else depends on
// it.)
func (p Progress) Covers(r *schema.Record) bool {
	return r.Offset <= p.Offset && !recordTime(r.Time).After(recordTime(p.Newest))
}

// after returns the progress to save when next was reached from p: next, unless it was
// covered, as a whole batch that is redelivered is. Newest never goes back: it is what
// Covers relies on.
func (p Progress) after(next Progress) Progress {
	next.Newest = recordTime(next.Newest)
	again := next.Newest.After(p.Newest) // beyond all that was saved: also if its offset is lower
	if next.Offset <= p.Offset && !again {
		next.Offset = p.Offset
		next.LogEnd = max(p.LogEnd, next.LogEnd) // a late owner fetched it long ago
	}
	if !again {
		next.Newest = p.Newest
	}
	return next
}

// The times of records that are told apart: whole milliseconds of the years 1 to 9999. Kafka
// takes any number from a producer, PostgreSQL's times end with the year 294276, and a
// partition must not stand still for what cannot be written.
var (
	earliestRecord time.Time
	latestRecord   = time.Date(9999, time.December, 31, 23, 59, 59, 999e6, time.UTC)
)

// recordTime returns a record's time as progress has it: one beyond the bounds is taken for
// the bound.
func recordTime(at time.Time) time.Time {
	switch at = time.UnixMilli(at.UnixMilli()).UTC(); {
	case at.Before(earliestRecord):
		return earliestRecord
	case at.After(latestRecord):
		return latestRecord
	}
	return at
}
