// Command consumer reads the raw alarms from Kafka, validates and enriches them, saves
// each once, and publishes the enriched alarm for others.
//
// Without a subcommand it runs until SIGTERM. check looks at all files, settings, the
// store and the cluster before a start; alarms prints the saved alarms, and deadletters
// prints, exports and replays what could not be used, beside a live consumer or without
// one; notify tries the channels that people are told through, lists what became of notices
// and sends again what was given up; forecast replay measures the forecasts. `-h` is the
// reference of all settings; each is also an environment variable with the prefix
// TIDEGATE_CONSUMER_, which the flag overrides.
//
// Exit status: 0 when all went well, 1 when something failed or was found wrong, 2 when the
// command line was not understood, 130 after a second signal.
package main

import (
	"context"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/internal/process"
)

// commands is the command line.
type commands struct {
	Version kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`

	Run    runCommand    `cmd:"" default:"withargs" help:"Consume until SIGTERM or SIGINT. The default."`
	Check  checkCommand  `cmd:"" help:"Check all files and settings, the store, and what the cluster says; one line per finding, exit status 1 on an error."`
	Alarms alarmsCommand `cmd:"" help:"Print the saved alarms, the one received last first, beside a live consumer or without one."`
	Notify notifyCommand `cmd:"" help:"Send a test message to a channel; list what became of notices; send again what was given up."`

	Deadletters deadlettersCommand `cmd:"" help:"List, show, replay or export records that could not be used."`
	Forecast    forecastCommand    `cmd:"" help:"Measure how well exhaustion is predicted."`
}

// commandLine is how the commands are called.
var commandLine = process.CommandLine{
	Name:        "consumer",
	Description: "Reads raw alarms from Kafka, validates and enriches them, saves each once, and publishes the enriched alarm.",
	EnvPrefix:   "TIDEGATE_CONSUMER",
}

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandLine.Execute(ctx, new(commands), args, stdout, stderr)
}
