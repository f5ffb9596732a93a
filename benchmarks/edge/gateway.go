//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

const (
	// nowhere is a broker that is not there: Kafka away.
	nowhere = "127.0.0.1:1"

	// starting bounds how long a gateway takes until it is ready.
	starting = 20 * time.Second
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
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	g := &gateway{listen: addresses[0], admin: addresses[1].String(), apps: filepath.Join(dir, "apps.yaml"), output: filepath.Join(dir, "gateway.log")}
	routes := filepath.Join(dir, "routes.yaml")
	if err := errors.Join(os.WriteFile(g.apps, apps, 0o600),
		os.WriteFile(routes, []byte("routes:\n  - {command: \"*\", topic: im.callbacks.raw, ack: disk}\n"), 0o600)); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	output, err := os.OpenFile(g.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	defer output.Close() // the child has its own
	g.child = stack.NewChild(stack.ChildOptions{
		Name: "gateway", Path: bin, Log: output, Ready: "http://" + g.admin + "/readyz",
		Args: append([]string{
			"--listen", g.listen.String(), "--admin-listen", g.admin, "--brokers", nowhere, "--gateway-name", "edge",
			"--apps", g.apps, "--routes", routes, "--journal-dir", filepath.Join(dir, "journal"),
			"--path", callbackPath, "--drain-timeout", "0s", "--log-level", "warn",
		}, flags...),
	})
	if err := g.child.Start(); err != nil {
		return nil, fmt.Errorf("gateway: %w (make build makes it)", err)
	}
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	if err := g.child.Ready(ctx); err != nil {
		return nil, errors.Join(g.explain(err), g.child.Kill())
	}
	return g, nil
}

// freeAddresses returns n different addresses of the loopback that nobody listens on now.
func freeAddresses(n int) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		defer ln.Close() // when all are taken: so that they differ
		list = append(list, netip.MustParseAddrPort(ln.Addr().String()))
	}
	return list, nil
}

// explain adds the end of what the gateway printed to err.
func (g *gateway) explain(err error) error {
	const most = 4 << 10
	printed, _ := os.ReadFile(g.output)
	return fmt.Errorf("gateway: %w\n%s", err, printed[max(0, len(printed)-most):])
}

// kill ends the process: nothing that it holds is wanted.
func (g *gateway) kill() error {
	if err := g.child.Kill(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// cpu is the CPU time that the process has used, user and system. It is read from the
// process's CPU clock (clock_getcpuclockid(3)), as /proc tells it to 10 ms only.
func (g *gateway) cpu() (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^g.child.PID()<<3|schedClock), &at); err != nil { //nolint:gosec // a process id has 22 bits
		return 0, fmt.Errorf("gateway: cpu: %w", err)
	}
	return time.Duration(at.Nano()), nil
}

// resident is the memory of the process that is resident now, in bytes.
func (g *gateway) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.child.PID()))
	if err != nil {
		return 0, fmt.Errorf("gateway: memory: %w", err)
	}
	fields := bytes.Fields(text) // proc(5): size, resident, ..., in pages
	if len(fields) < 2 {
		return 0, fmt.Errorf("gateway: memory: %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("gateway: memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// scrape returns the values of one of the gateway's metrics by one of its labels; series that
// share the label's value are summed.
func (g *gateway) scrape(ctx context.Context, metric, label string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("gateway: metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("gateway: metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("gateway: metrics: %w", err)
	}
	return parseMetric(string(text), metric, label)
}

// errNoMetric: the page has no such metric, or none with the label.
var errNoMetric = errors.New("no such metric")

// parseMetric is scrape of a page in Prometheus's text format.
func parseMetric(page, metric, label string) (map[string]float64, error) {
	values := map[string]float64{}
	for line := range strings.Lines(page) {
		labels, found := strings.CutPrefix(line, metric+"{")
		if !found {
			continue
		}
		labels, number, _ := strings.Cut(labels, "} ")
		at := slices.IndexFunc(strings.Split(labels, ","), func(l string) bool { return strings.HasPrefix(l, label+`="`) })
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if at < 0 || err != nil {
			continue
		}
		name := strings.Split(labels, ",")[at]
		values[strings.Trim(strings.TrimPrefix(name, label+"="), `"`)] += value
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s by %s: %w", metric, label, errNoMetric)
	}
	return values, nil
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
