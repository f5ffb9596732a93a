package store

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Name returns a --store value as it may be shown: without the password, should it hold
// one. What cannot be read is not shown.
func Name(raw string) string {
	scheme, _, found := strings.Cut(raw, ":")
	switch {
	case scheme == "sqlite" || !found && !strings.Contains(raw, "="):
		return raw
	case !found || strings.ContainsAny(scheme, "= "):
		return "***" // libpq's words, such as password=
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return scheme + ":***"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	for key := range query {
		if strings.HasSuffix(key, "password") {
			query.Del(key)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Times of a connection to PostgreSQL, unless the URL says otherwise.
const (
	// connectTimeout bounds the making of one connection.
	connectTimeout = 5 * time.Second

	// statementTimeout bounds one statement of the consumer, retention's included. Those
	// of a store opened for reading are bounded by their context only.
	statementTimeout = 30 * time.Second

	// lockTimeout bounds the wait for another transaction. What holds locks for longer is
	// no consumer at work.
	lockTimeout = 10 * time.Second

	// idleTimeout is after how long the server ends a transaction whose consumer says
	// nothing: one that was stopped (SIGSTOP), or is gone with its machine, must not keep
	// its successor from its rows. Between two statements of a transaction there are
	// milliseconds of work.
	idleTimeout = 10 * time.Second

	// pingTimeout bounds the look at a connection that has rested before it is used.
	pingTimeout = 5 * time.Second

	// cancelTimeout is how long the server has to give up a statement whose context ended,
	// before the connection is given up.
	cancelTimeout = time.Second
)

// maxConnections bounds the connections of one consumer: workers beyond it wait for each
// other. The URL's pool_max_conns overrides it.
const maxConnections = 10

// passwordFile is the one parameter of the URL that is ours: the file that holds the
// password, nothing but a newline behind it. Everything else is libpq's or pgxpool's.
const passwordFile = "password_file"

// postgresConfig reads the URL. Error: ErrURL, which never holds the password.
func postgresConfig(raw string, readOnly bool) (config *pgxpool.Config, passwordFrom string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("cannot be parsed: %w", ErrURL) // the parser's error quotes it
	}
	query := u.Query()
	passwordFrom = query.Get(passwordFile)
	query.Del(passwordFile)
	u.RawQuery = query.Encode()
	if _, inURL := u.User.Password(); inURL && passwordFrom != "" {
		return nil, "", fmt.Errorf("it has a password and a %s: %w", passwordFile, ErrURL)
	}
	config, err = pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, "", fmt.Errorf("%w: %s", ErrURL, withoutURL(err))
	}
	if !query.Has("pool_max_conns") {
		config.MaxConns = maxConnections
	}
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	setParameters(c.RuntimeParams, readOnly)
	if !readOnly && c.ValidateConnect == nil {
		// Of several hosts, and behind a name that moves, only the one that takes writes.
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTimeout}
	}
	return config, passwordFrom, nil
}

// setParameters sets what a session begins with, where the URL does not.
func setParameters(parameters map[string]string, readOnly bool) {
	milliseconds := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	defaults := map[string]string{
		"application_name":                    "tidegate-consumer",
		"statement_timeout":                   milliseconds(statementTimeout),
		"lock_timeout":                        milliseconds(lockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(idleTimeout),
		"default_transaction_isolation":       "read committed", // each statement sees what the lock before it waited for
		// plan_cache_mode is left as the server has it, so that plans can be kept; but see queueOnDays.
	}
	if readOnly {
		defaults["statement_timeout"] = "0"
		defaults["default_transaction_read_only"] = "on"
	} else {
		// Rows are looked for by their keys, also while a partition is so young that reading
		// all of it seems cheaper; and what has no index is not worth compiling.
		defaults["enable_seqscan"] = "off"
		defaults["jit"] = "off"
	}
	for name, value := range defaults {
		if _, given := parameters[name]; !given {
			parameters[name] = value
		}
	}
}

// withoutURL returns the text of a parse error behind the URL that it quotes.
func withoutURL(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, "`"); at >= 0 {
		text = strings.TrimLeft(text[at+1:], ": ")
	}
	return text
}

// readPassword reads the password from its file, at each connection, so that a new one
// needs no restart.
func readPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", passwordFile, err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("read %s: %s is empty", passwordFile, path)
	}
	return password, nil
}
