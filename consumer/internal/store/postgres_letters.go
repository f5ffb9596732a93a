package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// updatePostgresReplayed closes dead letters. Its rows can be locked by retention, by an
	// eviction, or by the end of another replay, none of which waits for a partition or an
	// app while it holds them. A consumer that saves the same record once more would wait
	// for the row; but it waits for the partition before.
	updatePostgresReplayed = `UPDATE dead_letter SET replayed_at = $1 WHERE seq = ANY($2::bigint[]) AND replayed_at IS NULL`

	// updatePostgresPublished locks its rows in their order: two replays publish what one
	// left behind.
	updatePostgresPublished = `UPDATE dead_letter SET published_at = $1
		FROM (SELECT seq FROM dead_letter WHERE seq = ANY($2::bigint[]) AND replayed_at IS NOT NULL AND published_at IS NULL
			ORDER BY seq FOR UPDATE) AS theirs
		WHERE dead_letter.seq = theirs.seq`
)

// DeadLetters yields dead letters; see Store.
func (s *postgresStore) DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter, error] {
	selected := f.selection(`seq, app_id, reason, message, consumer, topic, partition, "offset", record_time, key, value, headers, `+
		"failed_at, replayed_at, published_at",
		func(at time.Time) any { return wholeMillis(at) })
	return queryPostgres(ctx, s, selected, scanPostgresLetter)
}

func scanPostgresLetter(rows pgx.Rows) (d DeadLetter, err error) {
	var headers []byte
	var replayed, published *time.Time
	r := &d.Record
	err = rows.Scan(&d.ID, &d.AppID, &d.Reason, &d.Message, &d.Group, &r.Topic, &r.Partition, &r.Offset, &r.Time,
		&r.Key, &r.Value, &headers, &d.FailedAt, &replayed, &published)
	if err != nil {
		return d, err
	}
	d.Message, d.Group, r.Topic = originalText(d.Message), originalText(d.Group), originalText(r.Topic)
	r.Time, d.FailedAt = r.Time.UTC(), d.FailedAt.UTC()
	d.ReplayedAt, d.PublishedAt = timeOf(replayed), timeOf(published)
	r.Headers, err = parseHeaders(headers)
	return d, err
}

// MarkPublished notes that Kafka has what the letters published; see Store.
func (s *postgresStore) MarkPublished(ctx context.Context, ids []int64) error {
	if s.o.ReadOnly {
		return fmt.Errorf("mark published: %w", ErrReadOnly)
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := s.pool.Exec(ctx, updatePostgresPublished, wholeMillis(s.o.Now()), ids); err != nil {
		return fmt.Errorf("mark %d dead letters published: %w", len(ids), ended(ctx, err))
	}
	return nil
}

// closeReplayed closes the dead letters that were replayed, all or none: two replays of one
// letter must not both count. Errors: ErrReplayed.
func (t *postgresTx) closeReplayed(ctx context.Context, ids []int64) error {
	tag, err := t.conn.Exec(ctx, updatePostgresReplayed, wholeMillis(t.s.o.Now()), ids)
	if err != nil {
		return err
	}
	return allClosed(tag.RowsAffected(), ids)
}
