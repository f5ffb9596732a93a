package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

var _ Outbox = (*sqliteStore)(nil)

// The statements of Outbox. They run a few times a second at most, so they are not
// prepared.
const (
	selectUnrouted = `SELECT seq, app_id, period, kind, step, count, alarm, created_at
		FROM notice WHERE routed_at IS NULL ORDER BY seq LIMIT ?`

	// insertDispatches takes the channels as a JSON array.
	insertDispatches = `INSERT INTO dispatch (notice_seq, channel, app_id, period, state, attempts, next_at, error, changed_at)
		SELECT n.seq, c.value, n.app_id, n.period, 'pending', 0, ?, '', ? FROM notice AS n CROSS JOIN json_each(?) AS c WHERE n.seq = ?
		ON CONFLICT (notice_seq, channel) DO NOTHING`

	updateLease = `INSERT INTO channel_lease (channel, owner, until) VALUES (?1, ?2, ?3)
		ON CONFLICT (channel) DO UPDATE SET owner = ?2, until = ?3 WHERE owner = ?2 OR until <= ?4 OR until > ?5`

	bringNear = `UPDATE dispatch SET next_at = ? WHERE channel = ? AND state = 'pending' AND next_at > ?`

	dispatchColumns = `d.seq, d.channel, d.state, d.attempts, d.next_at, d.error, d.changed_at,
		n.app_id, n.period, n.kind, n.step, n.count, n.alarm, n.created_at`
	dispatchTable = `dispatch AS d JOIN notice AS n ON n.seq = d.notice_seq`

	selectDue = `SELECT ` + dispatchColumns + ` FROM ` + dispatchTable + `
		WHERE d.channel = ?1 AND d.state = 'pending' AND d.next_at <= ?2 AND NOT EXISTS (
			SELECT 1 FROM dispatch AS e WHERE e.channel = d.channel AND e.app_id = d.app_id
				AND e.state = 'pending' AND e.seq < d.seq AND e.next_at > ?2)
		ORDER BY d.next_at, d.seq LIMIT ?3`

	selectMessages = `SELECT DISTINCT changed_at FROM dispatch
		WHERE channel = ? AND changed_at > ? AND changed_at <= ? AND (state = 'sent' OR attempts > 0) ORDER BY changed_at`

	selectKept = `SELECT ` + dispatchColumns + ` FROM ` + dispatchTable + `
		WHERE d.channel = ? AND d.kept_until > ? ORDER BY d.seq`

	updateSent = `UPDATE dispatch SET state = 'sent', kept_until = ?, changed_at = ? WHERE seq = ? AND state = 'pending'`

	updateFailed = `UPDATE dispatch SET attempts = attempts + 1, state = ?, next_at = ?, error = ?, changed_at = ?
		WHERE seq = ? AND state = 'pending'`

	endKept = `UPDATE dispatch SET kept_until = NULL FROM dispatch AS r
		WHERE r.seq = ? AND dispatch.kept_until IS NOT NULL
			AND dispatch.channel = r.channel AND dispatch.app_id = r.app_id AND dispatch.period = r.period`

	updateResent = `UPDATE dispatch SET state = 'pending', attempts = 0, next_at = ?1, changed_at = ?1
		WHERE state = 'parked' AND seq IN (SELECT value FROM json_each(?2))`

	parkAbandoned = `UPDATE dispatch SET state = 'parked', error = 'no consumer has this channel any more', changed_at = ?
		WHERE state = 'pending' AND next_at < ? AND channel NOT IN (SELECT value FROM json_each(?))`

	selectOldestPending = `SELECT min(at) FROM (
		SELECT min(created_at) AS at FROM notice WHERE routed_at IS NULL
		UNION ALL
		SELECT min(n.created_at) FROM dispatch AS d JOIN notice AS n ON n.seq = d.notice_seq WHERE d.state = 'pending') AS waiting`
)

// Unrouted returns notices that were not given to channels; see Outbox.
func (s *sqliteStore) Unrouted(ctx context.Context, limit int) ([]Unrouted, error) {
	return collect(ctx, s.read, "unrouted notices", selectUnrouted, []any{limit}, func(rows *sql.Rows) (u Unrouted, err error) {
		u.Notice, err = scanNotice(after(rows, &u.ID))
		return u, err
	})
}

