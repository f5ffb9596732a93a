package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Retain deletes what is older than days before now, and makes the partitions of the days
// to come, also where days is 0; see Store. A partition goes as a whole once all its rows
// are old; younger than partitionDays, or with a young row among the old, it loses rows.
func (s *postgresStore) Retain(ctx context.Context, days int, now time.Time) (deleted int64, err error) {
	if s.o.ReadOnly {
		return 0, fmt.Errorf("retain: %w", ErrReadOnly)
	}
	if err := s.makePartitions(ctx, now); err != nil {
		return 0, fmt.Errorf("retain: %w", err)
	}
	if days <= 0 {
		return 0, nil
	}
	before := now.AddDate(0, 0, -days)
	parts, err := s.partitions(ctx)
	if err != nil {
		return 0, fmt.Errorf("retain: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		n, err := s.retainPartition(ctx, name, parts[name], before, now)
		deleted += n
		if err != nil {
			return deleted, fmt.Errorf("retain %d days of %s: %w", days, name, err)
		}
	}
	for _, table := range []struct{ name, age string }{
		{defaultPartition, "received_at"}, {"notice", "created_at"}, {"dead_letter", "failed_at"}, {"period", "last_at"},
	} {
		n, err := s.retainRows(ctx, table.name, table.age, before)
		deleted += n
		if err != nil {
			return deleted, fmt.Errorf("retain %d days of %s: %w", days, table.name, err)
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
	for n := int64(retainRows); n == retainRows; deleted += n {
		tag, err := s.pool.Exec(ctx, text, before, retainRows)
		if err != nil {
			return deleted, ended(ctx, err)
		}
		n = tag.RowsAffected()
	}
	return deleted, nil
}
