package quota

import "time"

// PeriodEnd returns when the period of an alarm of that time is over at the latest: the
// first instant of the app's next day. The vendor's own day may end at another time; then
// the next alarm opens another period, and what is still true is told anew.
func PeriodEnd(at time.Time, zone *time.Location) time.Time { return dayEnd(at, zone) }
