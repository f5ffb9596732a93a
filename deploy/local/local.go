package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

// stopBudget bounds a stop. It is more than the drain that the gateway is given, so that
// only a part that hangs is killed.
const (
	stopBudget   = 20 * time.Second
	drainTimeout = 10 * time.Second
)

// local is one run.
type local struct {
	settings   settings
	out        *printer
	appsFile   string
	notifyFile string
	logs       []*os.File
}

// run starts everything, waits for ctx or for a part that ends by itself, and stops
// everything.
func (l *local) run(ctx context.Context) error {
	defer l.closeLogs()
	if err := l.prepare(); err != nil {
		return err
	}
	fmt.Fprintln(l.out, "Tidegate on one machine. For trying out, not for production.")
	notices, err := receiveNotices(l.out)
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		notices.close(stopping)
	}()
	s, err := stack.Start(ctx, l.options())
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(l.out, "\nStopped before everything was up.")
		return nil
	}
	if err != nil {
		return l.explain(err)
	}
	l.banner(s)
	var failure error
	if l.settings.Demo {
		failure = l.demo(ctx, s)
	} else {
		failure = s.Wait(ctx)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(l.out, "\nStopping: gateway, consumer, broker ...")
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBudget)
	defer cancel()
	if err := errors.Join(failure, s.Stop(stopping)); err != nil {
		return l.explain(err)
	}
	fmt.Fprintf(l.out, "Stopped. Data are in %s; the next start goes on from there.\n", l.settings.DataDir)
	return nil
}

// prepare makes the data folder and, where there are none, the apps file and the notify file.
func (l *local) prepare() error {
	folder, err := filepath.Abs(l.settings.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	l.settings.DataDir = folder
	if err := os.MkdirAll(l.logFolder(), 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	l.appsFile, l.notifyFile = filepath.Join(folder, "apps.yaml"), filepath.Join(folder, "notify.yaml")
	return errors.Join(writeSample(l.appsFile, sampleApps), writeSample(l.notifyFile, sampleNotify))
}

// writeSample writes a file where there is none: one that is there is the person's own.
func writeSample(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = file.WriteString(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("write sample: %w", err)
	}
	return nil
}

func (l *local) logFolder() string { return filepath.Join(l.settings.DataDir, "logs") }

func (l *local) options() stack.Options {
	o := stack.Options{
		DataDir: l.settings.DataDir, AppsFile: l.appsFile, Kafka: l.settings.Flags,
		GatewayListen: l.settings.GatewayListen,
		GatewayFlags:  []string{"--drain-timeout=" + drainTimeout.String()},
		ConsumerFlags: []string{"--notify=" + l.notifyFile},
	}
	if l.settings.Verbose {
		o.Log = l.out
	} else {
		o.LogFile = l.logFile
	}
	return o
}

// logFile opens the log of a part, to append to. Where that fails the log comes here.
func (l *local) logFile(name string) io.Writer {
	file, err := os.OpenFile(l.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintf(l.out, "The log of %s comes here: %v\n", name, err)
		return l.out
	}
	l.logs = append(l.logs, file)
	return file
}

func (l *local) logPath(name string) string { return filepath.Join(l.logFolder(), name+".log") }

func (l *local) closeLogs() {
	for _, file := range l.logs {
		file.Close()
	}
}

// explain adds the last lines of the log to the error of a part that ended by itself: what
// went wrong stands there, not in an exit status.
func (l *local) explain(err error) error {
	ended := errors.Is(err, stack.ErrExited) || errors.Is(err, stack.ErrNotReady)
	if l.settings.Verbose || !ended {
		return err
	}
	for _, name := range []string{"gateway", "consumer", "load"} {
		if strings.HasPrefix(err.Error(), name+" ") || strings.HasPrefix(err.Error(), name+":") {
			return fmt.Errorf("%w\nthe end of %s:\n%s", err, l.logPath(name), lastLines(l.logPath(name), 8))
		}
	}
	return err
}

// lastLines returns the last n lines of a file, as far as it can be read.
func lastLines(path string, n int) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.SplitAfter(bytes.TrimRight(data, "\n"), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], nil)
}

// banner says what runs where, and what to try.
func (l *local) banner(s *stack.Stack) {
	var b strings.Builder
	broker := "embedded broker, one copy of the data"
	if s.Broker() == nil {
		broker = "yours"
	}
	rows := [][2]string{
		{"callbacks", s.GatewayURL()},
		{"apps", s.GatewayAdminURL() + "/apps  (from " + l.appsFile + ", which is read again when it changes)"},
		{"notices", "printed here  (who is told: " + l.notifyFile + ", which is read again when it changes)"},
		{"ready?", s.GatewayAdminURL() + "/readyz?verbose  " + s.ConsumerAdminURL() + "/readyz?verbose"},
		{"metrics", s.GatewayAdminURL() + "/metrics  " + s.ConsumerAdminURL() + "/metrics"},
		{"Kafka", strings.Join(s.Kafka().Brokers, ",") + "  (" + broker + ")"},
		{"data", l.settings.DataDir},
	}
	if !l.settings.Verbose {
		rows = append(rows, [2]string{"logs", l.logFolder()})
	}
	b.WriteByte('\n')
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-10s %s\n", row[0], row[1])
	}
	fmt.Fprintf(&b, "\nTry it from another terminal:\n  %s\n  bin/consumer alarms --store %q\n", sampleCurl(s.GatewayURL()), s.StoreURL())
	b.WriteString("\nCtrl-C stops everything in order.\n\n")
	fmt.Fprint(l.out, b.String())
}
