// Command local runs all of Tidegate on this machine: an embedded Kafka broker (or a Kafka
// that is there), the topics, the gateway and the consumer, and with --demo a vendor.
//
// One machine, not for production: the embedded broker is one process with one copy of the
// data. It is for trying Tidegate out, and for developing against it.
//
// The parts are started one after another and stopped in order on Ctrl-C; a part that ends
// by itself ends the whole, and is named. Nothing is restarted silently. Data and logs stay
// in --data-dir; the next start goes on from there.
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

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// settings are the flags.
type settings struct {
	DataDir         string  `default:"data/local" placeholder:"DIR" help:"Folder for the broker, the journal, the database, logs and apps.yaml; made where missing (default ${default})."`
	GatewayListen   string  `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where the gateway takes callbacks (default ${default})."`
	Demo            bool    `help:"Play the vendor: send callbacks of sample apps and print each alarm as it comes out of the enriched topic."`
	DemoRate        float64 `default:"4" placeholder:"N" help:"Callbacks a second of the demo (default ${default})."`
	Verbose         bool    `help:"Print the logs of gateway and consumer here, behind their names, instead of writing them to files."`
	kafkaconn.Flags         // without --brokers: the embedded broker
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends this process at once, and with it the children
	if err := execute(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

// execute runs everything until ctx ends. What a person is to read goes to out.
func execute(ctx context.Context, args []string, out *os.File) error {
	var s settings
	parser, err := kong.New(&s, kong.Name("local"), kong.UsageOnError(),
		kong.Description("Tidegate on this machine, for trying out and developing: broker, topics, gateway, consumer. Not for production."))
	if err != nil {
		return fmt.Errorf("describe the flags: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	if !(s.DemoRate > 0) {
		return fmt.Errorf("--demo-rate: want more than 0, have %g", s.DemoRate)
	}
	if err := s.Check(); err != nil && !errors.Is(err, kafkaconn.ErrNoBrokers) {
		return err
	}
	printer := &printer{out: out, colour: colourful(out), now: time.Now}
	return (&local{settings: s, out: printer}).run(ctx)
}

// colourful reports whether file is a terminal whose user did not ask for plain text
// (no-color.org).
func colourful(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
