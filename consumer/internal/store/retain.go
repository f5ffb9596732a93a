package store

import (
	"context"
	"fmt"
	"time"
)

// retainAtOnce is how many rows are deleted in one transaction: a few milliseconds' work,
// so that saving hardly waits.
const retainAtOnce = 500

// retained are the tables that grow, each with the column that says how old a row is. An
// index stands over it.
var retained = []struct{ table, key, age string }{
	{"alarm", "seq", "received_at"},
	{"notice", "seq", "created_at"},
	{"dead_letter", "seq", "failed_at"},
	{"period", "app_id", "last_at"},
}

// Retain deletes what is older than days before now; see Store.
func (s *sqliteStore) Retain(ctx context.Context, days int, now time.Time) (deleted int64, err error) {
	if s.write == nil {
		return 0, fmt.Errorf("retain: %w", ErrReadOnly)
	}
	if days <= 0 {
		return 0, nil
	}
	before := now.AddDate(0, 0, -days).UnixMilli()
	for _, r := range retained {
		text := fmt.Sprintf("DELETE FROM %[1]s WHERE %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[3]s < ? LIMIT ?)",
			r.table, r.key, r.age)
		for n := int64(retainAtOnce); n == retainAtOnce; deleted += n {
			result, err := s.write.ExecContext(ctx, text, before, retainAtOnce)
			if err != nil {
				return deleted, fmt.Errorf("retain %d days of %s: %w", days, r.table, err)
			}
			n, _ = result.RowsAffected() // the driver knows it
		}
	}
	return deleted, nil
}
