// Command consumer reads the raw alarms from Kafka, validates and enriches them, saves
// each once, and publishes the enriched alarm for others.
//
// Without a subcommand it runs until SIGTERM. check looks at all files, settings, the
// store and the cluster before a start; alarms prints the saved alarms, beside a live
// consumer or without one. `-h` is the reference of all settings; each is also an
// environment variable with the prefix TIDEGATE_CONSUMER_, which the flag overrides.
//
// Exit status: 0 when all went well, 1 when something failed or was found wrong, 2 when the
// command line was not understood, 130 after a second signal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/internal/process"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// errFound ends a command that has said everything already: the exit status is 1.
var errFound = errors.New("something was found wrong")

// commands is the command line.
type commands struct {
	Version kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`

	Run    runCommand    `cmd:"" default:"withargs" help:"Consume until SIGTERM or SIGINT. The default."`
	Check  checkCommand  `cmd:"" help:"Check all files and settings, the store, and what the cluster says; one line per finding, exit status 1 on an error."`
	Alarms alarmsCommand `cmd:"" help:"Print the saved alarms, the one received last first, beside a live consumer or without one."`
}

// console is what a command may print to, and how long it may go on.
type console struct {
	ctx    context.Context
	stdout io.Writer // results
	stderr io.Writer // logs and errors
}

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// exitStatus is how kong's own exits (-h, --version) leave the parser.
type exitStatus int

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exitStatus)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	parser, err := newParser(stdout, stderr)
	if err != nil {
		return report(stderr, fmt.Errorf("BUG in the command line: %w", err), exitUsage)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(stderr, fmt.Errorf("%w (consumer -h lists the flags)", err), exitUsage)
	}
	if err := parsed.Run(&console{ctx, stdout, stderr}); err != nil {
		return report(stderr, err, exitFailed)
	}
	return exitOK
}

func newParser(stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(new(commands),
		kong.Name("consumer"),
		kong.Description("Reads raw alarms from Kafka, validates and enriches them, saves each once, and publishes the enriched alarm."),
		kong.DefaultEnvars("TIDEGATE_CONSUMER"),
		kong.Vars{"version": "consumer " + process.Version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exitStatus(code)) }),
		kong.Help(printHelp),
		kong.ValueFormatter(formatHelp),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
}

// report prints err, one line for each of its own, and returns status.
func report(stderr io.Writer, err error, status int) int {
	if errors.Is(err, errFound) {
		return status
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "consumer: "+strings.TrimRight(line, "\n"))
	}
	return status
}
