package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// partitionDays is for how many days before and after today there are partitions: as
	// far back as Kafka keeps records unless it is told otherwise, and as far ahead as
	// consumers may be away from the database's locks.
	partitionDays = 7

	// partitionLock bounds the wait for the lock on all of alarm, under which a partition
	// comes or goes, because everybody else waits behind it.
	partitionLock = 2 * time.Second

	defaultPartition = "alarm_default"
)

// partitionOf returns the name of a day's partition.
func partitionOf(day time.Time) string { return "alarm_" + day.Format("20060102") }

// partitions returns the partitions of alarm with the day of each, the default's left out.
func (s *postgresStore) partitions(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.pool.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'alarm'::regclass")
	if err != nil {
		return nil, fmt.Errorf("look for partitions: %w", ended(ctx, err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for partitions: %w", ended(ctx, err))
	}
	days := make(map[string]time.Time, len(names))
	for _, name := range names {
		if day, err := time.Parse("20060102", strings.TrimPrefix(name, "alarm_")); err == nil {
			days[name] = day
		}
	}
	return days, nil
}

// makePartitions makes the partitions of the days around now that have none. Rows of such a
// day are in the default partition, which goes on taking what has no other; they move to
// the new one in the same transaction. Of several consumers one does it.
func (s *postgresStore) makePartitions(ctx context.Context, now time.Time) error {
	have, err := s.partitions(ctx)
	if err != nil {
		return err
	}
	for n := -partitionDays; n <= partitionDays; n++ {
		day := dayOf(now).AddDate(0, 0, n)
		if _, ok := have[partitionOf(day)]; ok {
			continue
		}
		if err := s.makePartition(ctx, day); err != nil {
			return fmt.Errorf("make partition %s: %w", partitionOf(day), err)
		}
	}
	return nil
}

func (s *postgresStore) makePartition(ctx context.Context, day time.Time) error {
	name, next := partitionOf(day), day.AddDate(0, 0, 1)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := s.lockPartitions(ctx, tx); err != nil {
			return err
		}
		var there bool
		// In our schema: search_path can lead to another deployment's.
		const look = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = $2)"
		if err := tx.QueryRow(ctx, look, s.schema, name).Scan(&there); err != nil || there {
			return err // there: another consumer was quicker
		}
		for _, text := range []string{
			"CREATE TABLE " + name + " (LIKE alarm INCLUDING ALL)",
			fmt.Sprintf("WITH moved AS (DELETE FROM %s WHERE event_day = '%s' RETURNING *) INSERT INTO %s SELECT * FROM moved",
				defaultPartition, day.Format(time.DateOnly), name),
			fmt.Sprintf("ALTER TABLE alarm ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')",
				name, day.Format(time.DateOnly), next.Format(time.DateOnly)),
		} {
			if _, err := tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockPartitions holds everybody off alarm and all its partitions until the transaction is
// over, once the transactions at work have ended: nobody who holds it waits for anything
// else.
func (s *postgresStore) lockPartitions(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", fmt.Sprint(partitionLock.Milliseconds())); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE alarm IN ACCESS EXCLUSIVE MODE"); err != nil {
		return fmt.Errorf("wait until nobody uses table alarm: %w", err)
	}
	return nil
}

// dropPartition drops a partition whose rows were all received before a time, and says how
// many there were. One that has a younger row stays.
func (s *postgresStore) dropPartition(ctx context.Context, name string, before time.Time) (rows int64, dropped bool, err error) {
	// Counted before the lock, which then is for milliseconds.
	var young bool
	err = s.pool.QueryRow(ctx, fmt.Sprintf("SELECT count(*), coalesce(max(received_at) >= $1, false) FROM %s", name), before).Scan(&rows, &young)
	if err != nil || young {
		return 0, false, ended(ctx, err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := s.lockPartitions(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE received_at >= $1)", name), before).Scan(&young)
		if err != nil || young {
			return err // young: somebody saved it meanwhile
		}
		_, err = tx.Exec(ctx, "DROP TABLE "+name)
		return err
	})
	if err != nil || young {
		return 0, false, err
	}
	return rows, true, nil
}
