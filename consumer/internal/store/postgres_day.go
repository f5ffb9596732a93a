package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
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

// daysOf returns the distinct days of ids, and the ids that have a day (no row has any other),
// each beside its own day. The days are sorted.
func daysOf(ids []string) (days, dayOfEach []time.Time, valid []string) {
	for _, id := range ids {
		day, err := eventDay(id)
		if err != nil {
			continue
		}
		dayOfEach, valid = append(dayOfEach, day), append(valid, id)
		if !slices.ContainsFunc(days, day.Equal) {
			days = append(days, day)
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	return days, dayOfEach, valid
}

// A statement on rows of mostNamedDays days names them in its text; see queueOnDays.
const mostNamedDays = 3

// planAnew has the server plan every statement of the transaction for the values that it has.
const planAnew = "SET LOCAL plan_cache_mode = force_custom_plan"

// queueOnDays queues a statement that has %s for the days of the rows that it is about, and args
// before that. So only the partitions of those days are planned, opened and locked. A plan that
// the server keeps would lock all that there are, at 90 days two hundred locks a batch, and wait for
// whoever works on an old one; and after a few large batches it keeps one, if the days are an
// argument. So a few days are constants, of which it may keep plans: there are not many of them. Of
// more it makes one anew.
func queueOnDays(b *pgx.Batch, statement string, days []time.Time, args ...any) *pgx.QueuedQuery {
	if len(days) > mostNamedDays {
		b.Queue(planAnew)
		args = append(args, days)
		return b.Queue(fmt.Sprintf(statement, fmt.Sprintf("$%d::date[]", len(args))), args...)
	}
	names := make([]string, len(days))
	for i, day := range days {
		names[i] = day.Format(time.DateOnly)
	}
	return b.Queue(fmt.Sprintf(statement, "'{"+strings.Join(names, ",")+"}'::date[]"), args...)
}
