// Command gateway takes the vendor's callbacks over HTTP, makes each durable in its
// journal, answers, and delivers them to Kafka.
//
// Without a subcommand it runs until SIGTERM. check looks at all files, settings and the
// cluster before a start; drain delivers what a stopped gateway's journal still holds;
// journal stat, dump and verify read a journal beside a live gateway or a dead one; journal
// skip and replay change what is delivered from it. `-h` is the reference of all settings; each is also an environment variable with the prefix
// TIDEGATE_GATEWAY_, which the flag overrides.
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

	Run     runCommand     `cmd:"" default:"withargs" help:"Take callbacks until SIGTERM or SIGINT. The default."`
	Check   checkCommand   `cmd:"" help:"Check all files and settings, and what the cluster says; one line per finding, exit status 1 on an error."`
	Drain   drainCommand   `cmd:"" help:"Deliver what a stopped gateway's journal still holds, without taking callbacks; exit status 0 when it is empty."`
	Journal journalCommand `cmd:"" help:"Look into a journal, beside a live gateway or a dead one, and mend what is delivered from it."`
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
	parser, err := newParser(new(commands), stdout, stderr)
	if err != nil {
		return report(stderr, fmt.Errorf("BUG in the command line: %w", err), exitUsage)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(stderr, fmt.Errorf("%w (gateway -h lists the flags)", err), exitUsage)
	}
	if err := parsed.Run(&console{ctx, stdout, stderr}); err != nil {
		return report(stderr, err, exitFailed)
	}
	return exitOK
}

// newParser builds the command line over cli. Environment variables rank between defaults
// and flags; those of flags that say what one call does (--offline, --from) do not exist.
func newParser(cli *commands, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("gateway"),
		kong.Description("Takes callbacks of Tencent Cloud Chat, makes each durable, answers, and delivers it to Kafka."),
		kong.DefaultEnvars("TIDEGATE_GATEWAY"),
		kong.Vars{"version": "gateway " + process.Version()},
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
		fmt.Fprintln(stderr, "gateway: "+strings.TrimRight(line, "\n"))
	}
	return status
}
