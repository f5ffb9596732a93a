//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// Names of the parts.
const (
	partSQLite    = "sqlite"
	partPostgres  = "postgres"
	partStore     = "store"
	partLive      = "live"
	partRebalance = "rebalance"
)

// part is one thing that is shown.
type part struct {
	name  string
	lacks func(*bench) string // what is missing to measure it; empty: nothing
	run   func(*bench, context.Context) error
}

// parts are in the order in which they run.
var parts []part

func init() { // parts use what uses parts
	parts = []part{
		{partSQLite, func(*bench) string { return "" }, (*bench).overSQLite},
		{partPostgres, (*bench).lacksPostgres, (*bench).overPostgres},
		{partStore, (*bench).lacksStoreBench, (*bench).storeAlone},
		{partLive, func(*bench) string { return "" }, (*bench).live},
		{partRebalance, (*bench).lacksPostgres, (*bench).rebalance},
	}
}

// bench is a run that has been prepared.
type bench struct {
	options
	binaries map[string]string
	work     string // folder for everything that is written while measuring
	kafka    kafkaconn.Flags
	embedded *stack.Broker // nil: a Kafka that was there
	backlog  string        // topic prefix of the backlog; empty: not made yet
	samples  []sample
	wrong    []error // what was measured and is not what it has to be
}

// say tells who watches how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Printf(time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// refuse notes that what was measured is not what it has to be, and goes on.
func (b *bench) refuse(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Errorf(format, args...))
}

// add notes a sample, and says so.
func (b *bench) add(s sample) {
	b.samples = append(b.samples, s)
	b.say("%s", s.text())
}

func (b *bench) lacksPostgres() string {
	if b.Postgres == "" {
		return "no PostgreSQL server: TIDEGATE_TEST_POSTGRES names none"
	}
	return ""
}

func (b *bench) lacksStoreBench() string {
	if b.StoreBench == "" {
		return "no test binary of the store: --store-bench names none"
	}
	return b.lacksPostgres()
}

// openKafka starts the embedded broker where no other is given. A Kafka that is given must be
// on this machine.
func (b *bench) openKafka() (err error) {
	if b.Brokers != "" {
		for broker := range strings.SplitSeq(b.Brokers, ",") {
			if err := onLoopback("tcp://" + broker); err != nil {
				return fmt.Errorf("--brokers: %w", err)
			}
		}
		b.kafka.Brokers = strings.Split(b.Brokers, ",")
		return nil
	}
	if b.embedded, err = stack.StartBroker(stack.BrokerOptions{DataDir: filepath.Join(b.work, "kafka")}); err != nil {
		return err
	}
	b.kafka.Brokers = b.embedded.Addrs()
	return nil
}

func (b *bench) closeKafka() {
	if b.embedded != nil {
		b.embedded.Stop()
	}
}

// errElsewhere says that an address is not of this machine.
var errElsewhere = errors.New("not on this machine")

// onLoopback refuses a URL whose host is not of the loopback.
func onLoopback(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL")
	}
	if host := u.Hostname(); host != "127.0.0.1" && host != "localhost" && host != "::1" {
		return fmt.Errorf("%q: %w", host, errElsewhere)
	}
	return nil
}

// topics makes topics of their own for what name says and returns the connection with their
// prefix: nothing that an earlier run left there is in them.
func (b *bench) topics(ctx context.Context, name string) (kafkaconn.Flags, error) {
	f := b.kafka
	f.TopicPrefix = "bench-" + strings.ToLower(rand.Text()[:8]) + "." + name + "."
	return f, stack.CreateTopics(ctx, f, stack.DefaultPartitions)
}

// folder makes a folder of that name, which is b's and goes with b.work.
func (b *bench) folder(name string) (string, error) {
	dir := filepath.Join(b.work, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// appsFile writes an apps file into dir: signed apps, 1400000001 and on, that nothing limits.
func (b *bench) appsFile(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "apps.yaml")
	out, err := exec.CommandContext(ctx, b.binaries["load"], "apps", "--apps-file", path, "--app-count", fmt.Sprint(b.Apps)).CombinedOutput() //nolint:gosec // our own program
	if err != nil {
		return "", fmt.Errorf("write an apps file: %w: %s", err, out)
	}
	return path, nil
}

// wait returns after d, or with ctx's error when that ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errPatience says that something did not come about.
var errPatience = errors.New("waited in vain")

// until asks so again and again until it says yes, for at most patience.
func until(ctx context.Context, what string, patience time.Duration, so func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		yes, err := so()
		if err != nil || yes {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w for %s", what, errPatience, patience)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
