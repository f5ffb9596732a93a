package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// Save writes all changes and commits; see Tx.
func (t *sqliteTx) Save(ctx context.Context, c Changes) error {
	defer t.Rollback() // does nothing after the commit
	for _, step := range []struct {
		name string
		run  func(context.Context, *Changes) error
	}{
		{"alarms", t.saveAlarms},
		{"deliveries", t.saveDeliveries},
		{"periods", t.savePeriods},
		{"notices", t.saveNotices},
		{"dead letters", t.saveDeadLetters},
		{"replayed", t.saveReplayed},
		{"progress", t.saveProgress},
	} {
		if err := step.run(ctx, &c); err != nil {
			return fmt.Errorf("save %s: %w", step.name, classify(err))
		}
		if t.s.o.onStep != nil {
			t.s.o.onStep(step.name)
		}
	}
	if err := t.tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", classify(err))
	}
	return nil
}

func (t *sqliteTx) saveAlarms(ctx context.Context, c *Changes) error {
	values := make([]any, 0, len(c.Alarms)*len(insertAlarm.columns))
	for i := range c.Alarms {
		a := &c.Alarms[i]
		e := &a.Event
		eventTime, err := parseTime("event_time", e.EventTime)
		if err != nil {
			return fmt.Errorf("alarm %s: %w", e.AlarmID, err)
		}
		receivedAt, err := parseTime("received_at", e.ReceivedAt)
		if err != nil {
			return fmt.Errorf("alarm %s: %w", e.AlarmID, err)
		}
		values = append(values, e.AlarmID, e.SdkAppID, textOrNull(e.Owner), string(e.Severity), e.QuotaUsed, e.Quota,
			e.UsedPercent, e.Period, e.Late, eventTime, timeOrNull(a.VendorTime), receivedAt, a.Deliveries,
			e.RawTopic, e.RawPartition, e.RawOffset, a.EventBytes)
	}
	return t.insert(ctx, &insertAlarm, values)
}

func (t *sqliteTx) saveDeliveries(ctx context.Context, c *Changes) error {
	if len(c.Deliveries) == 0 {
		return nil
	}
	counts := make(map[string]int, len(c.Deliveries))
	for _, d := range c.Deliveries {
		counts[d.AlarmID] += d.Count
	}
	list, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, t.s.stmts.deliveries, string(list))
	return err
}

func (t *sqliteTx) savePeriods(ctx context.Context, c *Changes) error {
	values := make([]any, 0, len(c.Periods)*len(insertPeriod.columns))
	for app, period := range c.Periods {
		state, err := json.Marshal(period)
		if err != nil {
			return fmt.Errorf("state of app %d: %w: %w", app, ErrData, err)
		}
		values = append(values, app, period.Key(), period.LastAt, string(state))
	}
	return t.insert(ctx, &insertPeriod, values)
}

func (t *sqliteTx) saveNotices(ctx context.Context, c *Changes) error {
	now := t.s.o.Now().UnixMilli()
	values := make([]any, 0, len(c.Notices)*len(insertNotice.columns))
	for i := range c.Notices {
		n := &c.Notices[i]
		alarm, err := json.Marshal(&n.Alarm)
		if err != nil {
			return fmt.Errorf("notice of app %d: %w: %w", n.AppID, ErrData, err)
		}
		values = append(values, n.AppID, n.Period, string(n.Kind), string(n.Step), n.Count, string(alarm), now)
	}
	return t.insert(ctx, &insertNotice, values)
}

func (t *sqliteTx) saveDeadLetters(ctx context.Context, c *Changes) error {
	if len(c.DeadLetters) == 0 {
		return nil
	}
	values := make([]any, 0, len(c.DeadLetters)*len(insertDeadLetter.columns))
	for i := range c.DeadLetters {
		d := &c.DeadLetters[i]
		r := &d.Record
		headers := appendHeaders(nil, r.Headers)
		app, _ := schema.ParseAppID(r.Key)
		size := len(r.Key) + len(r.Value) + len(headers) + len(d.Message)
		values = append(values, app, string(d.Reason), d.Message, d.Group, r.Topic, r.Partition, r.Offset, r.Time.UnixMilli(),
			bytesOrNull(r.Key), bytesOrNull(r.Value), headers, d.FailedAt.UnixMilli(), size)
	}
	if err := t.insert(ctx, &insertDeadLetter, values); err != nil {
		return err
	}
	return t.evictDeadLetters(ctx)
}

// evictDeadLetters drops the oldest dead letters until the rest is within the bound, as a
// flood of garbage must not fill the disk. They are still in the dead letters' topic.
func (t *sqliteTx) evictDeadLetters(ctx context.Context) error {
	const few = 16 // letters are hardly ever larger than 2 MiB, so this overshoots by little
	var evicted int64
	for {
		var held int64
		if err := t.get(ctx, t.s.stmts.deadBytes, nil, &held); err != nil {
			return err
		}
		if held <= t.s.o.DeadLetterBytes {
			break
		}
		n, err := t.exec(ctx, t.s.stmts.deleteOldest, few)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%d bytes of dead letters are held, but there is none to drop", held)
		}
		evicted += n
	}
	t.s.o.logEvicted(evicted)
	return nil
}

// saveReplayed closes the dead letters that were replayed, all or none: two replays of one
// letter must not both count.
func (t *sqliteTx) saveReplayed(ctx context.Context, c *Changes) error {
	if len(c.Replayed) == 0 {
		return nil
	}
	list, err := json.Marshal(c.Replayed)
	if err != nil {
		return err
	}
	closed, err := t.exec(ctx, t.s.stmts.replayed, t.s.o.Now().UnixMilli(), string(list))
	if err != nil {
		return err
	}
	return allClosed(closed, c.Replayed)
}

func (t *sqliteTx) saveProgress(ctx context.Context, c *Changes) error {
	p := c.Progress
	if p.Topic == "" {
		return nil
	}
	if t.hasProgress {
		p = t.progress.after(p)
	}
	return t.insert(ctx, &insertProgress, []any{p.Topic, p.Partition, p.Offset, p.LogEnd, p.Newest.UnixMilli()})
}

// insert inserts rows, whose values stand one row after the other in values.
func (t *sqliteTx) insert(ctx context.Context, into *insert, values []any) error {
	columns := len(into.columns)
	for i, n := range chunkRows {
		for len(values) >= n*columns {
			if _, err := t.exec(ctx, t.s.stmts.inserts[into.table][i], values[:n*columns]...); err != nil {
				return fmt.Errorf("insert %d rows into %s: %w", n, into.table, err)
			}
			values = values[n*columns:]
		}
	}
	return nil
}

// parseTime returns a time of the contract in milliseconds.
func parseTime(field, text string) (int64, error) {
	at, ok := schema.ParseTime([]byte(text))
	if !ok {
		return 0, fmt.Errorf("%s %s is not a time: %w", field, strconv.QuoteToASCII(text), ErrData)
	}
	return at.UnixMilli(), nil
}

// textOrNull, timeOrNull and bytesOrNull return what stands in a column that can be null.
func textOrNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func timeOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UnixMilli()
}

func bytesOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
