package store

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/postgres/*.sql
var postgresFiles embed.FS

const createPostgresMigrationTable = `
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer     PRIMARY KEY,
    compatible integer     NOT NULL, -- the oldest version that reads the tables rightly
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL
)`

// migrate brings the tables up to date, all or nothing, under an advisory lock: of several
// consumers that start at once, one does the work and the others wait for it, as long as
// it takes, and find it done. It returns the versions before and after. Errors: ErrNewer,
// ErrForeign.
func (s *postgresStore) migrate(ctx context.Context, all []migration) (from, to int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockID("migrate")); err != nil {
			return fmt.Errorf("wait for another consumer's migration: %w", err)
		}
		var err error
		if from, _, err = installedPostgres(ctx, tx, s.schema); err != nil {
			return err
		}
		if err := notNewer(from, len(all)); err != nil {
			return err
		}
		return s.apply(ctx, tx, all, from)
	})
	if err != nil {
		return from, from, err
	}
	return from, len(all), nil
}

// apply runs the migrations after version from, and notes that they ran.
func (s *postgresStore) apply(ctx context.Context, tx pgx.Tx, all []migration, from int) error {
	if from == len(all) {
		return nil
	}
	if _, err := tx.Exec(ctx, createPostgresMigrationTable); err != nil {
		return fmt.Errorf("create schema_migration: %w", err)
	}
	for _, m := range all[from:] {
		if _, err := tx.Conn().PgConn().Exec(ctx, m.sql).ReadAll(); err != nil { // several statements
			return fmt.Errorf("migrate to version %d (%s): %w", m.version, m.name, err)
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_migration (version, compatible, name, applied_at) VALUES ($1, $2, $3, $4)",
			m.version, m.compatible, m.name, s.o.Now())
		if err != nil {
			return fmt.Errorf("note version %d (%s): %w", m.version, m.name, err)
		}
	}
	return nil
}

// rower is what a pool and a transaction can both do.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// installedPostgres returns the version of the tables, 0 where there are none, and the
// oldest version whose binary reads them. Error: ErrForeign where there are other tables.
func installedPostgres(ctx context.Context, q rower, schema string) (version, compatible int, err error) {
	var tables int
	var ours bool
	err = q.QueryRow(ctx, `SELECT count(*), coalesce(bool_or(tablename = 'schema_migration'), false)
		FROM pg_tables WHERE schemaname = $1`, schema).Scan(&tables, &ours)
	if err != nil {
		return 0, 0, fmt.Errorf("look for tables: %w", err)
	}
	if tables == 0 {
		return 0, 0, nil
	}
	if !ours {
		return 0, 0, fmt.Errorf("found %d tables and no schema_migration in schema %s: %w", tables, schema, ErrForeign)
	}
	err = q.QueryRow(ctx, "SELECT coalesce(max(version), 0), coalesce(max(compatible), 0) FROM schema_migration").
		Scan(&version, &compatible)
	if err != nil {
		return 0, 0, fmt.Errorf("read schema_migration: %w", err)
	}
	return version, compatible, nil
}

// readable checks, without changing anything, that this release reads the tables.
// Errors: ErrMissing and ErrOlder, both with ErrRights where that is so, ErrForeign, ErrNewer.
func (s *postgresStore) readable(ctx context.Context, all []migration) error {
	version, compatible, err := installedPostgres(ctx, s.pool, s.schema)
	if err != nil {
		return ended(ctx, err)
	}
	err = reads(version, compatible, len(all))
	if !errors.Is(err, ErrMissing) && !errors.Is(err, ErrOlder) {
		return err
	}
	user, creates, failed := s.mayCreate(ctx)
	if failed != nil {
		return fmt.Errorf("ask for rights: %w", failed)
	}
	if !creates {
		return fmt.Errorf("%w (%w: user %s, schema %s)", err, ErrRights, user, s.schema)
	}
	return err
}

// mayCreate says who the user is, and whether it may make tables in the schema.
func (s *postgresStore) mayCreate(ctx context.Context) (user string, creates bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT current_user, has_schema_privilege($1, 'CREATE')", s.schema).Scan(&user, &creates)
	return user, creates, ended(ctx, err)
}
