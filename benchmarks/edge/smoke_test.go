//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

// TestSmoke runs every part for a moment with the real gateway. It is for who changes this
// program, not for every run of the tests: EDGE_SMOKE=1 go test ./benchmarks/edge
func TestSmoke(t *testing.T) {
	if os.Getenv("EDGE_SMOKE") == "" {
		t.Skip("a run of the real gateway: EDGE_SMOKE=1 asks for it")
	}
	if _, err := stack.Bin("gateway"); err != nil {
		t.Skip(err)
	}
	out := t.TempDir()
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			o := options{
				Only: []string{p.name}, Rounds: 1, Turn: 2 * time.Second, RefusalTurn: 300 * time.Millisecond, Warmup: 200 * time.Millisecond,
				Idle: 100 * time.Millisecond, Slow: 500, Work: t.TempDir(), Out: out,
			}
			if err := o.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, err := readSamples(filepath.Join(out, "edge.jsonl"))
			if err != nil || len(each(all, p.name, p.base, p99)) != 1 {
				t.Errorf("samples %v, %v", all, err)
			}
			for _, f := range p.figures(all) {
				if f.verdict() == "not measured" {
					t.Errorf("%s is not measured", f.what)
				}
			}
		})
	}
}
