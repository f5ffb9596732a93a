package store

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// About is what `check` says of a database.
type About struct {
	Server   string   // what it is, with its version: "PostgreSQL 15.13"
	Version  int      // of its tables
	Latest   int      // version that this release makes
	Problems []string // what a start would trip over, or an operator regret: one line each
}

// About says what the database is.
func (s *sqliteStore) About(ctx context.Context) (a About, err error) {
	migrations, err := readMigrations(sqliteFiles, "migrations/sqlite")
	if err != nil {
		return a, err
	}
	a.Latest = len(migrations)
	if a.Version, _, err = installed(ctx, s.read); err != nil {
		return a, err
	}
	if err := s.read.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&a.Server); err != nil {
		return a, fmt.Errorf("ask for the version: %w", err)
	}
	return a, nil
}

// About says what the database is.
func (s *postgresStore) About(ctx context.Context) (a About, err error) {
	migrations, err := readMigrations(postgresFiles, "migrations/postgres")
	if err != nil {
		return a, err
	}
	a.Server, a.Latest = s.server, len(migrations)
	if a.Version, _, err = installedPostgres(ctx, s.pool, s.schema); err != nil {
		return a, ended(ctx, err)
	}
	user, creates, err := s.mayCreate(ctx)
	if err != nil {
		return a, fmt.Errorf("ask for rights: %w", err)
	}
	var fsync, pages string
	err = s.pool.QueryRow(ctx, "SELECT current_setting('fsync'), current_setting('full_page_writes')").Scan(&fsync, &pages)
	if err != nil {
		return a, fmt.Errorf("ask for settings: %w", ended(ctx, err))
	}
	if !creates {
		a.Problems = append(a.Problems, fmt.Sprintf("user %s may not make tables in schema %s, which the consumer does for each day", user, s.schema))
	}
	if fsync != "on" || pages != "on" {
		a.Problems = append(a.Problems, fmt.Sprintf("fsync is %s and full_page_writes %s on the server: a loss of power can take what was saved", fsync, pages))
	}
	return a, nil
}

// IsAway says whether Open failed because the database is away, or not ready yet, so that
// it is worth waiting for: it cannot be reached, starts, stops, is a standby or has no
// connection left. What an operator has to put right first, a password, a name, rights, is not
// worth it.
func IsAway(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code[:min(2, len(e.Code))] {
		case "08", "25", "40", "53", "55", "57", "58":
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, context.DeadlineExceeded)
}