// after returns rows whose Scan reads first into dest, and then what it is asked for.
func after(rows scanner, dest ...any) scanner { return prefixed{rows, dest} }

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

type prefixed struct {
	scanner
	first []any
}

// Scan reads the first columns and those of dest.
func (p prefixed) Scan(dest ...any) error {
	return p.scanner.Scan(append(p.first[:len(p.first):len(p.first)], dest...)...)
}

// Route gives notices to channels; see Outbox.
func (s *sqliteStore) Route(ctx context.Context, routes []Route, now time.Time) (routed int, err error) {
	err = s.change(ctx, "route notices", func(tx *sql.Tx) error {
		for _, r := range routes {
			n, err := changed(tx.ExecContext(ctx, "UPDATE notice SET routed_at = ? WHERE seq = ? AND routed_at IS NULL", now.UnixMilli(), r.NoticeID))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			routed++
			if len(r.Channels) == 0 {
				continue
			}
			channels, err := json.Marshal(r.Channels)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, insertDispatches, now.UnixMilli(), now.UnixMilli(), string(channels), r.NoticeID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return routed, nil
}

// Claim takes or prolongs the lease and returns what is due; see Outbox. While less than
// half of the lease is used up, nothing is written.
func (s *sqliteStore) Claim(ctx context.Context, c Claim) (due []Dispatch, held bool, err error) {
	var owner string
	var until int64
	err = s.read.QueryRowContext(ctx, "SELECT owner, until FROM channel_lease WHERE channel = ?", c.Channel).Scan(&owner, &until)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, false, fmt.Errorf("read the lease of channel %s: %w", c.Channel, classify(err))
	}
	now := c.Now.UnixMilli()
	if owner != c.Owner && until > now && until <= c.latestLease().UnixMilli() {
		return nil, false, nil
	}
	if owner != c.Owner || until < c.Now.Add(c.TTL/2).UnixMilli() || until > c.Now.Add(c.TTL).UnixMilli() {
		err := s.change(ctx, "take the lease of channel "+c.Channel, func(tx *sql.Tx) error {
			n, err := changed(tx.ExecContext(ctx, updateLease, c.Channel, c.Owner, c.Now.Add(c.TTL).UnixMilli(), now, c.latestLease().UnixMilli()))
			if held = n > 0; err != nil || !held {
				return err
			}
			_, err = tx.ExecContext(ctx, bringNear, now, c.Channel, c.Now.Add(longestWait).UnixMilli())
			return err
		})
		if err != nil || !held {
			return nil, false, err
		}
	}
	due, err = collect(ctx, s.read, "due notices", selectDue, []any{c.Channel, now, c.Limit}, scanDispatch)
	return due, err == nil, err
}

// Release gives the lease up; see Outbox.
func (s *sqliteStore) Release(ctx context.Context, channel, owner string) error {
	return s.change(ctx, "give up the lease of channel "+channel, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM channel_lease WHERE channel = ? AND owner = ?", channel, owner)
		return err
	})
}

// Settle says what became of dispatches; see Outbox.
func (s *sqliteStore) Settle(ctx context.Context, settled []Settlement, now time.Time) error {
	return s.change(ctx, "settle notices", func(tx *sql.Tx) error {
		for i := range settled {
			if err := settle(ctx, tx, &settled[i], now.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

func settle(ctx context.Context, tx *sql.Tx, d *Settlement, now int64) error {
	if d.State != DispatchSent {
		_, err := tx.ExecContext(ctx, updateFailed, string(d.State), d.NextAt.UnixMilli(), d.Error, now, d.ID)
		return err
	}
	if _, err := tx.ExecContext(ctx, updateSent, timeOrNull(d.KeptUntil), now, d.ID); err != nil || !d.EndsKept {
		return err
	}
	_, err := tx.ExecContext(ctx, endKept, d.ID)
	return err
}

// Messages returns when the channel was sent to; see Outbox.
func (s *sqliteStore) Messages(ctx context.Context, channel string, since, now time.Time) ([]time.Time, error) {
	args := []any{channel, since.UnixMilli(), now.UnixMilli()}
	return collect(ctx, s.read, "times of messages", selectMessages, args, func(rows *sql.Rows) (time.Time, error) {
		var at int64
		err := rows.Scan(&at)
		return time.UnixMilli(at).UTC(), err
	})
}

// Kept returns what is to be repeated; see Outbox.
func (s *sqliteStore) Kept(ctx context.Context, channel string, now time.Time) ([]Dispatch, error) {
	return collect(ctx, s.read, "kept notices", selectKept, []any{channel, now.UnixMilli()}, scanDispatch)
}

// Resend makes parked dispatches pending again; see Outbox.
func (s *sqliteStore) Resend(ctx context.Context, ids []int64, now time.Time) (resent int, err error) {
	list, err := json.Marshal(append([]int64{}, ids...)) // an empty list, not null
	if err != nil {
		return 0, err
	}
	err = s.change(ctx, "send notices again", func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, updateResent, now.UnixMilli(), string(list)))
		resent = int(n)
		return err
	})
	return resent, err
}

// Abandon parks what nobody takes any more; see Outbox.
func (s *sqliteStore) Abandon(ctx context.Context, channels []string, before, now time.Time) (parked int, err error) {
	list, err := json.Marshal(append([]string{}, channels...)) // an empty list, not null
	if err != nil {
		return 0, err
	}
	err = s.change(ctx, "park abandoned notices", func(tx *sql.Tx) error {
		n, err := changed(tx.ExecContext(ctx, parkAbandoned, now.UnixMilli(), before.UnixMilli(), string(list)))
		parked = int(n)
		return err
	})
	return parked, err
}

// OldestPending returns the age of what waits; see Outbox.
func (s *sqliteStore) OldestPending(ctx context.Context) (time.Time, error) {
	var at sql.NullInt64
	if err := s.read.QueryRowContext(ctx, selectOldestPending).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("look for the oldest notice: %w", classify(err))
	}
	return optionalTime(at), nil
}

// Dispatches yields dispatches; see Outbox.
func (s *sqliteStore) Dispatches(ctx context.Context, f DispatchFilter) iter.Seq2[Dispatch, error] {
	return query(ctx, s.read, f.selection(func(at time.Time) any { return at.UnixMilli() }), scanDispatch)
}

// selection returns the SELECT of dispatchColumns. written returns a time as it stands in
// the table.
func (f *DispatchFilter) selection(written func(time.Time) any) selection {
	s := selection{columns: dispatchColumns, table: dispatchTable, order: "d.seq DESC", limit: f.Limit}
	and(&s, "d.seq", f.ID)
	and(&s, "d.channel", f.Channel)
	and(&s, "d.state", string(f.State))
	and(&s, "d.app_id", f.AppID)
	if !f.From.IsZero() {
		s.when("n.created_at >= ?", written(f.From))
	}
	if !f.Until.IsZero() {
		s.when("n.created_at <= ?", written(f.Until))
	}
	return s
}

// scanDispatch reads dispatchColumns.
func scanDispatch(rows *sql.Rows) (d Dispatch, err error) {
	var next, changedAt int64
	n, err := scanNotice(after(rows, &d.ID, &d.Channel, &d.State, &d.Attempts, &next, &d.Error, &changedAt))
	d.Notice, d.CreatedAt = n.Notice, n.CreatedAt
	d.NextAt, d.ChangedAt = time.UnixMilli(next).UTC(), time.UnixMilli(changedAt).UTC()
	return d, err
}

// change runs a transaction on the only writing connection. what stands in its errors.
func (s *sqliteStore) change(ctx context.Context, what string, run func(*sql.Tx) error) error {
	if s.write == nil {
		return fmt.Errorf("%s: %w", what, ErrReadOnly)
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, classify(err))
	}
	defer func() { _ = tx.Rollback() }()
	if err := run(tx); err != nil {
		return fmt.Errorf("%s: %w", what, classify(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: commit: %w", what, classify(err))
	}
	return nil
}

// changed returns how many rows a statement changed.
func changed(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, db *sql.DB, what, text string, args []any, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	defer func() {
		if err != nil {
			all, err = nil, fmt.Errorf("read %s: %w", what, classify(err))
		}
	}()
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
