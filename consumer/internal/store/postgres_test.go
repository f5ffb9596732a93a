package store

import (
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// postgresAt returns the database of a --store value.
func postgresAt(url string) database {
	return func(t *testing.T, o Options) Store {
		t.Helper()
		s, err := Open(t.Context(), url, o)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s
	}
}

func TestPostgres(t *testing.T) {
	testStore(t, func(t *testing.T) database { return postgresAt(storetest.Postgres(t)) })
}
