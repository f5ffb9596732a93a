package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/schema"
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

// openPostgresAt opens a database whose clock the test has.
func openPostgresAt(t *testing.T, url string, now func() time.Time) *postgresStore {
	t.Helper()
	return postgresAt(url).open(t, Options{Now: now}).(*postgresStore)
}

// with returns a --store value with a parameter more.
func with(t *testing.T, store, key, value string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(key, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func atStart() time.Time { return start }

// Law: the day follows from the id, and is that of the vendor's EventTime, of receipt where
// there is none: whatever state, zone or apps file a copy is enriched with.
func TestEventDayFollowsFromTheID(t *testing.T) {
	ms := rapid.Int64Range(0, 1<<48-1)
	rapid.Check(t, func(t *rapid.T) {
		c := schema.Callback{ID: schema.CallbackID{Journal: 1, LSN: 2}, AppID: 1, ReceivedAt: time.UnixMilli(ms.Draw(t, "received"))}
		a := schema.QuotaAlarm{Quota: 1}
		want := c.ReceivedAt
		if rapid.Bool().Draw(t, "has time") {
			a.EventTime = time.UnixMilli(ms.Draw(t, "event")).UTC()
			want = a.EventTime
		}
		day, err := eventDay(schema.AlarmID(&c, &a))
		if err != nil || day.Format(time.DateOnly) != want.UTC().Format(time.DateOnly) || day.Hour() != 0 {
			t.Fatalf("event %v, received %v: day %v, %v", a.EventTime, c.ReceivedAt, day, err)
		}
	})
	for _, id := range []string{"", "01a205eca0c", "never seen before", "-1a205eca0c000000000"} {
		if _, err := eventDay(id); !errors.Is(err, ErrData) {
			t.Errorf("eventDay of %q: %v, want ErrData", id, err)
		}
	}
}

// The database holds to it by itself.
func TestPostgresRefusesAnotherDay(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	save(t, s, batch())
	for _, days := range []int{1, -1, 400} {
		_, err := s.pool.Exec(t.Context(), "UPDATE alarm SET event_day = event_day + $1::integer", days)
		if !errors.Is(classifyPostgres(err), ErrData) || !strings.Contains(err.Error(), "alarm_day_follows_from_id") {
			t.Errorf("%d days on: %v", days, err)
		}
	}
}

func TestPostgresOpenRefuses(t *testing.T) {
	server := storetest.Postgres(t)
	foreign := storetest.Postgres(t)
	storetest.Exec(t, foreign, "CREATE TABLE photo (id integer)")
	file := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		name, url string
		readOnly  bool
		want      error
		says      string
	}{
		{"another program's schema", foreign, false, ErrForeign, "1 tables"},
		{"another program's schema, to read", foreign, true, ErrForeign, ""},
		{"nothing there, to read", server, true, ErrMissing, "version 0"},
		{"nothing there, to read, for a guest", storetest.Guest(t, server), true, ErrRights, "no consumer has saved anything there yet"},
		{"a schema that is not there", with(t, server, "search_path", "nowhere"), false, ErrServer, "no schema"},
		{"a database that is not there", strings.Replace(server, "/postgres?", "/none?", 1), false, nil, `database "none" does not exist`},
		{"a wrong password", strings.Replace(with(t, server, "password_file", ""), "tidegate@", "tidegate:s3cret@", 1), false, nil, "password authentication failed"},
		{"an empty password file", with(t, server, "password_file", file), false, nil, "is empty"},
		{"no password file", with(t, server, "password_file", file+"x"), false, nil, "no such file"},
		{"nobody listens", "postgres://u:s3cret@127.0.0.1:1/db", false, nil, "refused"},
		{"nobody answers", "postgres://u:s3cret@" + silent.Addr().String() + "/db?connect_timeout=1&sslmode=disable", false, nil, "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), test.url, Options{ReadOnly: test.readOnly})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %v that says %q", err, test.want, test.says)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// What has a mistake is not shown as it is: the mistake may be in the password.
func TestURLsThatCannotBeRead(t *testing.T) {
	for _, raw := range []string{
		"postgres://u:s3cret@h:port/db", "postgres://u:s3cret@h/db?connect_timeout=soon", "postgres://u:s3cret@h/db?sslmode=perhaps",
		"postgres://u:s3cret@h/db?password_file=f", "postgres://u:s3cret%zz@h/db", "mysql://u:s3cret@h/db", "postgres:u:s3cret",
		"postgres://u@h/db?password=s3cret&pool_max_conns=0",
	} {
		_, err := Open(t.Context(), raw, Options{})
		if !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestPostgresStateThatCannotBeRead is the data's fault: its app's alarms become dead letters, and those of
// others go on.
func TestPostgresStateThatCannotBeRead(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO period (app_id, key, last_at, state) VALUES (7, '', now(), 'x')"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), "t", 0, nil, []int64{7}); !errors.Is(err, ErrData) {
		t.Errorf("error %v, want ErrData", err)
	}
}

// A batch of apps that have a row tries none: an insert for each was a tenth of what a small batch
// costs the server. A trigger sees one that is tried, also where there is a row.
func TestKnownAppsAreNotInserted(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	tx := begin(t, s, nil, 1, 2)
	if err := tx.Save(t.Context(), Changes{Periods: map[int64]quota.Period{1: {Date: "2026-11-23"}, 2: {}}, Progress: progressAt(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'app % is inserted', NEW.app_id; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON period FOR EACH ROW EXECUTE FUNCTION refuse()`); err != nil {
		t.Fatal(err)
	}
	begin(t, s, nil, 2, 1).Rollback()
	if _, err := s.Begin(t.Context(), rawTopic, 3, nil, []int64{1, 2, 3}); err == nil || !strings.Contains(err.Error(), "is inserted") {
		t.Errorf("begin with a new app: %v", err)
	}
}

func TestName(t *testing.T) {
	for raw, want := range map[string]string{
		"sqlite:data/tidegate.db":                                  "sqlite:data/tidegate.db",
		"data/tidegate.db":                                         "data/tidegate.db",
		"postgres://u:s3cret@h:5432/db":                            "postgres://u@h:5432/db",
		"postgres://u@h/db?password=s3cret&sslpassword=s3cret":     "postgres://u@h/db",
		"postgres://h1:1,h2:2/db?sslmode=verify-full":              "postgres://h1:1,h2:2/db?sslmode=verify-full",
		"postgres://u:s3%zzcret@h/db":                              "postgres:***",
		"host=db user=u password=s3cret":                           "***",
		"host=db user=u password=s3:cret":                          "***",
		"postgres:s3cret":                                          "postgres:***",
		"postgres://u@h/db?password_file=%2Frun%2Fsecrets%2Fstore": "postgres://u@h/db?password_file=%2Frun%2Fsecrets%2Fstore",
	} {
		if got := Name(raw); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
}

func TestClassifyPostgres(t *testing.T) {
	for code, data := range map[string]bool{
		"21000": true, "22003": true, "22021": true, "22P05": true, "23502": true, "23514": true, "54000": true, // values, constraints, no partition, sizes
		"08006": false, "25006": false, "25P03": false, "40001": false, "40P01": false, "42501": false, "53100": false, "53300": false,
		"55P03": false, "57014": false, "57P01": false, "57P03": false, "58030": false, "XX000": false, "": false,
	} {
		err := fmt.Errorf("save: %w", &pgconn.PgError{Code: code})
		if got := errors.Is(classifyPostgres(err), ErrData); got != data {
			t.Errorf("SQLSTATE %s is the data's fault: %v, want %v", code, got, data)
		}
	}
}

// TestPostgresSettings reads the settings of a session back, also where the URL has others.
func TestPostgresSettings(t *testing.T) {
	url := storetest.Postgres(t)
	settings := func(s *postgresStore) map[string]string {
		all := map[string]string{}
		for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit", "default_transaction_read_only"} {
			var value string
			if err := s.pool.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
				t.Fatal(err)
			}
			all[name] = value
		}
		return all
	}
	s := openPostgresAt(t, with(t, url, "synchronous_commit", "off"), nil)
	equal(t, "settings", settings(s), map[string]string{
		"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "10s",
		"synchronous_commit":            "on", // a commit is on disk before the offset is committed to Kafka
		"default_transaction_read_only": "off",
	})
	equal(t, "settings of the URL", settings(openPostgresAt(t, with(t, url, "statement_timeout", "5000"), nil))["statement_timeout"], "5s")
	reader := postgresAt(url).open(t, Options{ReadOnly: true}).(*postgresStore)
	if got := settings(reader); got["default_transaction_read_only"] != "on" || got["statement_timeout"] != "0" {
		t.Errorf("a reader's settings: %v", got)
	}
	if s.Single() {
		t.Error("PostgreSQL says that only one consumer may use it")
	}
}

func TestTenStartTogether(t *testing.T) {
	url := storetest.Postgres(t)
	errs := make(chan error)
	const starts = 10
	for range starts {
		go func() {
			s, err := Open(t.Context(), url, Options{Now: atStart})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range starts {
		if err := <-errs; err != nil {
			t.Errorf("Open: %v", err)
		}
	}
	s := openPostgresAt(t, url, atStart)
	save(t, s, batch())
	all, err := readMigrations(postgresFiles, "migrations/postgres")
	if err != nil {
		t.Fatal(err)
	}
	var versions, partitions int
	err = s.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM schema_migration), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'alarm'::regclass)").
		Scan(&versions, &partitions)
	if err != nil || versions != len(all) || partitions != 2*partitionDays+2 {
		t.Errorf("%d versions, %d partitions, %v", versions, partitions, err)
	}
}

func TestPostgresMigrates(t *testing.T) {
	url := storetest.Postgres(t)
	s := openPostgresAt(t, url, atStart)
	all, err := readMigrations(postgresFiles, "migrations/postgres")
	if err != nil {
		t.Fatal(err)
	}
	latest := len(all)
	next := append(slices.Clone(all),
		migration{version: latest + 1, compatible: latest, name: "one", sql: "CREATE TABLE one (x integer); INSERT INTO one VALUES (1);"},
		migration{version: latest + 2, compatible: latest + 1, name: "two", sql: "ALTER TABLE one ADD COLUMN y text;"})
	bad := append(slices.Clone(next),
		migration{version: latest + 3, compatible: latest + 2, name: "three", sql: "CREATE TABLE three (x integer);"},
		migration{version: latest + 4, compatible: latest + 3, name: "four", sql: "CREATE TABEL four (x integer);"})
	if _, _, err := s.migrate(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "(four)") {
		t.Errorf("migrate with a fault: %v", err)
	}
	if version, _, err := installedPostgres(t.Context(), s.pool, s.schema); version != latest || err != nil {
		t.Errorf("a migration that failed left version %d, %v", version, err)
	}
	for _, from := range []int{latest, latest + 2} {
		if f, to, err := s.migrate(t.Context(), next); f != from || to != latest+2 || err != nil {
			t.Errorf("migrate: %d to %d, %v", f, to, err)
		}
	}
	// This release, behind the next two: not to write, and to read what says that it can.
	if _, err := Open(t.Context(), url, Options{}); !errors.Is(err, ErrNewer) {
		t.Errorf("Open to write: %v, want ErrNewer", err)
	}
	if _, err := Open(t.Context(), url, Options{ReadOnly: true}); !errors.Is(err, ErrNewer) {
		t.Errorf("Open to read: %v, want ErrNewer", err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE schema_migration SET compatible = 1"); err != nil {
		t.Fatal(err)
	}
	reader := postgresAt(url).open(t, Options{ReadOnly: true})
	if n := len(list(t, reader.Alarms(t.Context(), AlarmFilter{}))); n != 0 {
		t.Errorf("%d alarms", n)
	}
}

// partitionNames returns the days that have partitions, and how many rows the default has.
func partitionNames(t *testing.T, s *postgresStore) (names []string, strangers int) {
	t.Helper()
	parts, err := s.partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+defaultPartition).Scan(&strangers); err != nil {
		t.Fatal(err)
	}
	return names, strangers
}

// onDay returns an alarm whose event and receipt are so many days after start.
func onDay(app int64, n, event, receipt int) Alarm {
	a := alarm(app, n)
	at := start.AddDate(0, 0, event).Add(time.Duration(n) * time.Second)
	a.VendorTime = at
	a.Event.AlarmID = fmt.Sprintf("%012x", at.UnixMilli()) + a.Event.AlarmID[12:]
	a.Event.EventTime = schema.FormatTime(at)
	a.Event.ReceivedAt = schema.FormatTime(start.AddDate(0, 0, receipt).Add(time.Duration(n) * time.Second))
	return encoded(a)
}

// An alarm dated ahead is in the default partition until its day comes; then it moves, and
// a copy of it is still a copy.
func TestDaysThatCome(t *testing.T) {
	now := start
	s := openPostgresAt(t, storetest.Postgres(t), func() time.Time { return now })
	today, ahead := onDay(1, 0, 0, 0), onDay(1, 1, 20, 0)
	save(t, s, Changes{Alarms: []Alarm{today, ahead}, Progress: progressAt(1)})
	names, strangers := partitionNames(t, s)
	if len(names) != 2*partitionDays+1 || names[partitionDays] != "alarm_20261123" || strangers != 1 {
		t.Errorf("partitions %v, %d rows in the default", names, strangers)
	}
	const around = 2*partitionDays + 1
	for _, test := range []struct{ days, want, strangers int }{
		{1, around + 1, 1},
		{1, around + 1, 1}, // once more, the same day
		{13, around + 13, 0},
		{400, around + 13 + around, 0}, // nobody was there for a year
	} {
		now = start.AddDate(0, 0, test.days)
		if n, err := s.Retain(t.Context(), 0, now); n != 0 || err != nil {
			t.Fatalf("Retain of 0 days: %d, %v", n, err)
		}
		names, strangers = partitionNames(t, s)
		if len(names) != test.want || strangers != test.strangers {
			t.Errorf("after %d days: partitions %v, %d rows in the default", test.days, names, strangers)
		}
		if last := partitionOf(dayOf(now).AddDate(0, 0, partitionDays)); names[len(names)-1] != last {
			t.Errorf("after %d days the last partition is %s, want %s", test.days, names[len(names)-1], last)
		}
	}
	if known := begin(t, s, idsOf([]Alarm{today, ahead})).Known(); len(known) != 2 {
		t.Errorf("%d alarms known, want 2", len(known))
	}
	save(t, s, Changes{Alarms: []Alarm{ahead}, Progress: progressAt(2)})
	ahead.Deliveries = 2
	equal(t, "alarms", read(t, s).Alarms, []Alarm{today, ahead})
}

// A batch locks the partitions of its days and no others, and waits for nobody who works on another
// one, also when the server has seen so many large batches that it would rather keep a plan for any
// days.
func TestBatchesTouchTheirDaysOnly(t *testing.T) {
	url := storetest.Postgres(t)
	s := openPostgresAt(t, with(t, with(t, url, "pool_max_conns", "1"), "lock_timeout", "2000"), atStart)
	for ago := 0; ago < 90; ago += 2 * partitionDays {
		if err := s.makePartitions(t.Context(), start.AddDate(0, 0, -ago)); err != nil {
			t.Fatal(err)
		}
	}
	vacuum, err := openPostgresAt(t, with(t, url, "idle_in_transaction_session_timeout", "0"), atStart).pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = vacuum.Rollback(context.Background()) }()
	if _, err := vacuum.Exec(t.Context(), "LOCK TABLE "+partitionOf(dayOf(start).AddDate(0, 0, -20))+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	last := begin(t, s, []string{"ffffffffffff" + alarm(1, 1).Event.AlarmID[12:]}) // of the year 10889
	last.Rollback()
	offset := int64(0)
	for _, row := range []struct {
		name string
		days []int // counted from start
	}{
		{"today", []int{0}},
		{"some days", []int{0, -1, -30}},
		{"a backlog of a week", []int{-1, -2, -3, -4, -5, -6, -7}},
		{"no partition's day", []int{300_000, 300_001}}, // of the year 2848
	} {
		t.Run(row.name, func(t *testing.T) {
			for round := range 12 {
				var all []Alarm
				for n := range 400 {
					all = append(all, onDay(1, 1000*round+n, row.days[n%len(row.days)], 0))
				}
				ids := idsOf(all)
				var more []Delivery
				for _, id := range ids {
					more = append(more, Delivery{AlarmID: id, Count: 1})
				}
				offset++
				tx := begin(t, s, ids, 1).(*postgresTx)
				var locks int
				if err := tx.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()").Scan(&locks); err != nil {
					t.Fatal(err)
				}
				if most := 20 + 4*len(row.days); locks > most { // from PostgreSQL 16 on the indexes of alarm itself are among them
					t.Fatalf("round %d: %d locks for %d days, want at most %d", round, locks, len(row.days), most)
				}
				if err := tx.Save(t.Context(), Changes{Alarms: all, Deliveries: more, Progress: progressAt(offset)}); err != nil {
					t.Fatal(err)
				}
				after := begin(t, s, ids)
				after.Rollback() // there is one connection
				if known := len(after.Known()); known != len(ids) {
					t.Fatalf("%d of %d are known", known, len(ids))
				}
			}
		})
	}
	if _, err := vacuum.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the other partition was not locked to the end: %v", err)
	}
}

// Partitions go as a whole once all in them is old by receipt, and not before.
func TestRetentionDropsPartitions(t *testing.T) {
	url := storetest.Postgres(t)
	now := start.AddDate(0, 0, -40)
	s := openPostgresAt(t, url, func() time.Time { return now })
	var old []Alarm
	for n := range 1300 {
		old = append(old, onDay(1, n, -40, -40))
	}
	mixedOld, mixedYoung := onDay(2, 0, -39, -39), onDay(2, 1, -39, -2) // came late
	sample, sampleOld := onDay(3, 0, -1446, -1), onDay(3, 1, -1446, -40)
	save(t, s, Changes{Alarms: append(old, mixedOld, mixedYoung, sample, sampleOld), Progress: progressAt(1)})
	now = start
	if n, err := s.Retain(t.Context(), 30, now); n != 1302 || err != nil {
		t.Errorf("Retain: %d, %v, want 1302", n, err)
	}
	names, strangers := partitionNames(t, s)
	if slices.Contains(names, "alarm_20261014") || !slices.Contains(names, "alarm_20261015") || strangers != 1 {
		t.Errorf("partitions %v, %d rows in the default", names, strangers)
	}
	equal(t, "alarms", read(t, s).Alarms, []Alarm{mixedYoung, sample})
	if n, err := s.Retain(t.Context(), 30, start.AddDate(0, 0, 31)); n != 2 || err != nil {
		t.Errorf("Retain a month later: %d, %v, want 2", n, err)
	}
	// What comes for a day whose partition is gone is saved as before.
	late := onDay(1, 7, -40, 31)
	save(t, s, Changes{Alarms: []Alarm{late}, Progress: progressAt(2)})
	equal(t, "alarms", read(t, s).Alarms, []Alarm{late})
}

// A partition that cannot be made, as somebody reads, is no reason not to save.
func TestPartitionsWaitForReaders(t *testing.T) {
	url := storetest.Postgres(t)
	now := start
	s := openPostgresAt(t, url, func() time.Time { return now })
	reader := storetest.Connect(t.Context(), t, url)
	defer reader.Close(context.Background())
	tx, err := reader.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM alarm"); err != nil {
		t.Fatal(err)
	}
	now = start.AddDate(0, 0, 30)
	if _, err := s.Retain(t.Context(), 0, now); err == nil || !strings.Contains(err.Error(), "wait until nobody uses table alarm") {
		t.Errorf("Retain beside a reader: %v", err)
	}
	a := onDay(1, 0, 30, 30)
	save(t, s, Changes{Alarms: []Alarm{a}, Progress: progressAt(1)})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retain(t.Context(), 0, now); err != nil {
		t.Fatal(err)
	}
	if _, strangers := partitionNames(t, s); strangers != 0 {
		t.Errorf("%d rows in the default", strangers)
	}
	equal(t, "alarms", read(t, s).Alarms, []Alarm{a})
}

// One table that somebody reads for hours keeps no other from being cleared.
func TestRetainGoesOnBehindALock(t *testing.T) {
	url := storetest.Postgres(t)
	now := start
	s := openPostgresAt(t, url, func() time.Time { return now })
	save(t, s, batch())
	now = start.AddDate(0, 0, 40)

	reader := storetest.Connect(t.Context(), t, url)
	defer func() { _ = reader.Close(context.Background()) }()
	if _, err := reader.Exec(t.Context(), "BEGIN; SELECT count(*) FROM alarm"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Retain(t.Context(), 30, now)
	if err == nil || !strings.Contains(err.Error(), "wait until nobody uses table alarm") {
		t.Errorf("Retain: %v", err)
	}
	if c := read(t, s); len(c.Notices) != 0 || len(c.DeadLetters) != 0 || len(c.Periods) != 0 {
		t.Errorf("%d notices, %d dead letters, %d periods are left", len(c.Notices), len(c.DeadLetters), len(c.Periods))
	}
}

// Two deployments in one database, of which one also sees the other's schema: each makes
// partitions of its own.
func TestPartitionsOfAnotherSchema(t *testing.T) {
	first, second := storetest.Postgres(t), storetest.Postgres(t)
	openPostgresAt(t, first, atStart)
	u, err := url.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	v, err := url.Parse(second)
	if err != nil {
		t.Fatal(err)
	}
	both := v.Query().Get("search_path") + "," + u.Query().Get("search_path")
	s := openPostgresAt(t, with(t, second, "search_path", both), atStart)
	if parts, err := s.partitions(t.Context()); err != nil || len(parts) != 2*partitionDays+1 {
		t.Errorf("%d partitions, %v, want %d", len(parts), err, 2*partitionDays+1)
	}
}
