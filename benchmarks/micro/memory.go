//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// memoryCommand samples the memory of a gateway that delivers nothing.
type memoryCommand struct {
	Rate     int           `default:"5000" help:"Quota alarms a second, acknowledged from the disk (default ${default})."`
	Duration time.Duration `default:"20s" help:"How long; 10m for the figure that counts (default ${default})."`
	Every    time.Duration `default:"1s" help:"Distance of two samples (default ${default})."`
	Bin      string        `default:"bin" help:"Folder of the binaries, gateway and load (default ${default})."`
	Work     string        `default:"" help:"Folder for the journal while measuring (empty: a temporary folder)."`
	Out      string        `default:"benchmarks/results" help:"Folder for the samples, the table and the chart (default ${default})."`
	Name     string        `default:"memory" help:"Name of the files written (default ${default})."`
}

// sample is what the kernel said of the process at one moment.
type sample struct {
	Seconds   float64 `json:"seconds"` // since the load began
	RSSKiB    int64   `json:"rss_kib"`
	AnonKiB   int64   `json:"rss_anon_kib"` // of that: heap and stacks
	FileKiB   int64   `json:"rss_file_kib"` // of that: the binary
	PeakKiB   int64   `json:"peak_rss_kib"`
	JournalMB float64 `json:"journal_mb"` // of the segments and spares, on disk
}

// load is what the load generator printed in the end; its other fields are not looked at.
type load struct {
	Requests  int64   `json:"requests"`
	OK        int64   `json:"ok"`
	PerSecond float64 `json:"per_second"`
	Latency   struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
}

// Run starts a gateway whose Kafka is away, loads it for the duration while it samples, kills
// it, and writes the results. Nothing of it is left, no process and no file.
func (c memoryCommand) Run(ctx context.Context) (err error) {
	if c.Rate < 1 || c.Every <= 0 || c.Duration < 4*c.Every {
		return errors.New("--rate and --every must be positive, --duration at least four times --every")
	}
	work, err := os.MkdirTemp(c.Work, "memory-")
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	gateway, address, err := c.start(ctx, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Kill()) }()
	samples, sent, err := c.measure(ctx, gateway, address, work)
	if err != nil {
		return fmt.Errorf("memory: %w", drive.Explain(err, filepath.Join(work, "gateway.log")))
	}
	return c.write(samples, sent)
}

// start starts the gateway and returns when it answers.
func (c memoryCommand) start(ctx context.Context, work string) (gateway *stack.Child, address string, err error) {
	addresses, err := stack.FreeAddresses(2)
	if err != nil {
		return nil, "", fmt.Errorf("memory: %w", err)
	}
	address, admin := addresses[0], addresses[1]
	apps := filepath.Join(work, "apps.yaml")
	if out, err := exec.CommandContext(ctx, filepath.Join(c.Bin, "load"), "apps", "--apps-file", apps, "--app-count", "64").CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("load apps (make build makes it): %w\n%s", err, out)
	}
	gateway, err = drive.Launch(ctx, stack.ChildOptions{
		Name: "gateway", Path: filepath.Join(c.Bin, "gateway"), Ready: "http://" + admin + "/readyz",
		Args: []string{
			"--listen", address, "--admin-listen", admin, "--brokers", drive.Nowhere, "--gateway-name", "memory", "--apps", apps,
			"--journal-dir", filepath.Join(work, "journal"), "--drain-timeout", "0s", "--log-level", "warn",
		},
	}, filepath.Join(work, "gateway.log"))
	if err != nil {
		return nil, "", fmt.Errorf("memory: %w", err)
	}
	return gateway, address, nil
}

// measure samples while the load lasts.
func (c memoryCommand) measure(ctx context.Context, gateway *stack.Child, address, work string) ([]sample, load, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.Bin, "load"), "run", "--url", "http://"+address+"/", "--apps-file", filepath.Join(work, "apps.yaml"),
		"--rate", strconv.Itoa(c.Rate), "--duration", c.Duration.String(), "--connections", "64", "--format", "json")
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, load{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	var samples []sample
	for began := time.Now(); ; {
		select {
		case err := <-ended:
			var sent load
			if err == nil {
				err = json.Unmarshal(out.Bytes(), &sent)
			}
			return samples, sent, err
		case err := <-gateway.Unasked():
			return nil, load{}, errors.Join(err, cmd.Process.Kill(), <-ended)
		case <-tick.C:
		}
		s, err := look(gateway.PID(), filepath.Join(work, "journal"))
		if err != nil {
			return nil, load{}, errors.Join(err, cmd.Process.Kill(), <-ended)
		}
		s.Seconds = time.Since(began).Seconds()
		samples = append(samples, s)
	}
}

// look takes a sample.
func look(pid int, journal string) (sample, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return sample{}, err
	}
	s, err := parseStatus(string(status))
	if err != nil {
		return sample{}, err
	}
	names, err := filepath.Glob(filepath.Join(journal, "*"))
	if err != nil {
		return sample{}, err
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() { // else it was renamed meanwhile
			s.JournalMB += float64(info.Size()) / 1e6
		}
	}
	return s, nil
}

// parseStatus reads the memory out of /proc/PID/status. A line that is missing is an error: a
// zero would look like a figure.
func parseStatus(text string) (sample, error) {
	var s sample
	into := map[string]*int64{"VmRSS": &s.RSSKiB, "RssAnon": &s.AnonKiB, "RssFile": &s.FileKiB, "VmHWM": &s.PeakKiB}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		field, wanted := into[name]
		if !wanted {
			continue
		}
		number, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return sample{}, fmt.Errorf("status: %s: %w", name, err)
		}
		*field = number
		delete(into, name)
	}
	for name := range into {
		return sample{}, fmt.Errorf("status: no %s", name)
	}
	return s, nil
}
