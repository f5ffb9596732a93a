package quota

import (
	"time"

	"github.com/tidegate/tidegate/schema"
)

// localDate returns the date of at in zone. Dates compare as text.
func localDate(at time.Time, zone *time.Location) string {
	return schema.FormatDate(at.In(zone))
}

// dayEnd returns the first instant of the day after at's in zone. That is midnight, but
// where clocks change at midnight there may be none, or two, and time.Date does not say
// which it takes.
func dayEnd(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(zone).Date()
	today := localDate(at, zone)
	end := time.Date(year, month, day+1, 0, 0, 0, 0, zone)
	if localDate(end, zone) <= today {
		// No midnight: the clock jumps over it, and the jump is the new day's start.
		_, end = end.ZoneBounds()
		return end
	}
	if before := end.Add(-time.Nanosecond); localDate(before, zone) > today {
		// Midnight comes twice, and end is the second: back to the first.
		hour, minute, second := before.Clock()
		since := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
		return before.Truncate(time.Second).Add(-since)
	}
	return end
}
