package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/sqlite/*.sql
var sqliteFiles embed.FS

// migration is one step of the tables. Its file is named VERSION_NAME.sql and begins with
// the line "-- compatible: N": the oldest version whose binary still reads the tables
// rightly. That is at most the version before, so that a release can be taken back
// far enough to look at its rows.
type migration struct {
	version    int
	compatible int
	name       string
	sql        string
}

const compatibleLine = "-- compatible: "

// readMigrations returns the migrations in dir, in order. An error is a fault of the
// build; a test reads them all.
func readMigrations(files fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var all []migration
	for _, entry := range entries {
		text, err := fs.ReadFile(files, dir+"/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		m, err := parseMigration(entry.Name(), string(text))
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", entry.Name(), err)
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i, m := range all {
		if m.version != i+1 {
			return nil, fmt.Errorf("read migration %s: want version %d, without gaps", m.name, i+1)
		}
	}
	return all, nil
}

// parseMigration reads the name and the first line of a migration's file.
func parseMigration(file, text string) (migration, error) {
	digits, name, _ := strings.Cut(strings.TrimSuffix(file, ".sql"), "_")
	version, err := strconv.Atoi(digits)
	if err != nil {
		return migration{}, fmt.Errorf("version: %w", err)
	}
	first, _, _ := strings.Cut(text, "\n")
	number, ok := strings.CutPrefix(first, compatibleLine)
	if !ok {
		return migration{}, fmt.Errorf("the first line is not %q and a version", compatibleLine)
	}
	compatible, err := strconv.Atoi(number)
	if err != nil {
		return migration{}, fmt.Errorf("compatible: %w", err)
	}
	if before := max(1, version-1); compatible < 1 || compatible > before {
		return migration{}, fmt.Errorf("compatible with %d: want 1 to %d", compatible, before)
	}
	return migration{version: version, compatible: compatible, name: name, sql: text}, nil
}

const createMigrationTable = `
CREATE TABLE IF NOT EXISTS schema_migration (
    version    INTEGER PRIMARY KEY,
    compatible INTEGER NOT NULL, -- the oldest version that reads the tables rightly
    name       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT`

// migrate brings the tables of db up to date, all or nothing, in a transaction that takes
// the write lock first: of several processes that start at once, one does the work and
// the others find it done. It returns the versions before and after. Errors: ErrNewer,
// ErrForeign.
func migrate(ctx context.Context, db *sql.DB, all []migration, now time.Time) (from, to int, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("begin migration: %w", err)
	}
	defer func() { _ = tx.Rollback() }()

	from, _, err = installed(ctx, tx)
	if err != nil {
		return 0, 0, err
	}
	if err := notNewer(from, len(all)); err != nil {
		return from, from, err
	}
	if _, err := tx.ExecContext(ctx, createMigrationTable); err != nil {
		return from, from, fmt.Errorf("create schema_migration: %w", err)
	}
	for _, m := range all[from:] {
		if err := m.apply(ctx, tx, now); err != nil {
			return from, from, fmt.Errorf("migrate to version %d (%s): %w", m.version, m.name, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return from, from, fmt.Errorf("commit migration: %w", err)
	}
	return from, len(all), nil
}

// apply runs the migration and notes that it ran.
func (m *migration) apply(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if _, err := tx.ExecContext(ctx, m.sql); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx,
		"INSERT INTO schema_migration (version, compatible, name, applied_at) VALUES (?, ?, ?, ?)",
		m.version, m.compatible, m.name, now.UnixMilli())
	return err
}

// queryer is what a database and a transaction can both do.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// installed returns the version of the tables, 0 where there are none, and the oldest
// version whose binary reads them. Error: ErrForeign where there are other tables.
func installed(ctx context.Context, q queryer) (version, compatible int, err error) {
	var tables int
	var ours bool
	err = q.QueryRowContext(ctx, `SELECT count(*), coalesce(max(name = 'schema_migration'), 0)
		FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`).Scan(&tables, &ours)
	if err != nil {
		return 0, 0, fmt.Errorf("look for tables: %w", err)
	}
	if tables == 0 {
		return 0, 0, nil
	}
	if !ours {
		return 0, 0, fmt.Errorf("found %d tables and no schema_migration: %w", tables, ErrForeign)
	}
	err = q.QueryRowContext(ctx, "SELECT coalesce(max(version), 0), coalesce(max(compatible), 0) FROM schema_migration").
		Scan(&version, &compatible)
	if err != nil {
		return 0, 0, fmt.Errorf("read schema_migration: %w", err)
	}
	return version, compatible, nil
}

// readable checks, without changing anything, that this release reads the tables of db:
// they are there, all that this release needs, and made by one no later than the next.
// Errors: ErrMissing, ErrOlder, ErrForeign, ErrNewer.
func readable(ctx context.Context, q queryer, all []migration) error {
	version, compatible, err := installed(ctx, q)
	if err != nil {
		return err
	}
	return reads(version, compatible, len(all))
}

// reads says whether a release whose newest version is latest reads tables of version,
// which are to be read from version compatible on. Errors: ErrMissing, ErrOlder, ErrNewer.
func reads(version, compatible, latest int) error {
	switch {
	case version == 0:
		return fmt.Errorf("tables are of version 0, which is none: %w", ErrMissing)
	case version < latest:
		return fmt.Errorf("tables are of version %d, this release reads %d: %w", version, latest, ErrOlder)
	case compatible > latest:
		return fmt.Errorf("tables are of version %d, to be read from version %d on, this release reads %d: %w",
			version, compatible, latest, ErrNewer)
	}
	return nil
}

// notNewer says whether a release whose newest version is latest may write to tables of
// version. Error: ErrNewer.
func notNewer(version, latest int) error {
	if version > latest {
		return fmt.Errorf("tables are of version %d, this release writes %d: %w", version, latest, ErrNewer)
	}
	return nil
}
