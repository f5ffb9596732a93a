//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// write prints the table, and writes it to consumer.md and the samples to consumer.jsonl.
func (b *bench) write() error {
	fmt.Print("\n", goalTable(b.samples))
	var raw bytes.Buffer
	for _, s := range b.samples {
		line, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("consumer: results: %w", err)
		}
		raw.Write(append(line, '\n'))
	}
	if err := errors.Join(os.MkdirAll(b.Out, 0o755), os.WriteFile(filepath.Join(b.Out, "consumer.jsonl"), raw.Bytes(), 0o644),
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
