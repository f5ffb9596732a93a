package store

import (
	"fmt"
	"strconv"
	"time"
)

// The first digits of an alarm id are its time in milliseconds, in hex (schema.AlarmID).
const idTimeDigits = 12

// eventDay returns the day, UTC, whose partition has the alarm: that of its EventTime as
// the vendor sent it, of its receipt where there is none. It is read from the id, which
// begins with that time, and from nothing else: whatever copy of an alarm comes, when and
// enriched by which apps file, it looks in the one partition in which any other copy was
// saved, and (event_day, alarm_id) is unique where alarm_id is. Error: the id is not one of
// schema.AlarmID.
func eventDay(id string) (time.Time, error) {
	if len(id) < idTimeDigits {
		return time.Time{}, fmt.Errorf("alarm id %q is too short: %w", id, ErrData)
	}
	ms, err := strconv.ParseUint(id[:idTimeDigits], 16, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("alarm id %q does not begin with a time: %w", id, ErrData)
	}
	return dayOf(time.UnixMilli(int64(ms))), nil
}

// dayOf returns the beginning of the day, UTC, in which at is.
func dayOf(at time.Time) time.Time {
	const day = 24 * time.Hour
	return at.UTC().Truncate(day)
}
