package store

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestMigrations reads every migration in the binary.
func TestMigrations(t *testing.T) {
	all, err := readMigrations(sqliteFiles, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.name == "" || strings.TrimSpace(m.sql) == "" {
			t.Errorf("migration %d has no name or does nothing", m.version)
		}
	}
}

func TestReadMigrationsRefuses(t *testing.T) {
	const good = "-- compatible: 1\nCREATE TABLE x (y);\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		says  string
	}{
		{"a gap", map[string]string{"0001_a.sql": good, "0003_b.sql": good}, "want version 2"},
		{"a version twice", map[string]string{"0001_a.sql": good, "1_b.sql": good}, "want version 2"},
		{"no version", map[string]string{"initial.sql": good}, "version"},
		{"no first line", map[string]string{"0001_a.sql": "CREATE TABLE x (y);"}, "first line"},
		{"compatible with a later one", map[string]string{"0001_a.sql": "-- compatible: 2\n"}, "want 1 to 1"},
		{"not readable by the release before", map[string]string{"0001_a.sql": good, "0002_b.sql": "-- compatible: 2\n"}, "want 1 to 1"},
		{"compatible with none", map[string]string{"0001_a.sql": "-- compatible: 0\n"}, "want 1 to 1"},
		{"compatible with no number", map[string]string{"0001_a.sql": "-- compatible: all\n"}, "compatible"},
	} {
		files := fstest.MapFS{}
		for name, text := range test.files {
			files["m/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := readMigrations(files, "m"); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want one that says %q", test.name, err, test.says)
		}
	}
	if _, err := readMigrations(fstest.MapFS{}, "m"); err == nil {
		t.Error("a folder that is not there was read")
	}
}

// later makes the database of path one of a later release, whose tables are to be read
// from version compatible on.
func later(t *testing.T, path string, version, compatible int) {
	t.Helper()
	s := sqliteAt(path)(t, Options{}).(*sqliteStore)
	_, err := s.write.Exec("INSERT INTO schema_migration (version, compatible, name, applied_at) VALUES (?, ?, 'later', 0)",
		version, compatible)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLaterReleases(t *testing.T) {
	all, err := readMigrations(sqliteFiles, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	latest := len(all)
	for _, test := range []struct {
		name       string
		version    int
		compatible int
		reads      bool
	}{
		{"the next release, readable by this one", latest + 1, latest, true},
		{"two releases on, still readable", latest + 2, latest, true},
		{"a release that this one cannot read", latest + 1, latest + 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tidegate.db")
			save(t, sqliteAt(path).open(t, Options{}), batch())
			later(t, path, test.version, test.compatible)

			_, err := Open(t.Context(), "sqlite:"+path, Options{})
			if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), path) {
				t.Errorf("Open to write: %v, want ErrNewer with the path", err)
			}
			s, err := Open(t.Context(), "sqlite:"+path, Options{ReadOnly: true})
			if !test.reads {
				if !errors.Is(err, ErrNewer) {
					t.Errorf("Open to read: %v, want ErrNewer", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Open to read: %v", err)
			}
			if n := len(list(t, s.Alarms(t.Context(), AlarmFilter{}))); n != 2 {
				t.Errorf("%d alarms, want 2", n)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMigrateForward brings a database of an earlier release up to date, and finds it up
// to date the second time.
func TestMigrateForward(t *testing.T) {
	s := sqliteAt(filepath.Join(t.TempDir(), "tidegate.db")).open(t, Options{}).(*sqliteStore)
	all, err := readMigrations(sqliteFiles, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1)
	latest := len(all)
	next := append(slices.Clone(all),
		migration{version: latest + 1, compatible: latest, name: "one", sql: "CREATE TABLE one (x); INSERT INTO one VALUES (1);"},
		migration{version: latest + 2, compatible: latest + 1, name: "two", sql: "ALTER TABLE one ADD COLUMN y;"})
	if from, to, err := migrate(t.Context(), s.write, next, now); from != latest || to != latest+2 || err != nil {
		t.Errorf("migrate: %d to %d, %v", from, to, err)
	}
	if from, to, err := migrate(t.Context(), s.write, next, now); from != latest+2 || to != latest+2 || err != nil {
		t.Errorf("migrate again: %d to %d, %v", from, to, err)
	}

	bad := append(slices.Clone(next),
		migration{version: latest + 3, compatible: latest + 2, name: "three", sql: "CREATE TABLE three (x);"},
		migration{version: latest + 4, compatible: latest + 3, name: "four", sql: "CREATE TABEL four (x);"})
	_, _, err = migrate(t.Context(), s.write, bad, now)
	if err == nil || !strings.Contains(err.Error(), "(four)") {
		t.Errorf("migrate with a fault: %v", err)
	}
	var tables int
	if err := s.write.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'three'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables of a migration that was not committed, %v", tables, err)
	}
	if version, compatible, err := installed(t.Context(), s.read); version != latest+2 || compatible != latest+1 || err != nil {
		t.Errorf("installed: %d, %d, %v", version, compatible, err)
	}
}

// Tables that a release cannot read are none that are missing: a command that prints them has to
// say so instead of printing nothing.
func TestReadsSaysWhatToDo(t *testing.T) {
	for _, test := range []struct {
		version, compatible int
		want                error
	}{
		{0, 0, ErrMissing}, {2, 1, ErrOlder}, {3, 2, nil}, {4, 3, nil}, {5, 4, ErrNewer},
	} {
		if err := reads(test.version, test.compatible, 3); !errors.Is(err, test.want) {
			t.Errorf("version %d, to be read from %d on: %v, want %v", test.version, test.compatible, err, test.want)
		}
	}
}
