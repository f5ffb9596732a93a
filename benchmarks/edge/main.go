//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/benchmarks/rounds"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// options are the command line.
type options struct {
	Only         []string      `placeholder:"NAME" enum:"fairness,refusals,reload,slow-loris" help:"Parts to measure: ${enum}. Default: all. The others keep their rows in the results."`
	Kinds        []string      `placeholder:"NAME" help:"Of the part refusals, only these kinds, beside the baselines."`
	Rounds       int           `default:"5" help:"How often each variant has its turn (default ${default})."`
	Turn         time.Duration `default:"4s" help:"Counted time of a turn (default ${default})."`
	RefusalTurn  time.Duration `default:"500ms" help:"The same for each kind of refusal (default ${default})."`
	Warmup       time.Duration `default:"200ms" help:"Uncounted time before it (default ${default})."`
	Idle         time.Duration `default:"3s" help:"How long the gateway rests before its memory is looked at (default ${default})."`
	Slow         int           `default:"10000" help:"Slow connections (default ${default})."`
	Bin          string        `placeholder:"FILE" help:"The gateway (default: beside this program, else bin/gateway)."`
	GatewayFlags []string      `name:"gateway-flag" sep:"none" placeholder:"FLAG" help:"A further flag for the gateways, such as --gateway-flag=--log-level=error; may be repeated."`
	Work         string        `help:"Folder for journals while measuring (empty: a temporary folder)."`
	Out          string        `default:"benchmarks/results" help:"Folder for edge.md and edge.jsonl (default ${default})."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	command := kong.Parse(&o, kong.Name("edge"),
		kong.Description("The gateway beside those who mean it harm: what they cost it, and what the honest notice. Loopback only; stops by itself."))
	command.FatalIfErrorf(o.run(ctx))
}

// errWrong: something was measured that is not what it was to be; the results are written.
var errWrong = errors.New("edge: not what was to be measured")

// run measures the parts and writes the results. When ctx ends it stops and writes nothing.
func (o options) run(ctx context.Context) (err error) {
	if o.Rounds < 1 || o.Turn <= 0 || o.RefusalTurn <= 0 || o.Slow < 1 {
		return errors.New("edge: --rounds, --turn, --refusal-turn and --slow must be positive")
	}
	b := &bench{options: o, binary: o.Bin}
	if b.binary == "" {
		if b.binary, err = stack.Bin("gateway"); err != nil {
			return err
		}
	}
	if b.samples, err = readSamples(filepath.Join(o.Out, "edge.jsonl")); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(o.Work, "edge-"); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	for _, p := range parts {
		if len(o.Only) > 0 && !slices.Contains(o.Only, p.name) {
			continue
		}
		b.samples = slices.DeleteFunc(b.samples, func(s sample) bool { return s.Part == p.name })
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("edge: %w", err)
		}
	}
	if err := b.write(); err != nil {
		return err
	}
	for _, f := range figures(b.samples) {
		if f.bound.hard && f.above() {
			b.wrong = append(b.wrong, fmt.Errorf("%s: %s: %s, at most "+f.format, f.part, f.what, f.text(), f.bound.goal))
		}
	}
	if len(b.wrong) > 0 {
		return errors.Join(append([]error{errWrong}, b.wrong...)...)
	}
	return nil
}

// readSamples reads what an earlier run left; none where there was none.
func readSamples(path string) ([]sample, error) {
	all, err := rounds.ReadRaw[sample](path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return all, nil
}

// write prints the tables, and writes them to edge.md and the samples to edge.jsonl.
func (b *bench) write() error {
	table := goalTable(figures(b.samples))
	fmt.Print("\n", table)
	raw, err := rounds.Raw(b.samples)
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	page := fmt.Sprintf("# The edge\n\nWhat those who mean harm cost the gateway, and what the honest notice of them. Ack level disk, Kafka away, on loopback, the clients beside the gateway on %d processors "+
		"(%s, %s/%s). Variants take turns; ratios are within a round; measured is the median of the rounds, in brackets the least and the most. Latencies are from when a callback was due. "+
		"Raw: edge.jsonl.\n\n    make edge\n\n%s\n## Medians\n\n%s", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, table, turnTable(b.samples))
	if err := errors.Join(os.MkdirAll(b.Out, 0o755), os.WriteFile(filepath.Join(b.Out, "edge.jsonl"), raw, 0o644),
		os.WriteFile(filepath.Join(b.Out, "edge.md"), []byte(page), 0o644)); err != nil {
		return fmt.Errorf("edge: results: %w", err)
	}
	return nil
}
