package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Open opens the database that url names, such as sqlite:data/tidegate.db or
// postgres://tidegate@db.example/tidegate, and brings its tables up to date. A SQLite file
// is made where there is none; a PostgreSQL database is not. With o.ReadOnly it changes
// nothing.
//
// A postgres URL is libpq's, with pgxpool's pool_max_conns and such, and password_file: the
// file that holds the password, read again at each connection. Without that the password
// comes from PGPASSWORD, ~/.pgpass, or the URL. It is never in an error or a log.
//
// Errors: ErrURL, ErrNewer, ErrForeign, ErrServer and, with ReadOnly, ErrMissing and ErrOlder,
// which may have ErrRights beside them, are for the operator. Of any other IsAway says whether
// the database is away, so that it is worth waiting for; the rest is for the operator, too.
func Open(ctx context.Context, url string, o Options) (Store, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.DeadLetterBytes = cmp.Or(o.DeadLetterBytes, DefaultDeadLetterBytes)

	scheme, path, _ := strings.Cut(url, ":")
	var s Store
	var err error
	switch {
	case scheme == "sqlite" && path != "":
		s, err = openSQLite(ctx, path, o)
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(path, "//"):
		s, err = openPostgres(ctx, url, o)
	default:
		err = ErrURL
	}
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", Name(url), ended(ctx, err))
	}
	return s, nil
}
