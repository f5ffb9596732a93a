//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

// commands is the command line.
type commands struct {
	Run  runCommand  `cmd:"" default:"withargs" help:"Measure the servers side by side and write the results."`
	Bare bareCommand `cmd:"" hidden:"" help:"Serve the bare handler (started by run)."`
}

// runCommand measures.
type runCommand struct {
	Servers     []string      `default:"bare,memory,disk,broker" enum:"bare,memory,disk,broker" help:"What takes turns, in this order; bare is the baseline and always runs."`
	Connections []int         `default:"64,256" help:"Keep-alive connections; each number is a series of its own."`
	Body        int           `default:"120" help:"Body in bytes; 120 is the quota alarm."`
	Rounds      int           `default:"5" help:"How often each server has its turn."`
	Duration    time.Duration `default:"4s" help:"Counted time of one turn."`
	Warmup      time.Duration `default:"1s" help:"Uncounted time before it."`
	Brokers     string        `help:"Kafka bootstrap list on loopback. Empty: Kafka is away, and the level broker, which waits for it, is left out."`
	Bin         string        `default:"bin" help:"Folder of the gateway binary."`
	Work        string        `default:"" help:"Folder for journals while measuring: its disk is what disk measures (empty: a temporary folder)."`
	Out         string        `default:"benchmarks/results" help:"Folder for the table and the raw rounds."`
	Name        string        `default:"first-figures" help:"Name of the files written."`
}

func main() {
	var c commands
	ctx := kong.Parse(&c, kong.Name("compare"), kong.Description("The gateway beside a handler that only answers. Loopback only; stops by itself."))
	ctx.FatalIfErrorf(ctx.Run())
}

// Run measures every server at every number of connections in every round.
func (r runCommand) Run() error {
	work, err := os.MkdirTemp(r.Work, "compare-")
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	defer os.RemoveAll(work)
	start := starter{dir: work, bin: r.Bin, brokers: r.Brokers, body: r.Body}
	var turns []turn
	for round := range r.Rounds {
		for _, conns := range r.Connections {
			for _, name := range r.names() {
				t, err := r.turn(start, name, conns, round)
				if err != nil {
					return err
				}
				fmt.Println(t)
				turns = append(turns, t)
			}
		}
	}
	return r.write(turns)
}

// names are the servers that can run, bare first.
func (r runCommand) names() []string {
	names := []string{"bare"}
	for _, name := range r.Servers {
		if name != "bare" && (name != "broker" || r.Brokers != "") {
			names = append(names, name)
		}
	}
	return names
}

// turn starts one server, drives it, stops it.
func (r runCommand) turn(s starter, name string, conns, round int) (turn, error) {
	srv, err := s.start(name)
	if err != nil {
		return turn{}, err
	}
	seen, err := load{
		address: srv.address, requests: requests(srv.address, s.body, time.Now()), conns: conns,
		warmup: r.Warmup, duration: r.Duration, pid: srv.command.Process.Pid,
	}.run()
	if err != nil {
		printed, _ := os.ReadFile(srv.output)
		err = fmt.Errorf("compare: %s at %d connections: %w\n%s", name, conns, err, printed)
	}
	if stopErr := srv.stop(); err == nil {
		err = stopErr
	}
	return newTurn(name, conns, round, seen), err
}
