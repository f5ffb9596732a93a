//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// commands is the command line.
type commands struct {
	Parts  partsCommand  `cmd:"" default:"withargs" help:"Run the benchmarks that have a baseline, and write their table (default)."`
	Memory memoryCommand `cmd:"" help:"Sample the gateway's memory under a steady load, Kafka away."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c commands
	command := kong.Parse(&c, kong.Name("micro"), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Description("Parts of the gateway against their baselines, and its memory. Loopback only; stops by itself."))
	command.FatalIfErrorf(command.Run())
}

// machine says on what the figures came about.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores (%s), %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), model, runtime.Version())
}
