package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tidegate/tidegate/schema"
)

// Save writes all changes and commits; see Tx. An error whose cause is not the data leaves
// open whether the commit was taken: the batch comes again and finds out.
func (t *postgresTx) Save(ctx context.Context, c Changes) error {
	t.stop() // from here on the statements end with ctx themselves
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return fmt.Errorf("save: %w", t.err)
	}
	err := classifyPostgres(ended(ctx, t.save(ctx, &c)))
	t.end(errOver, err == nil || errors.Is(err, ErrData) || errors.Is(err, ErrReplayed))
	return err
}

// save sends all statements at once, the commit last. What is behind a statement that
// failed is not run. Where dead letters may have to make room, or may not be open any more,
// the commit waits for that.
func (t *postgresTx) save(ctx context.Context, c *Changes) error {
	var b pgx.Batch
	var names []string
	for _, s := range []struct {
		name  string
		queue func(*pgx.Batch, *Changes) error // queues none where there is nothing to do
	}{
		{"alarms", t.queueAlarms},
		{"deliveries", t.queueDeliveries},
		{"periods", t.queuePeriods},
		{"notices", t.queueNotices},
		{"dead letters", t.queueDeadLetters},
		{"progress", t.queueProgress},
	} {
		if err := s.queue(&b, c); err != nil {
			return fmt.Errorf("save %s: %w", s.name, err)
		}
		for len(names) < b.Len() {
			names = append(names, "save "+s.name)
		}
	}
	letters := len(c.DeadLetters) > 0 || len(c.Replayed) > 0
	if !letters {
		b.Queue("COMMIT")
		names = append(names, "commit")
	}
	if len(c.Replayed) > 0 { // before the row of the total is locked, which retention waits for with its rows
		if err := t.closeReplayed(ctx, c.Replayed); err != nil {
			return fmt.Errorf("save replayed: %w", err)
		}
	}
	if err := t.send(ctx, &b, names); err != nil || !letters {
		return err
	}
	if len(c.DeadLetters) > 0 {
		if err := t.evictDeadLetters(ctx); err != nil {
			return fmt.Errorf("save dead letters: %w", err)
		}
	}
	if _, err := t.conn.Exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// send runs a batch and says which of its statements failed.
func (t *postgresTx) send(ctx context.Context, b *pgx.Batch, names []string) error {
	results := t.conn.SendBatch(ctx, b)
	for _, name := range names {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // the same error
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return results.Close()
}

// The rows that Save writes, as arrays of columns. What is saved twice has to end as what is
// saved once, but for deliveries, which count copies. Their order does not matter: whoever saves
// holds the partition and the apps, so that nobody else writes these rows.
const (
	insertPostgresAlarms = `INSERT INTO alarm (event_day, alarm_id, app_id, owner, severity, quota_used, quota, used_percent,
			period, late, event_time, vendor_time, received_at, deliveries, raw_topic, raw_partition, raw_offset, event)
		SELECT unnest($1::date[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]), unnest($6::bigint[]),
			unnest($7::bigint[]), unnest($8::float8[]), unnest($9::text[]), unnest($10::boolean[]), unnest($11::timestamptz[]), unnest($12::timestamptz[]),
			unnest($13::timestamptz[]), unnest($14::integer[]), unnest($15::text[]), unnest($16::integer[]), unnest($17::bigint[]), unnest($18::bytea[])
		ON CONFLICT (event_day, alarm_id) DO UPDATE SET deliveries = alarm.deliveries + excluded.deliveries`

	// See queueOnDays.
	updatePostgresDeliveries = `UPDATE alarm SET deliveries = alarm.deliveries + more.count
		FROM unnest($1::date[], $2::text[], $3::integer[]) AS more (event_day, alarm_id, count)
		WHERE alarm.event_day = ANY(%s) AND alarm.event_day = more.event_day AND alarm.alarm_id = more.alarm_id`

	upsertPostgresPeriods = `INSERT INTO period (app_id, key, last_at, state)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[])
		ON CONFLICT (app_id) DO UPDATE SET key = excluded.key, last_at = excluded.last_at, state = excluded.state`

	insertPostgresNotices = `INSERT INTO notice (app_id, period, kind, step, count, alarm, created_at)
		SELECT app_id, period, kind, step, count, alarm, $7::timestamptz
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[])
			AS made (app_id, period, kind, step, count, alarm)
		ON CONFLICT (app_id, period, kind, step) DO NOTHING`

	insertPostgresDeadLetters = `INSERT INTO dead_letter (app_id, reason, message, consumer, topic, partition, "offset", record_time,
			key, value, headers, failed_at, bytes)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::bigint[], $8::timestamptz[],
			$9::bytea[], $10::bytea[], $11::bytea[], $12::timestamptz[], $13::bigint[])
		ON CONFLICT (topic, partition, "offset", record_time) DO NOTHING`

	upsertPostgresProgress = `INSERT INTO progress (topic, partition, "offset", log_end, newest) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset", log_end = excluded.log_end, newest = excluded.newest`

	// evictPostgresDeadLetters passes over what others hold, which are not the oldest for long.
	evictPostgresDeadLetters = `DELETE FROM dead_letter WHERE seq = ANY(ARRAY(
		SELECT seq FROM dead_letter ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED))`
)

// alarmColumns are the columns of insertPostgresAlarms.
type alarmColumns struct {
	days                        []time.Time
	ids, severities, periods    []string
	topics                      []string
	owners                      []*string
	apps, used, quotas, offsets []int64
	percents                    []float64
	late                        []bool
	eventTimes, receivedAts     []time.Time
	vendorTimes                 []*time.Time
	deliveries                  []int32
	partitions                  []int32
	events                      [][]byte
}

// newAlarmColumns returns columns with room for n rows.
func newAlarmColumns(n int) alarmColumns {
	return alarmColumns{
		days: make([]time.Time, 0, n),
		ids:  make([]string, 0, n), severities: make([]string, 0, n), periods: make([]string, 0, n), topics: make([]string, 0, n),
		owners: make([]*string, 0, n),
		apps:   make([]int64, 0, n), used: make([]int64, 0, n), quotas: make([]int64, 0, n), offsets: make([]int64, 0, n),
		percents: make([]float64, 0, n), late: make([]bool, 0, n),
		eventTimes: make([]time.Time, 0, n), receivedAts: make([]time.Time, 0, n), vendorTimes: make([]*time.Time, 0, n),
		deliveries: make([]int32, 0, n), partitions: make([]int32, 0, n), events: make([][]byte, 0, n),
	}
}

func (t *postgresTx) queueAlarms(b *pgx.Batch, c *Changes) error {
	if len(c.Alarms) == 0 {
		return nil
	}
	k := newAlarmColumns(len(c.Alarms))
	for i := range c.Alarms {
		if err := k.add(&c.Alarms[i]); err != nil {
			return fmt.Errorf("alarm %q: %w", c.Alarms[i].Event.AlarmID, err)
		}
	}
	// Of these slices the driver has no plan of its own, and would go through them by reflection.
	owners, vendorTimes, events := pgtype.FlatArray[*string](k.owners), pgtype.FlatArray[*time.Time](k.vendorTimes), pgtype.FlatArray[[]byte](k.events)
	b.Queue(insertPostgresAlarms, k.days, k.ids, k.apps, owners, k.severities, k.used, k.quotas, k.percents, k.periods, k.late,
		k.eventTimes, vendorTimes, k.receivedAts, k.deliveries, k.topics, k.partitions, k.offsets, events)
	return nil
}

// add appends a row. Error: ErrData.
func (k *alarmColumns) add(a *Alarm) error {
	e := &a.Event
	day, err := eventDay(e.AlarmID)
	if err != nil {
		return err
	}
	eventTime, err := parseTime("event_time", e.EventTime)
	if err != nil {
		return err
	}
	receivedAt, err := parseTime("received_at", e.ReceivedAt)
	if err != nil {
		return err
	}
	k.days = append(k.days, day)
	k.ids = append(k.ids, e.AlarmID)
	k.apps = append(k.apps, e.SdkAppID)
	k.owners = append(k.owners, textPointer(e.Owner))
	k.severities = append(k.severities, string(e.Severity))
	k.used = append(k.used, e.QuotaUsed)
	k.quotas = append(k.quotas, e.Quota)
	k.percents = append(k.percents, e.UsedPercent)
	k.periods = append(k.periods, postgresText(e.Period))
	k.late = append(k.late, e.Late)
	k.eventTimes = append(k.eventTimes, time.UnixMilli(eventTime))
	k.vendorTimes = append(k.vendorTimes, timePointer(a.VendorTime))
	k.receivedAts = append(k.receivedAts, time.UnixMilli(receivedAt))
	k.deliveries = append(k.deliveries, int32(a.Deliveries))
	k.topics = append(k.topics, postgresText(e.RawTopic))
	k.partitions = append(k.partitions, e.RawPartition)
	k.offsets = append(k.offsets, e.RawOffset)
	k.events = append(k.events, a.EventBytes)
	return nil
}

func (t *postgresTx) queueDeliveries(b *pgx.Batch, c *Changes) error {
	if len(c.Deliveries) == 0 {
		return nil
	}
	counts := make(map[string]int32, len(c.Deliveries))
	for _, d := range c.Deliveries {
		counts[d.AlarmID] += int32(d.Count)
	}
	days, dayOfEach, ids := daysOf(slices.Sorted(maps.Keys(counts)))
	more := make([]int32, len(ids))
	for i, id := range ids {
		more[i] = counts[id]
	}
	queueOnDays(b, updatePostgresDeliveries, days, dayOfEach, ids, more)
	return nil
}

func (t *postgresTx) queuePeriods(b *pgx.Batch, c *Changes) error {
	if len(c.Periods) == 0 {
		return nil
	}
	apps := slices.Sorted(maps.Keys(c.Periods))
	keys, states, lastAts := make([]string, len(apps)), make([]string, len(apps)), make([]time.Time, len(apps))
	for i, app := range apps {
		period := c.Periods[app]
		state, err := json.Marshal(period)
		if err != nil {
			return fmt.Errorf("state of app %d: %w: %w", app, ErrData, err)
		}
		keys[i], states[i], lastAts[i] = postgresText(period.Key()), string(state), time.UnixMilli(period.LastAt)
	}
	b.Queue(upsertPostgresPeriods, apps, keys, lastAts, states)
	return nil
}

func (t *postgresTx) queueNotices(b *pgx.Batch, c *Changes) error {
	if len(c.Notices) == 0 {
		return nil
	}
	n := len(c.Notices)
	apps, counts := make([]int64, n), make([]int32, n)
	periods, kinds, steps, alarms := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range c.Notices {
		made := &c.Notices[i]
		alarm, err := json.Marshal(&made.Alarm)
		if err != nil {
			return fmt.Errorf("notice of app %d: %w: %w", made.AppID, ErrData, err)
		}
		apps[i], periods[i], kinds[i], steps[i] = made.AppID, postgresText(made.Period), string(made.Kind), string(made.Step)
		counts[i], alarms[i] = int32(made.Count), string(alarm)
	}
	b.Queue(insertPostgresNotices, apps, periods, kinds, steps, counts, alarms, t.s.o.Now())
	return nil
}

func (t *postgresTx) queueDeadLetters(b *pgx.Batch, c *Changes) error {
	if len(c.DeadLetters) == 0 {
		return nil
	}
	n := len(c.DeadLetters)
	apps, offsets, sizes, partitions := make([]int64, n), make([]int64, n), make([]int64, n), make([]int32, n)
	reasons, messages, groups, topics := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	recorded, failed := make([]time.Time, n), make([]time.Time, n)
	keys, values, headers := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	var room []byte // of all headers
	for i := range c.DeadLetters {
		d := &c.DeadLetters[i]
		r := &d.Record
		apps[i], _ = schema.ParseAppID(r.Key)
		reasons[i], messages[i], groups[i] = string(d.Reason), postgresText(d.Message), postgresText(d.Group)
		topics[i], partitions[i], offsets[i], recorded[i] = postgresText(r.Topic), r.Partition, r.Offset, recordTime(r.Time)
		begun := len(room)
		room = appendHeaders(room, r.Headers)
		keys[i], values[i], headers[i] = r.Key, r.Value, room[begun:]
		failed[i] = wholeMillis(d.FailedAt)
		sizes[i] = int64(len(r.Key) + len(r.Value) + len(headers[i]) + len(d.Message))
	}
	b.Queue(insertPostgresDeadLetters, apps, reasons, messages, groups, topics, partitions, offsets, recorded, keys, values, headers, failed, sizes)
	return nil
}

func (t *postgresTx) queueProgress(b *pgx.Batch, c *Changes) error {
	p := c.Progress
	if p.Topic == "" {
		return nil
	}
	if t.hasProgress {
		p = t.progress.after(p)
	}
	b.Queue(upsertPostgresProgress, postgresText(p.Topic), p.Partition, p.Offset, p.LogEnd, recordTime(p.Newest))
	return nil
}

// evictDeadLetters drops the oldest dead letters until the rest is within the bound; see
// sqliteTx. The row of their total is locked since they were inserted.
func (t *postgresTx) evictDeadLetters(ctx context.Context) error {
	const few = 16
	var evicted int64
	for {
		var held int64
		if err := t.conn.QueryRow(ctx, "SELECT bytes FROM dead_letter_total").Scan(&held); err != nil {
			return err
		}
		if held <= t.s.o.DeadLetterBytes {
			break
		}
		tag, err := t.conn.Exec(ctx, evictPostgresDeadLetters, few)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			break // what is left is being replayed: the next batch sees to it
		}
		evicted += tag.RowsAffected()
	}
	t.s.o.logEvicted(evicted)
	return nil
}

// textPointer and timePointer return what stands in a column that can be null, wholeMillis
// a time as precise as the contract's.
func textPointer(text *string) *string {
	if text == nil {
		return nil
	}
	written := postgresText(*text)
	return &written
}

func timePointer(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = wholeMillis(at)
	return &at
}

func wholeMillis(at time.Time) time.Time { return time.UnixMilli(at.UnixMilli()).UTC() }

// classifyPostgres wraps an error that the data caused in ErrData; any other is returned as
// it is. Of SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html) the data's are
// the classes 21 (the same row twice), 22 (a value) and 23 (a constraint, no partition), and
// the code 54000 (too large for an index).
func classifyPostgres(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || errors.Is(err, ErrData) {
		return err
	}
	switch class := cmp.Or(e.Code, "     ")[:2]; {
	case class == "21", class == "22", class == "23", e.Code == "54000":
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	return err
}
