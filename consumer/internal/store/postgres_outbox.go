package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

var _ Outbox = (*postgresStore)(nil)

const (
	selectPostgresUnrouted = `SELECT seq, app_id, period, kind, step, count, alarm, created_at
		FROM notice WHERE routed_at IS NULL ORDER BY seq LIMIT $1`

	// routePostgres takes notices that nobody else has in hand, but none of an app before an
	// earlier one of it that somebody else has: each call's dispatches are numbered when it
	// commits, and an app's are to be numbered in their order.
	routePostgres = `WITH free AS MATERIALIZED (
			SELECT seq, app_id FROM notice WHERE seq = ANY($1::bigint[]) AND routed_at IS NULL ORDER BY seq FOR UPDATE SKIP LOCKED)
		UPDATE notice SET routed_at = $2 FROM free WHERE notice.seq = free.seq AND NOT EXISTS (
			SELECT 1 FROM notice AS earlier WHERE earlier.app_id = free.app_id AND earlier.seq < free.seq
				AND earlier.routed_at IS NULL AND earlier.seq NOT IN (SELECT seq FROM free))
		RETURNING notice.seq`

	// insertPostgresDispatches takes pairs of a notice and a channel.
	insertPostgresDispatches = `INSERT INTO dispatch (notice_seq, channel, app_id, period, state, attempts, next_at, error, changed_at)
		SELECT n.seq, given.channel, n.app_id, n.period, 'pending', 0, $3::timestamptz, '', $3::timestamptz
		FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS given (seq, channel, place) JOIN notice AS n ON n.seq = given.seq
		ORDER BY n.seq, given.place
		ON CONFLICT (notice_seq, channel) DO NOTHING`

	upsertPostgresLease = `INSERT INTO channel_lease (channel, owner, until) VALUES ($1, $2, $3)
		ON CONFLICT (channel) DO UPDATE SET owner = excluded.owner, until = excluded.until
			WHERE channel_lease.owner = excluded.owner OR channel_lease.until <= $4 OR channel_lease.until > $5`

	selectPostgresDue = `SELECT ` + dispatchColumns + ` FROM ` + dispatchTable + `
		WHERE d.channel = $1 AND d.state = 'pending' AND d.next_at <= $2 AND NOT EXISTS (
			SELECT 1 FROM dispatch AS e WHERE e.channel = d.channel AND e.app_id = d.app_id
				AND e.state = 'pending' AND e.seq < d.seq AND e.next_at > $2)
		ORDER BY d.next_at, d.seq LIMIT $3`

	updatePostgresSent = `UPDATE dispatch SET state = 'sent', kept_until = $1, changed_at = $2 WHERE seq = $3 AND state = 'pending'`

	updatePostgresFailed = `UPDATE dispatch SET attempts = attempts + 1, state = $1, next_at = $2, error = $3, changed_at = $4
		WHERE seq = $5 AND state = 'pending'`

	endPostgresKept = `UPDATE dispatch SET kept_until = NULL FROM dispatch AS r
		WHERE r.seq = $1 AND dispatch.kept_until IS NOT NULL
			AND dispatch.channel = r.channel AND dispatch.app_id = r.app_id AND dispatch.period = r.period`

	// updatePostgresResent locks in the order of Settle and of retention.
	updatePostgresResent = `WITH given AS MATERIALIZED (
			SELECT seq FROM dispatch WHERE state = 'parked' AND seq = ANY($2::bigint[]) ORDER BY seq FOR UPDATE)
		UPDATE dispatch SET state = 'pending', attempts = 0, next_at = $1, changed_at = $1 FROM given WHERE dispatch.seq = given.seq`

	parkPostgresAbandoned = `UPDATE dispatch SET state = 'parked', error = 'no consumer has this channel any more', changed_at = $1
		WHERE state = 'pending' AND next_at < $2 AND channel <> ALL($3::text[])`
)

