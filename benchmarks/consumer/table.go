//go:build linux

package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// table is the database that a consumer saves into, and beside it one for the baseline, with
// the same columns and indexes. Its methods are called one after the other, and those that
// write, while no consumer runs or while it is stopped.
type table interface {
	// store is the consumer's --store.
	store() string

	// fill puts rows into the tables that a consumer has made, all at once: of days that are
	// over, so that none is an alarm of the backlog.
	fill(ctx context.Context, rows int64) error

	// count is how many alarms are there.
	count(ctx context.Context) (int64, error)

	// bulk writes up to most of the rows that were saved last once more, in each way that the
	// baseline has, and each row only once.
	bulk(ctx context.Context, most int64) ([]bulkTurn, error)

	// server says what database it is.
	server(ctx context.Context) (string, error)

	// close lets go of everything, and removes what was made.
	close(ctx context.Context) error
}

// bulkTurn is one turn of a baseline.
type bulkTurn struct {
	rate, over string // its figures
	rows       int64
	took       time.Duration
}

// put puts it into the sample of the turn before, of the consumer.
func (t bulkTurn) put(s *sample) {
	if t.rows > 0 {
		s.Figures[t.rate] = float64(t.rows) / t.took.Seconds()
		s.Figures[t.over] = s.Figures[alarmsPerSecond] / s.Figures[t.rate]
	}
}

const (
	// batchRows is the consumer's batch.
	batchRows = 500

	// bulkRows is how many rows a turn of a baseline writes at most. The consumer is stopped
	// meanwhile, and PostgreSQL ends a transaction that says nothing for ten seconds.
	bulkRows = 100_000
)

// Of the rows that a table is filled with: over these days before yesterday.
const filledDays = 5

// filledFrom is the time of the first filled row.
func filledFrom(now time.Time) time.Time {
	return now.Add(-(filledDays + 1) * 24 * time.Hour)
}

// filledEvent is the event of every filled row: nobody reads one, so that it only has to be as
// long as one is.
func filledEvent() []byte {
	name, owner, rate, at := "Sample 1", "team-1", 812.5, "2026-01-02T15:04:05.000Z"
	event, err := json.Marshal(&schema.EnrichedAlarm{
		AlarmID: "019a2b3c4d5e0123456789abcdef0123", SdkAppID: firstApp, AppName: &name, Owner: &owner, Registered: true,
		Command: schema.CommandQuotaAlarm, QuotaUsed: 73210, Quota: alarmQuota, UsedPercent: 73.21, Remaining: 26790, Severity: schema.SeverityWatch,
		EventTime: at, EventTimeSource: schema.EventTimeVendor, ReceivedAt: at, Period: "2026-01-02", RatePerHour: &rate,
		ForecastBasis: schema.ForecastNotToday, Authenticated: "sign", CallbackID: "0000000000000000-1234567", RawTopic: "im.alarms.raw", RawOffset: 1234567,
	})
	if err != nil {
		panic("BUG: an event cannot be encoded: " + err.Error())
	}
	return event
}

// copied are the columns of a row of alarm, but for the order of saving.
const copied = `alarm_id, app_id, owner, severity, quota_used, quota, used_percent, period, late, event_time, vendor_time, received_at,
	deliveries, raw_topic, raw_partition, raw_offset, event`
