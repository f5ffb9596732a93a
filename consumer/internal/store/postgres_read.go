package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// numbered returns a statement with PostgreSQL's $1, $2 in place of question marks.
func numbered(text string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, rest, found := strings.Cut(text, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		text = rest
	}
}

// queryPostgres yields the rows of a selection, read by scan, until an error, the end of
// ctx, or the caller has enough, whereupon the server is told so.
func queryPostgres[T any](ctx context.Context, s *postgresStore, selected selection, scan func(pgx.Rows) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		fail := func(err error) {
			var none T
			yield(none, fmt.Errorf("read %s: %w", selected.table, ended(ctx, err)))
		}
		statement, enough := context.WithCancel(ctx)
		defer enough()
		rows, err := s.pool.Query(statement, numbered(selected.text()), selected.args...)
		if err != nil {
			fail(err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			row, err := scan(rows)
			if err == nil && yield(row, nil) {
				continue
			}
			enough() // or closing would read all other rows first
			if err != nil {
				fail(err)
			}
			return
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}

// Alarms yields saved alarms; see Store.
func (s *postgresStore) Alarms(ctx context.Context, f AlarmFilter) iter.Seq2[Alarm, error] {
	selected := selection{
		columns: "event, vendor_time, deliveries",
		table:   "alarm",
		order:   "received_at DESC, seq DESC",
		limit:   f.Limit,
	}
	and(&selected, "app_id", f.AppID)
	return queryPostgres(ctx, s, selected, func(rows pgx.Rows) (a Alarm, err error) {
		var vendor *time.Time
		if err := rows.Scan(&a.EventBytes, &vendor, &a.Deliveries); err != nil {
			return a, err
		}
		a.VendorTime = timeOf(vendor)
		if err := json.Unmarshal(a.EventBytes, &a.Event); err != nil {
			return a, fmt.Errorf("decode event: %w", err)
		}
		return a, nil
	})
}

// Notices yields notices; see Store.
func (s *postgresStore) Notices(ctx context.Context, f NoticeFilter) iter.Seq2[Notice, error] {
	selected := selection{
		columns: "app_id, period, kind, step, count, alarm, created_at",
		table:   "notice",
		order:   "seq DESC",
		limit:   f.Limit,
	}
	and(&selected, "app_id", f.AppID)
	return queryPostgres(ctx, s, selected, func(rows pgx.Rows) (Notice, error) { return scanPostgresNotice(rows) })
}

// scanPostgresNotice reads the columns of a notice, behind those of first.
func scanPostgresNotice(rows pgx.Rows, first ...any) (n Notice, err error) {
	var alarm []byte
	if err := rows.Scan(append(first, &n.AppID, &n.Period, &n.Kind, &n.Step, &n.Count, &alarm, &n.CreatedAt)...); err != nil {
		return n, err
	}
	n.Period, n.CreatedAt = originalText(n.Period), n.CreatedAt.UTC()
	if err := json.Unmarshal(alarm, &n.Alarm); err != nil {
		return n, fmt.Errorf("decode alarm of notice: %w", err)
	}
	return n, nil
}

// timeOf returns the time of a column that can be null, then the zero time.
func timeOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}

// Begun looks for the topic's progress; see Store.
func (s *postgresStore) Begun(ctx context.Context, topic string) (begun bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM progress WHERE topic = $1)", postgresText(topic)).Scan(&begun)
	if err != nil {
		return false, fmt.Errorf("look for the progress of %s: %w", topic, ended(ctx, err))
	}
	return begun, nil
}
