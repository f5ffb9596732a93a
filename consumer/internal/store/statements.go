package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// chunkRows are the numbers of rows that one statement inserts, largest first. Prepared
// once each: to parse a statement of hundreds of parameters costs as much as to run it.
var chunkRows = []int{64, 8, 1}

// insert is a multi-row INSERT.
type insert struct {
	table    string
	columns  []string
	conflict string // the ON CONFLICT clause
}

// The rows that Save writes. What is saved twice has to end as what is saved once.
var (
	insertAlarm = insert{
		table: "alarm",
		columns: []string{"alarm_id", "app_id", "owner", "severity", "quota_used", "quota", "used_percent", "period", "late",
			"event_time", "vendor_time", "received_at", "deliveries", "raw_topic", "raw_partition", "raw_offset", "event"},
		conflict: "ON CONFLICT (alarm_id) DO UPDATE SET deliveries = deliveries + excluded.deliveries",
	}
	insertPeriod = insert{
		table:    "period",
		columns:  []string{"app_id", "key", "last_at", "state"},
		conflict: "ON CONFLICT (app_id) DO UPDATE SET key = excluded.key, last_at = excluded.last_at, state = excluded.state",
	}
	insertNotice = insert{
		table:    "notice",
		columns:  []string{"app_id", "period", "kind", "step", "count", "alarm", "created_at"},
		conflict: "ON CONFLICT (app_id, period, kind, step) DO NOTHING",
	}
	insertDeadLetter = insert{
		table: "dead_letter",
		columns: []string{"app_id", "reason", "message", "consumer", "topic", "partition", "offset", "record_time",
			"key", "value", "headers", "failed_at", "bytes"},
		conflict: "ON CONFLICT (topic, partition, offset, record_time) DO NOTHING",
	}
	insertProgress = insert{
		table:   "progress",
		columns: []string{"topic", "partition", "offset", "log_end", "newest"},
		conflict: "ON CONFLICT (topic, partition) DO UPDATE SET offset = excluded.offset, log_end = excluded.log_end, " +
			"newest = excluded.newest",
	}
)

// text returns the statement for n rows.
func (i *insert) text(n int) string {
	row := "(" + strings.Repeat("?, ", len(i.columns)-1) + "?)"
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s %s", i.table, strings.Join(i.columns, ", "),
		strings.Join(slices.Repeat([]string{row}, n), ", "), i.conflict)
}

const (
	// selectKnown goes from the ids, a JSON array, to the rows and not the other way.
	selectKnown = `SELECT a.alarm_id, a.raw_topic, a.raw_partition, a.raw_offset, a.event
		FROM json_each(?) AS wanted CROSS JOIN alarm AS a ON a.alarm_id = wanted.value`

	selectPeriods = `SELECT p.app_id, p.state
		FROM json_each(?) AS wanted CROSS JOIN period AS p ON p.app_id = wanted.value`

	selectProgress = `SELECT offset, log_end, newest FROM progress WHERE topic = ? AND partition = ?`

	// updateDeliveries takes a JSON object of id to count.
	updateDeliveries = `UPDATE alarm SET deliveries = deliveries + more.value
		FROM json_each(?) AS more WHERE alarm_id = more.key`

	// updateReplayed and updatePublished take a time and a JSON array of ids.
	updateReplayed = `UPDATE dead_letter SET replayed_at = ?
		WHERE seq IN (SELECT value FROM json_each(?)) AND replayed_at IS NULL`

	updatePublished = `UPDATE dead_letter SET published_at = ?
		WHERE seq IN (SELECT value FROM json_each(?)) AND replayed_at IS NOT NULL AND published_at IS NULL`

	selectDeadBytes = `SELECT bytes FROM dead_letter_total`

	deleteOldestLetters = `DELETE FROM dead_letter WHERE seq IN (SELECT seq FROM dead_letter ORDER BY seq LIMIT ?)`
)

// statements are the writer's statements, prepared once. Safe for use by the one who
// holds the write transaction.
type statements struct {
	all     []*sql.Stmt
	inserts map[string][]*sql.Stmt // by table, as chunkRows

	known, periods, progress *sql.Stmt
	deliveries, replayed     *sql.Stmt
	deadBytes, deleteOldest  *sql.Stmt
}

// prepareStatements prepares all statements on db, which has the tables already.
func prepareStatements(ctx context.Context, db *sql.DB) (*statements, error) {
	s := &statements{inserts: make(map[string][]*sql.Stmt)}
	var errs []error
	prepare := func(text string) *sql.Stmt {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("prepare %.60q: %w", text, err))
			return nil
		}
		s.all = append(s.all, stmt)
		return stmt
	}
	for _, insert := range []insert{insertAlarm, insertPeriod, insertNotice, insertDeadLetter, insertProgress} {
		for _, n := range chunkRows {
			s.inserts[insert.table] = append(s.inserts[insert.table], prepare(insert.text(n)))
		}
	}
	s.known = prepare(selectKnown)
	s.periods = prepare(selectPeriods)
	s.progress = prepare(selectProgress)
	s.deliveries = prepare(updateDeliveries)
	s.replayed = prepare(updateReplayed)
	s.deadBytes = prepare(selectDeadBytes)
	s.deleteOldest = prepare(deleteOldestLetters)
	if err := errors.Join(errs...); err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

// close releases the statements.
func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
