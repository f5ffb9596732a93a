package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

func TestPrepareWritesSampleAppsOnceAndKeepsThePersons(t *testing.T) {
	p, _ := newPrinter(false)
	l := &local{settings: settings{DataDir: filepath.Join(t.TempDir(), "new")}, out: p}
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(l.appsFile); err != nil || string(text) != sampleApps {
		t.Fatalf("apps file %q, %v", text, err)
	}
	if err := os.WriteFile(l.appsFile, []byte("apps: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(l.appsFile); err != nil || string(text) != "apps: []\n" {
		t.Errorf("the person's file became %q, %v", text, err)
	}
}

func TestExplainShowsTheEndOfTheLog(t *testing.T) {
	p, _ := newPrinter(false)
	l := &local{settings: settings{DataDir: t.TempDir()}, out: p}
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for n := range 20 {
		fmt.Fprintf(&text, "line %d\n", n)
	}
	if err := os.WriteFile(l.logPath("gateway"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	err := l.explain(fmt.Errorf("gateway %w (exit status 1)", stack.ErrExited))
	if !errors.Is(err, stack.ErrExited) || !strings.HasSuffix(err.Error(), "line 18\nline 19") || strings.Contains(err.Error(), "line 11") {
		t.Errorf("explained as %v", err)
	}
	other := errors.New("something else")
	if got := l.explain(other); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("explained as %v", got)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, test := range []struct{ args, err string }{
		{"--demo-rate=0", "--demo-rate"},
		{"--data-dir=/dev/null/x", "--data-dir"},
		{"--no-such-flag", "--no-such-flag"},
		{"--brokers=127.0.0.1:1 --kafka-tls-ca=x --data-dir=" + t.TempDir(), "kafka-tls"},
	} {
		if err := execute(context.Background(), strings.Fields(test.args), out); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", test.args, err, test.err)
		}
	}
}
