// Package storetest gives tests a PostgreSQL database of their own, on the server that
// TIDEGATE_TEST_POSTGRES names. `make test-postgres` starts one.
package storetest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable is the environment variable that names the server: a URL as --store takes it,
// with password_file where the server wants a password. Its user may make schemas.
const Variable = "TIDEGATE_TEST_POSTGRES"

// patience bounds what is asked of the server for one test.
const patience = 30 * time.Second

// Postgres returns the --store value of an empty database: a schema of its own, which goes
// with the test. It skips the test where there is no server.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		t.Skipf("%s is not set: make test-postgres starts a server and sets it", Variable)
	}
	schema := "test_" + strings.ToLower(rand.Text())
	Exec(t, server, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { Exec(t, server, "DROP SCHEMA "+schema+" CASCADE") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is no URL", Variable)
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// Guest returns a --store value of Postgres as somebody sees it who may look at the schema and
// change nothing in it.
func Guest(t testing.TB, store string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal("not a URL")
	}
	query := u.Query()
	guest := "guest_" + strings.ToLower(rand.Text())
	Exec(t, store, "CREATE ROLE "+guest+"; GRANT USAGE ON SCHEMA "+query.Get("search_path")+" TO "+guest)
	t.Cleanup(func() { Exec(t, store, "DROP OWNED BY "+guest+"; DROP ROLE "+guest) })
	query.Set("role", guest)
	u.RawQuery = query.Encode()
	return u.String()
}

// Exec runs statements in the database of a --store value.
func Exec(t testing.TB, store, statements string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := Connect(ctx, t, store)
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		t.Fatalf("%.100q: %v", statements, err)
	}
}

// Connect returns a connection of its own to the database of a --store value. The caller
// closes it.
func Connect(ctx context.Context, t testing.TB, store string) *pgx.Conn {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal("not a URL")
	}
	query := u.Query()
	file := query.Get("password_file")
	query.Del("password_file")
	u.RawQuery = query.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		password, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		config.Password = strings.TrimRight(string(password), "\n")
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