// Unrouted returns notices that were not given to channels; see Outbox.
func (s *postgresStore) Unrouted(ctx context.Context, limit int) ([]Unrouted, error) {
	return collectPostgres(ctx, s, "unrouted notices", selectPostgresUnrouted, []any{limit}, func(rows pgx.Rows) (u Unrouted, err error) {
		u.Notice, err = scanPostgresNotice(rows, &u.ID)
		return u, err
	})
}

// Route gives notices to channels; see Outbox. Those that another consumer has in hand are
// passed over, and are routed by it, or come again.
func (s *postgresStore) Route(ctx context.Context, routes []Route, now time.Time) (routed int, err error) {
	ids := make([]int64, 0, len(routes))
	for _, r := range routes {
		ids = append(ids, r.NoticeID)
	}
	now = wholeMillis(now)
	err = s.change(ctx, "route notices", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, routePostgres, ids, now)
		if err != nil {
			return err
		}
		taken, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		routed = len(taken)
		var notices []int64
		var channels []string
		for _, r := range routes {
			if slices.Contains(taken, r.NoticeID) {
				for _, channel := range r.Channels {
					notices, channels = append(notices, r.NoticeID), append(channels, postgresText(channel))
				}
			}
		}
		if len(notices) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, insertPostgresDispatches, notices, channels, now)
		return err
	})
	if err != nil {
		return 0, err
	}
	return routed, nil
}

// Claim takes or prolongs the lease and returns what is due; see Outbox. While less than
// half of the lease is used up, nothing is written. Of several who ask at once the lease's
// row lets one through.
func (s *postgresStore) Claim(ctx context.Context, c Claim) (due []Dispatch, held bool, err error) {
	channel, own := postgresText(c.Channel), postgresText(c.Owner)
	var owner string
	var until time.Time
	err = s.pool.QueryRow(ctx, "SELECT owner, until FROM channel_lease WHERE channel = $1", channel).Scan(&owner, &until)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, false, fmt.Errorf("read the lease of channel %s: %w", c.Channel, ended(ctx, err))
	}
	now, end := wholeMillis(c.Now), wholeMillis(c.Now.Add(c.TTL))
	if owner != own && until.After(now) && !until.After(wholeMillis(c.latestLease())) {
		return nil, false, nil
	}
	if owner != own || until.Before(now.Add(c.TTL/2)) || until.After(end) {
		err := s.change(ctx, "take the lease of channel "+c.Channel, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, upsertPostgresLease, channel, own, end, now, wholeMillis(c.latestLease()))
			if held = tag.RowsAffected() > 0; err != nil || !held {
				return err
			}
			_, err = tx.Exec(ctx, numbered(bringNear), now, channel, wholeMillis(c.Now.Add(longestWait)))
			return err
		})
		if err != nil || !held {
			return nil, false, err
		}
	}
	due, err = collectPostgres(ctx, s, "due notices", selectPostgresDue, []any{channel, now, c.Limit}, scanPostgresDispatch)
	return due, err == nil, err
}

// Release gives the lease up; see Outbox.
func (s *postgresStore) Release(ctx context.Context, channel, owner string) error {
	return s.change(ctx, "give up the lease of channel "+channel, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM channel_lease WHERE channel = $1 AND owner = $2", postgresText(channel), postgresText(owner))
		return err
	})
}

