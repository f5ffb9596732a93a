package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"
)

// selection is a SELECT.
type selection struct {
	columns string
	table   string
	order   string // columns, each with its direction
	where   []string
	args    []any
	limit   int // 0: no limit
}

// and adds a condition, unless value is the zero value, which selects all.
func and[T comparable](s *selection, column string, value T) {
	var all T
	if value != all {
		s.where = append(s.where, column+" = ?")
		s.args = append(s.args, value)
	}
}

// when adds a condition, with what stands in the place of its question marks.
func (s *selection) when(condition string, args ...any) {
	s.where = append(s.where, condition)
	s.args = append(s.args, args...)
}

// text returns the statement.
func (s *selection) text() string {
	text := "SELECT " + s.columns + " FROM " + s.table
	if len(s.where) > 0 {
		text += " WHERE " + strings.Join(s.where, " AND ")
	}
	text += " ORDER BY " + s.order
	if s.limit > 0 {
		text += fmt.Sprintf(" LIMIT %d", s.limit)
	}
	return text
}

// query yields the rows of a selection, read by scan, until an error, the end of ctx, or
// the caller has enough.
func query[T any](ctx context.Context, db *sql.DB, s selection, scan func(*sql.Rows) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		fail := func(err error) {
			var none T
			yield(none, fmt.Errorf("read %s: %w", s.table, err))
		}
		rows, err := db.QueryContext(ctx, s.text(), s.args...)
		if err != nil {
			fail(err)
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			row, err := scan(rows)
			if err != nil {
				fail(err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}

// Alarms yields saved alarms; see Store.
func (s *sqliteStore) Alarms(ctx context.Context, f AlarmFilter) iter.Seq2[Alarm, error] {
	selected := selection{
		columns: "event, vendor_time, deliveries",
		table:   "alarm",
		order:   "received_at DESC, seq DESC",
		limit:   f.Limit,
	}
	and(&selected, "app_id", f.AppID)
	return query(ctx, s.read, selected, scanAlarm)
}

// scanAlarm reads the event from its bytes: they are what was published, and the columns
// beside them say no more.
func scanAlarm(rows *sql.Rows) (a Alarm, err error) {
	var vendor sql.NullInt64
	if err := rows.Scan(&a.EventBytes, &vendor, &a.Deliveries); err != nil {
		return a, err
	}
	a.VendorTime = optionalTime(vendor)
	if err := json.Unmarshal(a.EventBytes, &a.Event); err != nil {
		return a, fmt.Errorf("decode event: %w", err)
	}
	return a, nil
}

// Notices yields notices; see Store.
func (s *sqliteStore) Notices(ctx context.Context, f NoticeFilter) iter.Seq2[Notice, error] {
	selected := selection{
		columns: "app_id, period, kind, step, count, alarm, created_at",
		table:   "notice",
		order:   "seq DESC",
		limit:   f.Limit,
	}
	and(&selected, "app_id", f.AppID)
	return query(ctx, s.read, selected, func(rows *sql.Rows) (Notice, error) { return scanNotice(rows) })
}

func scanNotice(rows scanner) (n Notice, err error) {
	var alarm sql.RawBytes
	var created int64
	if err := rows.Scan(&n.AppID, &n.Period, &n.Kind, &n.Step, &n.Count, &alarm, &created); err != nil {
		return n, err
	}
	n.CreatedAt = time.UnixMilli(created).UTC()
	if err := json.Unmarshal(alarm, &n.Alarm); err != nil {
		return n, fmt.Errorf("decode alarm of notice: %w", err)
	}
	return n, nil
}

// orNull returns a column's bytes: null and empty are two things in Kafka, but not in what
// the driver reads.
func orNull(b []byte, null bool) []byte {
	if b == nil && !null {
		return []byte{}
	}
	return b
}

// optionalTime returns the time of a column that can be null, then the zero time.
func optionalTime(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// Begun looks for the topic's progress; see Store.
func (s *sqliteStore) Begun(ctx context.Context, topic string) (begun bool, err error) {
	err = s.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM progress WHERE topic = ?)", topic).Scan(&begun)
	if err != nil {
		return false, fmt.Errorf("look for the progress of %s: %w", topic, err)
	}
	return begun, nil
}
