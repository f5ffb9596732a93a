// Command load plays the vendor: it sends callbacks to a gateway, measures the answers and
// writes every one of them into a ledger.
//
//	load run     (the default) sends callbacks on a schedule, or as fast as answers come
//	load once    sends one signed alarm and follows it, hop by hop, to the enriched topic
//	load apps    writes an apps file with sample apps, for load and for a gateway to test
//
// # What it measures
//
// With --rate the loop is open: arrivals have a schedule that does not wait for answers, and
// latency counts from the scheduled time. A server that stalls is so charged with everyone
// who had to wait, not with one request per connection. How late the generator itself was
// is reported apart. Without --rate the loop is closed: each connection sends its next
// callback when the last one was answered; that finds the highest throughput, and its
// latencies are those of that load only.
//
// It talks to loopback only. What it does would be an attack elsewhere.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Run  runCommand  `cmd:"" default:"withargs" help:"Send callbacks on a schedule or as fast as possible (default)."`
	Once onceCommand `cmd:"" help:"Send one signed alarm and print each hop to the enriched topic; exit 1 names the missing hop."`
	Apps appsCommand `cmd:"" help:"Write an apps file with sample apps 1400000001, 1400000002, ..."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := execute(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// execute parses args and runs the command that they name. Results go to out.
func execute(ctx context.Context, args []string, out io.Writer) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("load"),
		kong.Description("Plays the vendor against a gateway on this machine: open loop, ledger, one alarm followed hop by hop."),
		kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(out, (*io.Writer)(nil)))
	if err != nil {
		return fmt.Errorf("describe the flags: %w", err)
	}
	selected, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return selected.Run()
}
