package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/process"
)

// Consumers share a PostgreSQL store: they come and go while alarms come in, and each alarm
// ends as one row with as many deliveries as came.
func TestConsumersShareAPostgresStore(t *testing.T) {
	b := newBench(t, allTopics())
	b.store = storetest.Postgres(t)
	const apps, each = 12, 10
	feed := func(from, to int) {
		for n := from; n < to; n++ {
			for app := range int64(apps) {
				b.produce("im.alarms.raw", 1400000001+app, alarm(7100+n))
				if n%5 == 0 {
					b.produce("im.alarms.raw", 1400000001+app, alarm(7100+n)) // the vendor repeats
				}
			}
		}
	}
	first := b.run("--session-timeout=4s")
	feed(0, 3)
	second := b.run("--session-timeout=4s")
	eventually(t, "a share for the second consumer", func() bool {
		_, text := second.get("/readyz?verbose")
		return strings.Contains(text, "1 partitions") || strings.Contains(text, "2 partitions")
	})
	feed(3, 6)
	if status := first.end(); status != process.ExitOK {
		t.Errorf("exit status %d:\n%s", status, first.logs)
	}
	feed(6, each)
	const produced = apps * (each + each/5)
	eventually(t, "all of it", func() bool { return b.committed() == produced })
	all := b.alarms("--limit", "0")
	if len(all) != apps*each {
		t.Errorf("%d alarms, want %d", len(all), apps*each)
	}
	deliveries := 0
	for _, a := range all {
		deliveries += a.Deliveries
	}
	if deliveries != produced {
		t.Errorf("%d deliveries, want %d", deliveries, produced)
	}
}

// A database that is away at the start is waited for, until the consumer is told to stop; one
// that lets nobody in is a mistake that ends the start. The password is nowhere.
func TestStartWaitsForPostgres(t *testing.T) {
	b := newBench(t, allTopics())
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	b.store = fmt.Sprintf("postgres://u@%s/db?sslmode=disable", nobody.Addr())
	t.Setenv("PGPASSWORD", "s3cret")
	waiting := b.child()
	eventually(t, "waiting", func() bool {
		return strings.Count(waiting.logs.String(), "database does not answer, trying again") >= 2
	})
	if strings.Contains(waiting.logs.String(), "s3cret") {
		t.Errorf("the password is in the logs:\n%s", waiting.logs)
	}
	waiting.signal(syscall.SIGTERM)
	select {
	case <-waiting.ended:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if waiting.status != process.ExitOK {
		t.Errorf("exit status %d", waiting.status)
	}

	b.store = strings.Replace(storetest.Postgres(t), "password_file=", "application_name=", 1)
	refused := b.run()
	if status := refused.wait(); status != process.ExitFailed || !strings.Contains(refused.logs.String(), "password authentication failed") {
		t.Errorf("exit status %d:\n%s", status, refused.logs)
	}
	if strings.Contains(refused.logs.String(), "s3cret") {
		t.Errorf("the password is in the logs:\n%s", refused.logs)
	}
}

// What the first start would fail on, check fails on.
func TestCheckOfADatabaseWhereNoTableMayBeMade(t *testing.T) {
	b := newBench(t, allTopics())
	b.store = storetest.Guest(t, storetest.Postgres(t))
	if status, out := check(t, b.flags()...); status != process.ExitFailed || !strings.Contains(out, "this user may not make tables there: user guest_") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if status := b.run().wait(); status != process.ExitFailed {
		t.Errorf("a start ended with status %d", status)
	}
}

// The password of a URL in the environment is in nothing that is printed or served.
func TestPostgresPasswordIsNotShown(t *testing.T) {
	url := storetest.Postgres(t)
	b := newBench(t, allTopics())
	password := passwordOf(t, url)
	b.store = strings.Replace(strings.Replace(url, "password_file=", "application_name=", 1), "tidegate@", "tidegate:"+password+"@", 1)
	var out bytes.Buffer
	status := execute(t.Context(), append([]string{"check"}, b.flags()...), &out, &out)
	if status != process.ExitUsage || !strings.Contains(out.String(), "?password_file=FILE") {
		t.Errorf("check with a password in a flag: status %d: %s", status, out.String())
	}
	t.Setenv("TIDEGATE_CONSUMER_STORE", b.store)
	flags := []string{"--brokers", b.addrs, "--apps", b.apps}
	status = execute(t.Context(), append([]string{"check"}, flags...), &out, &out)
	if status != process.ExitOK || !strings.Contains(out.String(), "the first start makes it") {
		t.Errorf("check: status %d: %s", status, out.String())
	}
	r := b.runWith(flags)
	eventually(t, "ready", func() bool { status, _ := r.get("/readyz"); return status == http.StatusOK })
	_, ready := r.get("/readyz?verbose")
	_, metrics := r.get("/metrics")
	if status := execute(t.Context(), append([]string{"check"}, flags...), &out, &out); status != process.ExitOK {
		t.Errorf("check: status %d", status)
	}
	if !strings.Contains(out.String(), "PostgreSQL ") || !strings.Contains(out.String(), "which is this release's") {
		t.Errorf("check: %s", out.String())
	}
	if all := ready + metrics + r.logs.String() + out.String(); strings.Contains(all, password) {
		t.Errorf("the password is shown:\n%s", all)
	}
}

// passwordOf returns the password of a --store value with a password_file.
func passwordOf(t *testing.T, store string) string {
	t.Helper()
	_, rest, found := strings.Cut(store, "password_file=")
	if !found {
		t.Skip("the server wants no password")
	}
	path, _, _ := strings.Cut(rest, "&")
	text, err := os.ReadFile(strings.ReplaceAll(path, "%2F", "/"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
