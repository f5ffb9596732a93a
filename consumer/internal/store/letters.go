package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"go.uber.org/zap"
)

// DeadLetters yields dead letters; see Store.
func (s *sqliteStore) DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter, error] {
	selected := f.selection("seq, app_id, reason, message, consumer, topic, partition, offset, record_time, key, key IS NULL, "+
		"value, value IS NULL, headers, failed_at, replayed_at, published_at",
		func(at time.Time) any { return at.UnixMilli() })
	return query(ctx, s.read, selected, scanDeadLetter)
}

// selection returns the SELECT of the columns. written returns a time as it stands in the
// table.
func (f *DeadLetterFilter) selection(columns string, written func(time.Time) any) selection {
	s := selection{columns: columns, table: "dead_letter", order: "seq DESC", limit: f.Limit}
	if f.Order == OldestFirst {
		s.order = "seq"
	}
	and(&s, "seq", f.ID)
	and(&s, "app_id", f.AppID)
	and(&s, "reason", string(f.Reason))
	if !f.From.IsZero() {
		s.when("failed_at >= ?", written(f.From))
	}
	if !f.Until.IsZero() {
		s.when("failed_at <= ?", written(f.Until))
	}
	if f.After != 0 {
		s.when("seq > ?", f.After)
	}
	switch f.State {
	case DeadLettersOpen:
		s.when("replayed_at IS NULL")
	case DeadLettersUnpublished:
		s.when("replayed_at IS NOT NULL AND published_at IS NULL")
	case DeadLettersAll:
	}
	return s
}

func scanDeadLetter(rows *sql.Rows) (d DeadLetter, err error) {
	var headers []byte
	var recorded, failed int64
	var replayed, published sql.NullInt64
	var noKey, noValue bool
	r := &d.Record
	err = rows.Scan(&d.ID, &d.AppID, &d.Reason, &d.Message, &d.Group, &r.Topic, &r.Partition, &r.Offset, &recorded,
		&r.Key, &noKey, &r.Value, &noValue, &headers, &failed, &replayed, &published)
	if err != nil {
		return d, err
	}
	r.Key, r.Value = orNull(r.Key, noKey), orNull(r.Value, noValue)
	r.Time = time.UnixMilli(recorded).UTC()
	d.FailedAt = time.UnixMilli(failed).UTC()
	d.ReplayedAt, d.PublishedAt = optionalTime(replayed), optionalTime(published)
	r.Headers, err = parseHeaders(headers)
	return d, err
}

// MarkPublished notes that Kafka has what the letters published; see Store.
func (s *sqliteStore) MarkPublished(ctx context.Context, ids []int64) error {
	if s.write == nil {
		return fmt.Errorf("mark published: %w", ErrReadOnly)
	}
	if len(ids) == 0 {
		return nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	if _, err := s.write.ExecContext(ctx, updatePublished, s.o.Now().UnixMilli(), string(list)); err != nil {
		return fmt.Errorf("mark %d dead letters published: %w", len(ids), err)
	}
	return nil
}

// allClosed says whether as many dead letters were closed as were to be. Error: ErrReplayed.
func allClosed(closed int64, ids []int64) error {
	if want := int64(len(ids)); closed != want {
		return fmt.Errorf("%d of %d: %w", want-closed, want, ErrReplayed)
	}
	return nil
}

// logEvicted says that dead letters were dropped.
func (o *Options) logEvicted(dropped int64) {
	if dropped > 0 {
		o.Log.Warn("dropped the oldest dead letters to stay within the bound",
			zap.Int64("dropped", dropped), zap.Int64("limit_bytes", o.DeadLetterBytes))
	}
}
