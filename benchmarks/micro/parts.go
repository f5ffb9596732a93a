//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// partsCommand runs benchmarks.
type partsCommand struct {
	Brokers string   `placeholder:"LIST" help:"A real Kafka on loopback, for the clients; without it they are left out."`
	Only    []string `placeholder:"NAME" help:"Only these parts: append, recovery, clients, peers, encode (default: all)."`
	Rounds  int      `default:"5" help:"How often each takes its turn (default ${default})."`
	Out     string   `default:"benchmarks/results" help:"Folder for the table and the raw lines (default ${default})."`
	Name    string   `default:"parts" help:"Name of the files written (default ${default})."`
	Go      string   `default:"go" env:"GO" help:"The go command (default ${default})."`
}

// part is a benchmark and what it is to reach.
type part struct {
	name, title, goal string
	pkg, bench        string
	module            string // folder of its module; empty: this one
	timed             bool   // by the clock, not in rounds
	kafka             bool   // needs a real one
}

var parts = []part{
	{name: "append", title: "Append, writers of 200 B waiting for the disk, over write + fdatasync of the same batches", goal: "at 64 writers x-raw is 0.8 at least, the goal 0.95",
		pkg: "./gateway/internal/journal/", bench: "^BenchmarkAppendOverRaw$"},
	{name: "recovery", title: "Opening a journal whose process was killed, over reading it once with CRC-32C", goal: "4 s for a GiB at most, the goal 1.5 s",
		pkg: "./gateway/internal/journal/", bench: "^BenchmarkRecovery$"},
	{name: "clients", title: "Forwarding, over other clients that send the same records to the same Kafka", goal: "x-franz-go is 0.7 at least, the goal 1",
		pkg: "./gateway/internal/forward/", bench: "^BenchmarkClients$", kafka: true},
	{name: "peers", title: "tidwall/wal, over write + fdatasync of the same batches", goal: "to see the journal's figures beside; it promises less (benchmarks/peers/doc.go)",
		module: "benchmarks/peers", pkg: ".", bench: "^BenchmarkTidwall$"},
	{name: "encode", title: "Building a record batch", goal: "no allocation",
		pkg: "./internal/produce/", bench: "^BenchmarkEncode$", timed: true},
}

// Run runs the parts one after the other and writes their figures when all have run.
func (c partsCommand) Run(ctx context.Context) error {
	var raw bytes.Buffer
	doc := fmt.Sprintf("# %s\n\n%s. Medians of %d rounds in which each takes its turn; in brackets the least and the most of a ratio.\n", c.Name, machine(), c.Rounds)
	for _, p := range parts {
		if !c.wants(p) {
			continue
		}
		args := c.args(p)
		fmt.Fprintf(&raw, "# %s\n", c.line(p, args))
		out, err := c.run(ctx, p, args)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		raw.Write(out)
		results, err := parseResults(out)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		doc += fmt.Sprintf("\n## %s\n\n%s.\n\n    %s\n\n%s", p.title, p.goal, c.line(p, args), table(results))
	}
	if raw.Len() == 0 {
		return errors.New("none of the parts that were asked for can run")
	}
	for name, text := range map[string]string{c.Name + ".md": doc, c.Name + ".txt": raw.String()} {
		if err := os.WriteFile(filepath.Join(c.Out, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// wants reports whether p was asked for and can run.
func (c partsCommand) wants(p part) bool {
	if len(c.Only) > 0 && !slices.Contains(c.Only, p.name) {
		return false
	}
	if p.kafka && c.Brokers == "" {
		fmt.Printf("%s: left out, --brokers names no Kafka\n", p.name)
		return false
	}
	return true
}

func (c partsCommand) args(p part) []string {
	benchtime := fmt.Sprintf("%dx", c.Rounds)
	if p.timed {
		benchtime = "1s"
	}
	args := []string{"test"}
	if p.module != "" {
		args = append(args, "-C", p.module)
	}
	return append(args, "-run", "^$", "-bench", p.bench, "-benchtime", benchtime, "-timeout", "20m", p.pkg)
}

// line is the command as a person types it.
func (c partsCommand) line(p part, args []string) string {
	line := "go " + strings.ReplaceAll(strings.Join(args, " "), "^$ ", "'^$' ")
	line = strings.ReplaceAll(line, p.bench, "'"+p.bench+"'")
	if p.kafka {
		line = "TIDEGATE_BENCH_BROKERS=" + c.Brokers + " " + line
	}
	return line
}

func (c partsCommand) run(ctx context.Context, p part, args []string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Go, args...)
	if p.kafka {
		cmd.Env = append(os.Environ(), "TIDEGATE_BENCH_BROKERS="+c.Brokers)
	}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stdout), os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out.Bytes(), nil
}
