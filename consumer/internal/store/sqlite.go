package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteStore is Store on one SQLite file.
//
// SQLite has one writer at a time. Within the process that is a pool of one connection:
// who waits for it waits in Go, in order, and gives up with its context. Only another
// process makes anyone wait for the file's lock (busyTimeout). Readers have connections
// of their own and, with a write-ahead log, neither wait for the writer nor hold it up.
type sqliteStore struct {
	path  string
	write *sql.DB // nil: opened for reading only
	read  *sql.DB
	stmts *statements // of write
	o     Options
}

const (
	// busyTimeout is how long to wait for another process's lock. A wait ends with its
	// context, so it only has to be shorter than what a person takes for "it hangs".
	busyTimeout = 5 * time.Second

	// maxReaders bounds the reading connections, each of which has a cache.
	maxReaders = 4

	writerCacheKiB = 16 << 10
	readerCacheKiB = 2 << 10

	// checkpointPages is how long the write-ahead log grows before it is copied into the
	// file. Each time costs two syncs and writes every changed page once, so that fewer
	// are cheaper: 16 MiB.
	checkpointPages = 4096

	// maxLogBytes is what is kept of a write-ahead log that grew while a long read held
	// up its reuse.
	maxLogBytes = 64 << 20
)

// openSQLite opens or makes the database at path.
func openSQLite(ctx context.Context, path string, o Options) (_ Store, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	migrations, err := readMigrations(sqliteFiles, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	s := &sqliteStore{path: path, o: o}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if o.ReadOnly {
		return s, s.openForReading(ctx, migrations)
	}
	return s, s.openForWriting(ctx, migrations)
}

// openForWriting makes the file where there is none, opens both pools, and migrates.
func (s *sqliteStore) openForWriting(ctx context.Context, migrations []migration) error {
	made, err := makeFile(s.path)
	if err != nil {
		return err
	}
	s.write, err = sql.Open("sqlite", dsn(s.path, writerCacheKiB, map[string]string{
		"_txlock": "immediate", // take the write lock at once: to upgrade a read could fail
	}, "synchronous(FULL)", "journal_mode(WAL)", "fullfsync(1)",
		"temp_store(MEMORY)", // the statement journal of an insert of many rows, which else goes through a file
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages), fmt.Sprintf("journal_size_limit(%d)", maxLogBytes)))
	if err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	s.openReaders()

	var from, to int
	err = untilFree(ctx, func() (err error) {
		from, to, err = migrate(ctx, s.write, migrations, s.o.Now())
		return err
	})
	if err != nil {
		return err
	}
	s.stmts, err = prepareStatements(ctx, s.write)
	if err != nil {
		return err
	}
	s.o.Log.Info("opened the database",
		zap.String("path", s.path), zap.Bool("made", made), zap.Int("version_before", from), zap.Int("version", to))
	return nil
}

// untilFree runs do again while another process has the file's lock, for about busyTimeout.
// SQLite itself waits, but not where the one who asks holds a read lock, as when a new file
// is switched to a write-ahead log: two who start at once would wait for each other.
func untilFree(ctx context.Context, do func() error) error {
	const pause = 10 * time.Millisecond
	for deadline := time.Now().Add(busyTimeout); ; {
		err := do()
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): // not in step with the other
		}
	}
}

// openForReading opens the readers' pool of a database that is there.
func (s *sqliteStore) openForReading(ctx context.Context, migrations []migration) error {
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", s.path, ErrMissing)
	} else if err != nil {
		return err
	}
	s.openReaders()
	return readable(ctx, s.read, migrations)
}

// openReaders opens the pool of connections that cannot write. They are not opened in
// SQLite's read-only mode, which cannot make the index of the write-ahead log where the
// writer is not running.
func (s *sqliteStore) openReaders() {
	// The driver reports a bad name with the first connection, not here.
	s.read, _ = sql.Open("sqlite", dsn(s.path, readerCacheKiB, nil, "query_only(1)"))
	s.read.SetMaxOpenConns(maxReaders)
	s.read.SetMaxIdleConns(1)
}

// makeFile makes the file, readable by its owner only, and its folder. SQLite gives its
// companions the same rights. It says whether it made the file.
func makeFile(path string) (made bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return false, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}

// dsn returns the driver's name of the database at path.
func dsn(path string, cacheKiB int, options map[string]string, pragmas ...string) string {
	query := url.Values{"mode": {"rw"}}
	for key, value := range options {
		query.Set(key, value)
	}
	query.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	query.Add("_pragma", fmt.Sprintf("cache_size(%d)", -cacheKiB))
	for _, pragma := range pragmas {
		query.Add("_pragma", pragma)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// Ping says whether the database answers.
func (s *sqliteStore) Ping(ctx context.Context) error {
	var one int
	if err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM schema_migration").Scan(&one); err != nil {
		return fmt.Errorf("ask %s: %w", s.path, classify(err))
	}
	return nil
}

// Single says that no second consumer can use the file.
func (s *sqliteStore) Single() bool { return true }

// Close closes the readers first, so that the writer, as the last connection, can put
// the write-ahead log into the file and remove it.
func (s *sqliteStore) Close() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.stmts != nil {
		errs = append(errs, s.stmts.close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
