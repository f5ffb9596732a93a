package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Retain deletes what is older than days before now, and makes the partitions of the days
// to come, also where days is 0; see Store. A partition goes as a whole once all its rows
// are old; younger than partitionDays, or with a young row among the old, it loses rows. The
// first partition that cannot be cleared now ends the partitions' turn, as everybody waits
// behind each try; the other tables are cleared all the same.
func (s *postgresStore) Retain(ctx context.Context, days int, now time.Time) (deleted int64, err error) {
	if s.o.ReadOnly {
		return 0, fmt.Errorf("retain: %w", ErrReadOnly)
	}
	errs := []error{s.makePartitions(ctx, now)}
	if days <= 0 {
		return 0, retainError(days, errs)
	}
	before := now.AddDate(0, 0, -days)
	if errs[0] == nil { // else somebody is in the way, and everybody waits behind each try
		deleted, err = s.retainPartitions(ctx, before, now)
		errs = append(errs, err)
	}
	for _, table := range []struct{ name, age string }{
		{defaultPartition, "received_at"}, {"notice", "created_at"}, {"dead_letter", "failed_at"}, {"period", "last_at"},
	} {
		if ctx.Err() != nil {
			break
		}
		n, err := s.retainRows(ctx, table.name, table.age, before)
		deleted += n
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", table.name, err))
		}
	}
	return deleted, retainError(days, errs)
}

// retainError returns what went wrong, nil where nothing did.
func retainError(days int, errs []error) error {
	err := errors.Join(errs...)
	if err != nil && days > 0 {
		return fmt.Errorf("retain %d days: %w", days, err)
	}
	return err
}

// retainPartitions clears the partitions, as far as the first that cannot be.
func (s *postgresStore) retainPartitions(ctx context.Context, before, now time.Time) (deleted int64, err error) {
	parts, err := s.partitions(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		n, err := s.retainPartition(ctx, name, parts[name], before, now)
		deleted += n
		if err != nil {
			return deleted, fmt.Errorf("%s: %w", name, err)
		}
	}
	return deleted, nil
}

// retainPartition drops a day's partition, or deletes its old rows where it has to stay.
func (s *postgresStore) retainPartition(ctx context.Context, name string, day, before, now time.Time) (deleted int64, err error) {
	if day.Before(dayOf(before)) && day.Before(dayOf(now).AddDate(0, 0, -partitionDays)) {
		rows, dropped, err := s.dropPartition(ctx, name, before)
		if err != nil || dropped {
			return rows, err
		}
	}
	return s.retainRows(ctx, name, "received_at", before)
}

// retainRows deletes rows whose age is before a time, some at a time. Rows that somebody has
// locked are in use, and are passed over.
func (s *postgresStore) retainRows(ctx context.Context, table, age string, before time.Time) (deleted int64, err error) {
	text := fmt.Sprintf("DELETE FROM %[1]s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %[2]s < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
		table, age)
	for n := int64(retainAtOnce); n == retainAtOnce; deleted += n {
		tag, err := s.pool.Exec(ctx, text, before, retainAtOnce)
		if err != nil {
			return deleted, ended(ctx, err)
		}
		n = tag.RowsAffected()
	}
	return deleted, nil
}
