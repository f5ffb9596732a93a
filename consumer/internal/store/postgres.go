package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// postgresStore is Store on a PostgreSQL database, for any number of consumers. Its tables
// are in the first schema of the connection's search_path.
//
// The order in which transactions take locks is the same everywhere, so that no two wait
// for each other crosswise (postgres_begin.go); where a wait has no such order it is
// skipped (SKIP LOCKED) or ends soon (lock_timeout) and comes again.
type postgresStore struct {
	name   string // as it may be shown
	pool   *pgxpool.Pool
	schema string
	server string // "PostgreSQL 15.13"
	o      Options
}

// oldestServer is the oldest release that is taken, as server_version_num has it: 13.
const oldestServer = 130000

// openPostgres opens the database and, unless it is for reading only, brings its tables up
// to date. A pool makes its connections when they are needed, and new ones for those that
// broke.
func openPostgres(ctx context.Context, raw string, o Options) (_ Store, err error) {
	config, passwordFrom, err := postgresConfig(raw, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if passwordFrom != "" {
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = readPassword(passwordFrom)
			return err
		}
	}
	if !o.ReadOnly {
		config.AfterConnect = insistOnDurability
	}
	migrations, err := readMigrations(postgresFiles, "migrations/postgres")
	if err != nil {
		return nil, err
	}
	s := &postgresStore{name: Name(raw), o: o}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.pool.Close()
		}
	}()
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	if o.ReadOnly {
		if err := s.readable(ctx, migrations); err != nil {
			return nil, fmt.Errorf("%s answers: %w", s.server, err)
		}
		return s, nil
	}
	from, to, err := s.migrate(ctx, migrations)
	if err != nil {
		return nil, err
	}
	if err := s.makePartitions(ctx, o.Now()); err != nil {
		// Rows of days without one are in the default partition, until retention comes by.
		o.Log.Warn("could not make partitions ahead, trying again with retention", zap.Error(err))
	}
	o.Log.Info("opened the database", zap.String("store", s.name), zap.String("server", s.server), zap.String("schema", s.schema),
		zap.Int("version_before", from), zap.Int("version", to), zap.Int32("connections_at_most", config.MaxConns))
	return s, nil
}

// insistOnDurability sees to it that a commit is on disk when it is answered, also where
// the database or the user was set to less. A setting that waits for standbys is kept.
func insistOnDurability(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// look reads what the server is and where tables go. Errors: ErrServer; any other means
// that it is away or lets nobody in.
func (s *postgresStore) look(ctx context.Context) error {
	var number int
	var version, encoding string
	var schema *string
	err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
		current_setting('server_encoding'), current_schema()`).Scan(&number, &version, &encoding, &schema)
	switch {
	case err != nil:
		return fmt.Errorf("ask for the server's version: %w", err)
	case number < oldestServer:
		return fmt.Errorf("it is PostgreSQL %s, want %d or newer: %w", version, oldestServer/10000, ErrServer)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, want UTF8: %w", encoding, ErrServer)
	case schema == nil:
		return fmt.Errorf("there is no schema for the tables: make one of search_path: %w", ErrServer)
	}
	s.server, s.schema = "PostgreSQL "+version, *schema
	return nil
}

// lockID returns the number of an advisory lock. Locks are those of a whole database, so
// that the schema is in it: two deployments in one database do not wait for each other.
func (s *postgresStore) lockID(what string) int64 {
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "tidegate\x00%s\x00%s", s.schema, what) // cannot fail
	return int64(hash.Sum64())
}

// inTx runs do in a transaction, which is committed unless do fails.
func (s *postgresStore) inTx(ctx context.Context, do func(pgx.Tx) error) error {
	if err := pgx.BeginFunc(ctx, s.pool, do); err != nil {
		return ended(ctx, err)
	}
	return nil
}

// ended adds to an error that the context is why, where it is: the server says only that
// the statement was cancelled.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Ping says whether the database answers.
func (s *postgresStore) Ping(ctx context.Context) error {
	var one int
	if err := s.pool.QueryRow(ctx, "SELECT count(*) FROM schema_migration").Scan(&one); err != nil {
		return fmt.Errorf("ask %s: %w", s.name, ended(ctx, err))
	}
	return nil
}

// Single says that any number of consumers can use the database.
func (s *postgresStore) Single() bool { return false }

// Close waits for transactions that are open and closes all connections.
func (s *postgresStore) Close() error {
	s.pool.Close()
	return nil
}
