//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// write prints the table, and writes it to consumer.md and the samples to consumer.jsonl.
func (b *bench) write() error {
	fmt.Print("\n", goalTable(b.samples))
	raw, err := rounds.Raw(b.samples)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	if err := errors.Join(os.MkdirAll(b.Out, 0o755), os.WriteFile(filepath.Join(b.Out, "consumer.jsonl"), raw, 0o644),
		os.WriteFile(filepath.Join(b.Out, "consumer.md"), []byte(b.page()), 0o644)); err != nil {
		return fmt.Errorf("consumer: results: %w", err)
	}
	return nil
}

// page is the whole page.
func (b *bench) page() string {
	return fmt.Sprintf("# The consumer\n\nThe real binary on loopback, with Kafka, database and driver on the same %d processors (%s, %s/%s). What is measured, and how, is in benchmarks/consumer/doc.go; "+
		"measured is the median of the rounds, in brackets the least and the most. Raw: consumer.jsonl.\n\n    make bench-consumer\n\n%s\n## What it was measured with\n\n%s\n## What bounds each figure\n\n%s",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, goalTable(b.samples), b.with(), b.bounds())
}
