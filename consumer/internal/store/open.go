package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Open opens the database that url names, such as sqlite:data/tidegate.db, makes it where
// there is none, and brings its tables up to date. With o.ReadOnly it changes nothing.
//
// Errors: ErrURL, ErrNewer, ErrForeign and, with ReadOnly, ErrMissing are for the
// operator; any other means that the database is away.
func Open(ctx context.Context, url string, o Options) (Store, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.DeadLetterBytes = cmp.Or(o.DeadLetterBytes, DefaultDeadLetterBytes)

	scheme, path, _ := strings.Cut(url, ":")
	if scheme != "sqlite" || path == "" {
		return nil, fmt.Errorf("open store %q: %w", url, ErrURL)
	}
	s, err := openSQLite(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", url, err)
	}
	return s, nil
}
