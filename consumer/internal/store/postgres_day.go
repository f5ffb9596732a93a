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

// mostNamedDays is how many days a statement names in its text; more are an argument. See
// queueOnDays.
const mostNamedDays = 3

// planAnew has the server plan each later statement of this transaction for its actual
// arguments, Save's included, whatever plan_cache_mode the session has.
const planAnew = "SET LOCAL plan_cache_mode = force_custom_plan"

// queueOnDays queues a statement whose %s stands for the days of its rows; args are its other
// arguments. Only the partitions of those days are planned, opened and locked.
//
// If the days were always an argument, the server would, after a few large batches, keep one
// plan for any days. It locks every partition (two hundred locks a batch at 90 days) and waits
// for whoever works on an old one. So up to mostNamedDays days are constants, and a plan that is
// kept is for those days only. Each set of days is a statement of its own, prepared once per
// connection; usually there are few sets, and the driver keeps the last 512 statements. For more
// days the server is told to plan anew.
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
