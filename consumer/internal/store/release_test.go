package store

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/schema"
)

// insertOldNotice is what the first release saved; it takes the time of creation.
const insertOldNotice = `INSERT INTO notice (app_id, period, kind, step, count, alarm, created_at) VALUES (7, '2026-11-22', 'step', 'watch', 1, '{}', %s)`

// firstReleases make databases as the first release left them, with one notice in each.
var firstReleases = map[string]func(t *testing.T) database{
	"SQLite": func(t *testing.T) database {
		path := filepath.Join(t.TempDir(), "tidegate.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", dsn(path, 100, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		all, err := readMigrations(sqliteFiles, "migrations/sqlite")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := migrate(t.Context(), db, all[:1], start); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(fmt.Sprintf(insertOldNotice, "1000")); err != nil {
			t.Fatal(err)
		}
		return sqliteAt(path)
	},
	"PostgreSQL": func(t *testing.T) database {
		url := storetest.Postgres(t)
		all, err := readMigrations(postgresFiles, "migrations/postgres")
		if err != nil {
			t.Fatal(err)
		}
		storetest.Exec(t, url, createPostgresMigrationTable+";"+all[0].sql+
			"; INSERT INTO schema_migration VALUES (1, 1, 'initial', now()); "+fmt.Sprintf(insertOldNotice, "'2026-11-22'"))
		return postgresAt(url)
	},
}

// The first release told nobody: its notices are no news to one that does. Its database
// stays readable to it.
func TestDatabaseOfTheFirstRelease(t *testing.T) {
	for name, made := range firstReleases {
		t.Run(name, func(t *testing.T) {
			s := made(t).open(t, Options{Now: atStart})
			outbox := s.(Outbox)
			if unrouted, err := outbox.Unrouted(t.Context(), 10); err != nil || len(unrouted) != 0 {
				t.Errorf("unrouted: %+v, %v", unrouted, err)
			}
			c := batch()
			c.Notices[0] = notice(1, schema.SeverityWatch)
			save(t, s, c)
			if unrouted, err := outbox.Unrouted(t.Context(), 10); err != nil || len(unrouted) != 1 || unrouted[0].AppID != 1 {
				t.Errorf("unrouted: %+v, %v", unrouted, err)
			}
			if all := list(t, s.Notices(t.Context(), NoticeFilter{})); len(all) != 2 || all[1].AppID != 7 {
				t.Errorf("notices: %+v", all)
			}
			var version, compatible int
			var err error
			switch s := s.(type) {
			case *sqliteStore:
				version, compatible, err = installed(t.Context(), s.read)
			case *postgresStore:
				version, compatible, err = installedPostgres(t.Context(), s.pool, s.schema)
			}
			if err != nil || reads(version, compatible, 1) != nil {
				t.Errorf("tables of version %d, to be read from %d on, %v", version, compatible, err)
			}
		})
	}
}
