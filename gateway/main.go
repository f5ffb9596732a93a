// Command gateway takes the vendor's callbacks over HTTP, makes each durable in its
// journal, answers, and delivers them to Kafka.
//
// Without a subcommand it runs until SIGTERM. check looks at all files, settings and the
// cluster before a start; drain delivers what a stopped gateway's journal still holds.
// journal stat, dump and verify, and quarantine list and show, read beside a live gateway or a
// dead one. journal skip and replay change what is delivered, journal limit what the journal may
// take, and quarantine admit takes what was refused: where a gateway runs, through the control
// socket in the journal's directory, which has the profiles too.
//
// `-h` is the reference of all settings; each is also an environment variable with the prefix
// TIDEGATE_GATEWAY_, which the flag overrides.
//
// Exit status: 0 when all went well, 1 when something failed or was found wrong, 2 when the
// command line was not understood, 130 after a second signal.
package main

import (
	"context"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/internal/process"
)

// commands is the command line.
type commands struct {
	Version kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`

	Run     runCommand     `cmd:"" default:"withargs" help:"Take callbacks until SIGTERM or SIGINT. The default."`
	Check   checkCommand   `cmd:"" help:"Check all files and settings, and what the cluster says; one line per finding, exit status 1 on an error."`
	Drain   drainCommand   `cmd:"" help:"Deliver what a stopped gateway's journal still holds, without taking callbacks; exit status 0 when it is empty."`
	Journal journalCommand `cmd:"" help:"Look into a journal, beside a live gateway or a dead one, and mend what is delivered from it."`

	Quarantine quarantineCommand `cmd:"" help:"Look at callbacks that were refused for their Sign, its time or an unknown app, and let out what passes now."`
}

// commandLine is how the commands are called.
var commandLine = process.CommandLine{
	Name:        "gateway",
	Description: "Takes callbacks of Tencent Cloud Chat, makes each durable, answers, and delivers it to Kafka.",
	EnvPrefix:   "TIDEGATE_GATEWAY",
}

// garbagePercent is how much garbage the heap may hold for what is alive, unless GOGC says
// otherwise. What is alive is nearly all buffers of bytes, which cost nothing to mark, and the hot
// paths make no garbage: at 100, the default, the process was 20 MiB larger for nothing.
const garbagePercent = 50

func main() {
	tune(os.Getenv)
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// tune sets Go's runtime up for a process that takes callbacks and syncs a file nearly all the time, but
// for what the environment says.
//
// A goroutine in a system call keeps its place among those that may run at a time, GOMAXPROCS, until
// the scheduler looks, up to 10 ms later. So a sync costs a place, of two on two processors, for
// about as long as it takes, while requests wait and a processor is idle: there is one place more than
// processors. Their number is that of the start from then on; the Go runtime would follow a
// container's limit that is changed.
func tune(environment func(string) string) {
	if environment("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if environment("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandLine.Execute(ctx, new(commands), args, stdout, stderr)
}
