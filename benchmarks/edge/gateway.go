//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// gateway is the real binary as a process of its own, with its files in a folder of its own.
type gateway struct {
	child  *stack.Child
	listen netip.AddrPort
	admin  string // HOST:PORT
	apps   string // path of apps.yaml
	output string // path of what it printed
}

// startGateway starts bin with its files in dir and returns when it is ready. Nothing is left
// running on an error.
func startGateway(ctx context.Context, bin, dir string, apps []byte, flags ...string) (*gateway, error) {
	addresses, err := stack.FreeAddresses(2)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &gateway{listen: netip.MustParseAddrPort(addresses[0]), admin: addresses[1], apps: filepath.Join(dir, "apps.yaml"), output: filepath.Join(dir, "gateway.log")}
	routes := filepath.Join(dir, "routes.yaml")
	if err := errors.Join(os.WriteFile(g.apps, apps, 0o600),
		os.WriteFile(routes, []byte("routes:\n  - {command: \"*\", topic: im.callbacks.raw, ack: disk}\n"), 0o600)); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.child, err = drive.Launch(ctx, stack.ChildOptions{
		Name: "gateway", Path: bin, Ready: "http://" + g.admin + "/readyz",
		Args: append([]string{
			"--listen", addresses[0], "--admin-listen", g.admin, "--brokers", drive.Nowhere, "--gateway-name", "edge",
			"--apps", g.apps, "--routes", routes, "--journal-dir", filepath.Join(dir, "journal"),
			"--path", callbackPath, "--drain-timeout", "0s", "--log-level", "warn",
		}, flags...),
	}, g.output)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// kill ends the process: nothing that it holds is wanted.
func (g *gateway) kill() error {
	if err := g.child.Kill(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// cpu is the CPU time that the process has used, user and system.
func (g *gateway) cpu() (time.Duration, error) { return drive.ProcessCPU(g.child.PID()) }

// resident is the memory of the process that is resident now, in bytes.
func (g *gateway) resident() (int64, error) { return drive.Resident(g.child.PID()) }

// scrape is drive.Scrape of the gateway.
func (g *gateway) scrape(ctx context.Context, metric, label string) (map[string]float64, error) {
	return drive.Scrape(ctx, g.admin, metric, label)
}

// raiseFiles has this process, and what it starts, open as many files as it may, and says
// whether wanted fit.
func raiseFiles(wanted int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of files: %w", err)
	}
	if limit.Max < uint64(max(wanted, 0)) {
		return fmt.Errorf("limit of files: %d may be open, %d are needed (ulimit -Hn)", limit.Max, wanted)
	}
	return nil
}
