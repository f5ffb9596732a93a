package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// printHelp prints kong's help; without a subcommand also the flags of run, which is the
// default, so that `gateway -h` is the whole reference.
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
