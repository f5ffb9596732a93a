//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

// options are the command line.
type options struct {
	Only         []string      `placeholder:"NAME" enum:"sqlite,postgres,store,live,rebalance" help:"Parts to measure: ${enum}. Default: all. The others keep their rows in the results."`
	Rows         int64         `default:"5000000" help:"Rows that a table holds before it is measured (default ${default})."`
	Backlog      int64         `default:"5000000" help:"Raw alarms that wait for the consumer (default ${default})."`
	Apps         int           `default:"300" help:"Apps that the alarms are of (default ${default})."`
	Rounds       int           `default:"5" help:"How often a thing and its baseline have their turn (default ${default})."`
	Turn         time.Duration `default:"6s" help:"Counted time of a turn (default ${default})."`
	Warmup       time.Duration `default:"3s" help:"Uncounted time before the first turn (default ${default})."`
	Settle       time.Duration `default:"150s" help:"Uncounted time before the first turn of the part live, instead of the warm-up: for that long Kafka's JIT compiles what small requests use (default ${default})."`
	Rate         float64       `default:"500" help:"Callbacks a second of the part live (default ${default})."`
	Rebalances   int           `default:"3" help:"How often a second consumer joins and is killed (default ${default})."`
	Brokers      string        `placeholder:"HOST:PORT" help:"A Kafka of loopback to measure with, in topics of its own; default: an embedded broker."`
	Postgres     string        `env:"TIDEGATE_TEST_POSTGRES" placeholder:"URL" help:"A PostgreSQL server, as --store takes it, whose user may make databases; without one nothing is measured over PostgreSQL. .ci/test-postgres starts one."`
	Alertmanager string        `env:"TIDEGATE_TEST_ALERTMANAGER" placeholder:"URL" help:"An Alertmanager; default: a receiver that answers at once. .ci/alertmanager starts one."`
	StoreBench   string        `placeholder:"FILE" help:"Test binary of consumer/internal/store; without it the part store is left out."`
	Bin          string        `placeholder:"DIR" help:"Where gateway, consumer and load are (default: beside this program, else bin)."`
	Consumer     []string      `name:"consumer-flag" sep:"none" placeholder:"FLAG" help:"A further flag for the consumers, such as --consumer-flag=--log-level=debug; may be repeated."`
	Work         string        `help:"Folder for data while measuring, some 25 GB at the default sizes (empty: a temporary folder)."`
	Out          string        `default:"benchmarks/results" help:"Folder for consumer.md and consumer.jsonl (default ${default})."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	command := kong.Parse(&o, kong.Name("consumer"),
		kong.Description("The consumer at work: how fast through all steps, how large, how soon. Loopback only; stops by itself."))
	command.FatalIfErrorf(o.run(ctx))
}

// errWrong says that something was measured that is not what it has to be; the results are
// written.
var errWrong = errors.New("consumer: not what was to be measured")

// run measures the parts and writes the results. When ctx ends it stops and writes nothing.
func (o options) run(ctx context.Context) (err error) {
	if o.Rounds < 1 || o.Turn <= 0 || o.Rows < 0 || o.Backlog < 1 || o.Apps < 1 || o.Rate <= 0 || o.Rebalances < 1 {
		return errors.New("consumer: --rounds, --turn, --backlog, --apps, --rate and --rebalances must be positive")
	}
	b := &bench{options: o, binaries: map[string]string{}}
	for _, name := range []string{"gateway", "consumer", "load"} {
		if b.binaries[name], err = o.binary(name); err != nil {
			return err
		}
	}
	if b.samples, err = readSamples(filepath.Join(o.Out, "consumer.jsonl")); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(o.Work, "consumer-bench-"); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if err := b.openKafka(); err != nil {
		return err
	}
	defer b.closeKafka()
	failed := b.measure(ctx)
	if ctx.Err() != nil {
		return failed
	}
	if err := errors.Join(failed, b.write()); err != nil {
		return err
	}
	for _, f := range figures() {
		if s := f.of(b.samples); f.Missed(s) {
			b.wrong = append(b.wrong, fmt.Errorf("missed: %s", f.Row(s)))
		}
	}
	if len(b.wrong) > 0 {
		return errors.Join(append([]error{errWrong}, b.wrong...)...)
	}
	return nil
}

// measure runs the parts that are wanted; those that were measured before and are not wanted
// now keep their samples.
func (b *bench) measure(ctx context.Context) error {
	for _, p := range parts {
		if len(b.Only) > 0 && !slices.Contains(b.Only, p.name) {
			continue
		}
		b.forget(p.name)
		if why := p.lacks(b); why != "" {
			b.say("%s: not measured: %s", p.name, why)
			continue
		}
		if err := p.run(b, ctx); err != nil {
			b.forget(p.name) // half of a part is none; what was measured before it is written
			return fmt.Errorf("consumer: part %s: %w", p.name, err)
		}
	}
	return nil
}

// forget takes the samples of a part out.
func (b *bench) forget(part string) {
	b.samples = slices.DeleteFunc(b.samples, func(s sample) bool { return s.Part == part })
}

// binary returns the path of one of our programs.
func (o options) binary(name string) (string, error) {
	if o.Bin == "" {
		return stack.Bin(name)
	}
	return filepath.Join(o.Bin, name), nil
}