// Settle says what became of dispatches; see Outbox. It locks them in their order, which
// nearly always is retention's too: where it is not, and the server ends one of the two,
// that one comes again.
func (s *postgresStore) Settle(ctx context.Context, settled []Settlement, now time.Time) error {
	now = wholeMillis(now)
	settled = slices.Clone(settled)
	slices.SortStableFunc(settled, func(a, b Settlement) int { return cmp.Compare(a.ID, b.ID) })
	return s.change(ctx, "settle notices", func(tx pgx.Tx) error {
		var b pgx.Batch
		for i := range settled {
			d := &settled[i]
			if d.State != DispatchSent {
				b.Queue(updatePostgresFailed, string(d.State), wholeMillis(d.NextAt), postgresText(d.Error), now, d.ID)
				continue
			}
			b.Queue(updatePostgresSent, timePointer(d.KeptUntil), now, d.ID)
			if d.EndsKept {
				b.Queue(endPostgresKept, d.ID)
			}
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}

// Messages returns when the channel was sent to; see Outbox.
func (s *postgresStore) Messages(ctx context.Context, channel string, since, now time.Time) ([]time.Time, error) {
	args := []any{postgresText(channel), wholeMillis(since), wholeMillis(now)}
	return collectPostgres(ctx, s, "times of messages", numbered(selectMessages), args, func(rows pgx.Rows) (at time.Time, err error) {
		err = rows.Scan(&at)
		return at.UTC(), err
	})
}

// Kept returns what is to be repeated; see Outbox.
func (s *postgresStore) Kept(ctx context.Context, channel string, now time.Time) ([]Dispatch, error) {
	return collectPostgres(ctx, s, "kept notices", numbered(selectKept), []any{postgresText(channel), wholeMillis(now)}, scanPostgresDispatch)
}

// Resend makes parked dispatches pending again; see Outbox.
func (s *postgresStore) Resend(ctx context.Context, ids []int64, now time.Time) (resent int, err error) {
	err = s.change(ctx, "send notices again", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, updatePostgresResent, wholeMillis(now), ids)
		resent = int(tag.RowsAffected())
		return err
	})
	return resent, err
}

// Abandon parks what nobody takes any more; see Outbox.
func (s *postgresStore) Abandon(ctx context.Context, channels []string, before, now time.Time) (parked int, err error) {
	list := make([]string, len(channels)) // where there are none: an empty list, not null
	for i, channel := range channels {
		list[i] = postgresText(channel)
	}
	err = s.change(ctx, "park abandoned notices", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, parkPostgresAbandoned, wholeMillis(now), wholeMillis(before), list)
		parked = int(tag.RowsAffected())
		return err
	})
	return parked, err
}

// OldestPending returns the age of what waits; see Outbox.
func (s *postgresStore) OldestPending(ctx context.Context) (time.Time, error) {
	var at *time.Time
	if err := s.pool.QueryRow(ctx, selectOldestPending).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("look for the oldest notice: %w", ended(ctx, err))
	}
	return timeOf(at), nil
}

// Dispatches yields dispatches; see Outbox.
func (s *postgresStore) Dispatches(ctx context.Context, f DispatchFilter) iter.Seq2[Dispatch, error] {
	f.Channel = postgresText(f.Channel)
	return queryPostgres(ctx, s, f.selection(func(at time.Time) any { return wholeMillis(at) }), scanPostgresDispatch)
}

// scanPostgresDispatch reads dispatchColumns.
func scanPostgresDispatch(rows pgx.Rows) (d Dispatch, err error) {
	n, err := scanPostgresNotice(rows, &d.ID, &d.Channel, &d.State, &d.Attempts, &d.NextAt, &d.Error, &d.ChangedAt)
	d.Notice, d.CreatedAt = n.Notice, n.CreatedAt
	d.Channel, d.Error = originalText(d.Channel), originalText(d.Error)
	d.NextAt, d.ChangedAt = d.NextAt.UTC(), d.ChangedAt.UTC()
	return d, err
}

// change runs a transaction that is no batch's. what stands in its errors.
func (s *postgresStore) change(ctx context.Context, what string, run func(pgx.Tx) error) error {
	if s.o.ReadOnly {
		return fmt.Errorf("%s: %w", what, ErrReadOnly)
	}
	if err := s.inTx(ctx, run); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// collectPostgres reads all rows of a query.
func collectPostgres[T any](ctx context.Context, s *postgresStore, what, text string, args []any, scan func(pgx.Rows) (T, error)) ([]T, error) {
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, ended(ctx, err))
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, ended(ctx, err))
	}
	return all, nil
}
