package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit statuses of a command line.
const (
	ExitOK     = 0
	ExitFailed = 1 // something failed or was found wrong
	ExitUsage  = 2 // the command line was not understood
)

// ErrFound ends a command that has said everything already: nothing more is printed, and
// the exit status is ExitFailed.
var ErrFound = errors.New("something was found wrong")

// Console is what a command may print to, and how long it may go on. The Run method of
// every command gets one.
type Console struct {
	Context context.Context // of the whole process
	Stdout  io.Writer       // results
	Stderr  io.Writer       // logs and errors
}

// CommandLine describes the command line of a binary. Every flag is also an environment
// variable, which ranks between the default and the flag; those of flags that say what one
// call does (tagged env:"-", such as --offline) do not exist.
type CommandLine struct {
	Name        string // of the binary; stands before its errors
	Description string // for -h
	EnvPrefix   string // of the environment variables, without the underscore
}

// exitStatus is how kong's own exits (-h, --version) leave the parser.
type exitStatus int

// Execute runs the command that args name, of those in commands (a pointer to a struct with
// kong's tags), and returns the exit status. Errors go to stderr, a line for each of theirs. A
// flag that would hold a secret is refused, and what it held is not printed.
func (c CommandLine) Execute(ctx context.Context, commands any, args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exitStatus)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	parser, err := c.Parser(commands, stdout, stderr)
	if err != nil {
		return c.report(stderr, fmt.Errorf("BUG in the command line: %w", err), ExitUsage)
	}
	if err := refuseSecrets(parser, args); err != nil {
		return c.report(stderr, err, ExitUsage)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return c.report(stderr, fmt.Errorf("%w (%s -h lists the flags)", err, c.Name), ExitUsage)
	}
	if err := parsed.Run(&Console{ctx, stdout, stderr}); err != nil {
		return c.report(stderr, err, ExitFailed)
	}
	return ExitOK
}

// Parser builds the command line over commands. -h and --version panic in its Parse with
// what Execute makes an exit status of.
func (c CommandLine) Parser(commands any, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name(c.Name),
		kong.Description(c.Description),
		kong.DefaultEnvars(c.EnvPrefix),
		kong.Vars{"version": c.Name + " " + Version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exitStatus(code)) }),
		kong.Help(printHelp),
		kong.ValueFormatter(formatHelp),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
	)
}

// report prints err, one line for each of its own, and returns status.
func (c CommandLine) report(stderr io.Writer, err error, status int) int {
	if errors.Is(err, ErrFound) {
		return status
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, c.Name+": "+strings.TrimRight(line, "\n"))
	}
	return status
}

// printHelp prints kong's help; without a subcommand also the flags of run, which is the
// default, so that -h is the whole reference.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() != nil {
		return nil
	}
	run, err := kong.Trace(ctx.Kong, []string{"run"})
	if err != nil {
		return err
	}
	options.NoAppSummary = true
	fmt.Fprintln(ctx.Stdout)
	return kong.DefaultHelpPrinter(options, run)
}

// formatHelp adds default and environment variable to a flag's help.
func formatHelp(v *kong.Value) string {
	var b strings.Builder
	b.WriteString(v.Help)
	if v.HasDefault && v.Default != "" {
		fmt.Fprintf(&b, " [default: %s]", v.Default)
	}
	for _, env := range v.Tag.Envs {
		fmt.Fprintf(&b, " [$%s]", env)
	}
	return b.String()
}
