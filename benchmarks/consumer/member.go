//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// recordsMetric counts records by what became of them; outcomeSaved is of new alarms.
const (
	recordsMetric = "tidegate_consumer_records_total"
	outcomeSaved  = "saved"
)

// stopping bounds how long a consumer takes to stop.
const stopping = 20 * time.Second

// member is the real consumer as a process of its own.
type member struct {
	child  *stack.Child
	admin  string // HOST:PORT
	output string // path of what it printed
}

// startMember starts a consumer and returns when it is ready. name is its own in dir.
func (b *bench) startMember(ctx context.Context, dir, name, apps string, f kafkaconn.Flags, store string, flags ...string) (*member, error) {
	admin, err := stack.FreeAddress()
	if err != nil {
		return nil, err
	}
	m := &member{admin: admin, output: filepath.Join(dir, name+".log")}
	m.child, err = drive.Launch(ctx, stack.ChildOptions{
		Name: name, Path: b.binaries["consumer"], Ready: "http://" + admin + "/readyz",
		Args: slices.Concat([]string{"--admin-listen", admin, "--apps", apps, "--store", store}, stack.KafkaFlags(f), flags, b.Consumer),
	}, m.output)
	return m, err
}

// stop asks the consumer to end and waits until it did.
func (m *member) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopping)
	defer cancel()
	if err := m.child.Stop(ctx); err != nil {
		return drive.Explain(err, m.output)
	}
	return nil
}

// saved is how many new alarms it took through all steps.
func (m *member) saved(ctx context.Context) (int64, error) {
	by, err := drive.Scrape(ctx, m.admin, recordsMetric, "outcome")
	if err != nil {
		return 0, drive.Explain(err, m.output)
	}
	return int64(by[outcomeSaved]), nil
}

// look is a member at one moment.
type look struct {
	at         time.Time
	saved      int64
	cpu        time.Duration // that it has used
	busy, time time.Duration // of the machine's processors, since it was started
}

func (m *member) look(ctx context.Context) (l look, err error) {
	if l.saved, err = m.saved(ctx); err != nil {
		return l, err
	}
	l.at = time.Now()
	if l.cpu, err = drive.ProcessCPU(m.child.PID()); err != nil {
		return l, err
	}
	l.busy, l.time, err = drive.MachineCPU()
	return l, err
}

// since puts what happened since before into a sample.
func (l look) since(before look, s *sample) error {
	alarms := float64(l.saved - before.saved)
	if alarms <= 0 {
		return fmt.Errorf("no alarm was saved in %s", l.at.Sub(before.at))
	}
	s.Figures[alarmsPerSecond] = alarms / l.at.Sub(before.at).Seconds()
	s.Figures[cpuPerAlarm] = float64((l.cpu - before.cpu).Microseconds()) / alarms
	s.Figures[machineBusy] = 100 * float64(l.busy-before.busy) / float64(l.time-before.time)
	return nil
}
