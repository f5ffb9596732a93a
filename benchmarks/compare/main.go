//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// commands is the command line.
type commands struct {
	Run   runCommand   `cmd:"" default:"withargs" help:"Measure the servers side by side and write the results."`
	Goals goalsCommand `cmd:"" help:"Put what the runs measured beside the floors and goals."`
	Bare  bareCommand  `cmd:"" hidden:"" help:"Serve the bare handler (started by run)."`
	Park  parkCommand  `cmd:"" hidden:"" help:"Serve the handler that only parks (started by run)."`
	Kafka kafkaCommand `cmd:"" hidden:"" help:"Serve the embedded broker (started by run)."`
}

// runCommand measures.
type runCommand struct {
	Scenario        string        `default:"away" enum:"away,there,returning" help:"What Kafka does: ${enum}. Returning is measured from its return on, while the gateway catches up (default ${default})."`
	Brokers         string        `placeholder:"LIST" help:"Kafka on loopback for --scenario there; without it an embedded broker is started for each turn."`
	Outage          time.Duration `default:"3s" help:"How long Kafka is away before it returns (default ${default})."`
	Servers         []string      `default:"bare,park,memory,disk,broker" enum:"bare,park,memory,disk,broker" help:"What takes turns, in this order; bare is a baseline and always runs, broker waits for Kafka and is left out while that is away (default ${default})."`
	Connections     []int         `default:"64,256,1024" help:"Keep-alive connections of the closed loops; each number is a series of its own (default ${default})."`
	TLS             []int         `name:"tls" default:"64,256" help:"Keep-alive connections of the closed loops over TLS, in which bare and disk take turns; each number is a series of its own (default ${default})."`
	Rate            []int         `default:"10000,20000" help:"Arrivals a second of the open loops; each is a series of its own. While Kafka returns only the first, unless --cross (default ${default})."`
	OpenConnections int           `default:"256" help:"Keep-alive connections of the open loops (default ${default})."`
	Body            []int         `default:"120,1024,16384" help:"Bodies in bytes; 120 is the quota alarm (default ${default})."`
	Cross           bool          `help:"Every body with every number of connections and every rate; else only the first body, and the others with the middle number of connections."`
	Rounds          int           `default:"3" help:"How often each server has its turn (default ${default})."`
	Duration        time.Duration `default:"0s" help:"Counted time of a turn; 0: what --within leaves."`
	Within          time.Duration `default:"8m" help:"About how long everything takes, where --duration does not say (default ${default})."`
	Warmup          time.Duration `default:"500ms" help:"Uncounted time of a turn before it (default ${default})."`
	Bin             string        `default:"bin" help:"Folder of the gateway binary (default ${default})."`
	Work            string        `default:"" help:"Folder for journals while measuring: its disk is what disk measures (empty: a temporary folder)."`
	Out             string        `default:"benchmarks/results" help:"Folder for the raw turns, the tables and the charts (default ${default})."`
	Name            string        `default:"kafka-away" help:"Name of the files written (default ${default})."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c commands
	command := kong.Parse(&c, kong.Name("compare"), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Description("The gateway beside handlers that only answer. Loopback only; stops by itself."))
	command.FatalIfErrorf(command.Run())
}

// Run measures every server in every cell in every round, and writes the results when all
// is measured. When ctx ends it stops after the turn that runs, and writes nothing.
func (r runCommand) Run(ctx context.Context) (err error) {
	if err := r.check(); err != nil {
		return err
	}
	counted, err := r.counted()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(r.Work, "compare-")
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if r.Brokers != "" {
		if err := makeTopics(ctx, r.Brokers); err != nil {
			return err
		}
	}
	fdatasync, err := fdatasyncTime(work)
	if err != nil {
		return err
	}
	fmt.Printf("fdatasync of 4 KiB: %s (median); %d turns counted for %s each\n", fdatasync, r.Rounds*r.turns(), counted)
	pair, err := newPair(work)
	if err != nil {
		return err
	}
	m := measurement{runCommand: r, counted: counted, fdatasync: fdatasync, work: work, starter: starter{bin: r.Bin, wait: fdatasync, pair: pair}}
	turns, err := m.rounds(ctx)
	if err != nil {
		return err
	}
	fmt.Print("\n", r.tables(turns))
	return r.write(turns, counted, fdatasync)
}
