package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	find     bool          // which tests fail, not whether the named one does
	parallel int           // mutants at a time
	bound    time.Duration // longest time of one test
}

// runner builds and runs tests. Its methods may be called from any goroutine.
type runner struct {
	options
	root  string // of the module
	dir   string // for overlays and binaries, removed by close
	gocmd string
	slots chan struct{}
}

func newRunner(o options) (*runner, error) {
	r := &runner{options: o, gocmd: cmp.Or(os.Getenv("GO"), "go"), slots: make(chan struct{}, max(1, o.parallel))}
	out, err := exec.Command(r.gocmd, "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	r.root = filepath.Dir(strings.TrimSpace(string(out)))
	if r.dir, err = os.MkdirTemp("", "mutants-"); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *runner) close() { os.RemoveAll(r.dir) }

// verdict is what a mutant came to.
type verdict struct {
	by   string // what killed it
	err  error  // why it does not count as killed
	took time.Duration
}

// each judges the mutants, some at a time, and yields the verdicts in the order of the list.
func (r *runner) each(ctx context.Context, list []mutant) iter.Seq2[int, verdict] {
	verdicts := make([]chan verdict, len(list))
	for i := range list {
		verdicts[i] = make(chan verdict, 1)
		go func() {
			r.slots <- struct{}{}
			defer func() { <-r.slots }()
			began := time.Now()
			by, err := r.judge(ctx, &list[i])
			verdicts[i] <- verdict{by, err, time.Since(began)}
		}()
	}
	return func(yield func(int, verdict) bool) {
		for i, c := range verdicts {
			if !yield(i, <-c) {
				return
			}
		}
	}
}

// judge builds a mutant and runs its test on it.
func (r *runner) judge(ctx context.Context, m *mutant) (by string, err error) {
	dir, err := os.MkdirTemp(r.dir, m.name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(r.root, dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "test")
	if err := r.build(ctx, m.pkg, m.race, binary, "-overlay", overlay); err != nil {
		return "", err
	}
	if r.find {
		return r.failing(ctx, m, binary)
	}
	out := r.run(ctx, m, binary)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	got, ok := outcome(out, m.test)
	switch {
	case !ok:
		return "", errors.New("survives " + m.test)
	case got != m.end:
		return "", fmt.Errorf("%s ends %s, is to end %s: %.300s", m.test, cmp.Or(string(got), "by failure"), cmp.Or(string(m.end), "by failure"), clue(out))
	case got != failure:
		return fmt.Sprintf("%s, %s", m.test, got), nil
	}
	return m.test, nil
}

// build compiles the tests of a package. A mutant that does not compile shows nothing.
func (r *runner) build(ctx context.Context, pkg string, race bool, binary string, flags ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary}, flags...)
	if race {
		args = append(args, "-race")
	}
	c := exec.CommandContext(ctx, r.gocmd, append(args, "./"+pkg)...)
	c.Dir = r.root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("does not compile: %w: %s", err, out)
	}
	return nil
}

// run runs the mutant's test, within the time that one test has, and returns what it printed.
func (r *runner) run(ctx context.Context, m *mutant, binary string) string {
	match, _ := pattern(m.test)
	return r.start(ctx, m, binary, "-test.run="+match, "-test.failfast")
}

func (r *runner) start(ctx context.Context, m *mutant, binary string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, r.bound+10*time.Second) // when even the test's own alarm does not go off
	defer cancel()
	// rapid would keep what made a mutant fail, in the working tree.
	if usage, _ := exec.CommandContext(ctx, binary, "-h").CombinedOutput(); strings.Contains(string(usage), "-rapid.nofailfile") {
		args = append(args, "-rapid.nofailfile")
	}
	c := exec.CommandContext(ctx, binary, append(args, "-test.v", "-test.timeout="+r.bound.String(), fmt.Sprintf("-test.short=%v", !m.long))...)
	c.Dir = filepath.Join(r.root, filepath.FromSlash(m.pkg))
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return string(out) + timedOut
	}
	if err != nil {
		return string(out) + "\n" + err.Error()
	}
	return string(out)
}

const timedOut = "panic: test timed out after"

var panicked = regexp.MustCompile(`(?m)^(panic:|fatal error:)`)

// outcome says how a test that caught something ended; not ok: it did not.
func outcome(out, test string) (e ending, ok bool) {
	_, name := pattern(test)
	switch {
	case strings.Contains(out, timedOut):
		return hangs, true
	case panicked.MatchString(out):
		return panics, true
	}
	return failure, strings.Contains(out, "--- FAIL: "+name+" ")
}

// clue is the part of an output that says what went wrong.
func clue(out string) string {
	if at := panicked.FindStringIndex(out); at != nil {
		return out[at[0]:]
	}
	return out
}

var failed = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+) (.*)$`)

// failing names all tests of the package that fail, for whoever adds a mutant.
func (r *runner) failing(ctx context.Context, m *mutant, binary string) (string, error) {
	out := r.start(ctx, m, binary)
	var names []string
	for _, f := range failed.FindAllStringSubmatch(out, -1) {
		names = append(names, f[1]+" "+f[2])
	}
	if e, _ := outcome(out, m.test); e != failure {
		names = append(names, fmt.Sprintf("[%s: %.400s]", e, clue(out)))
	}
	if names == nil {
		return "", errors.New("survives all short tests of " + m.pkg)
	}
	return strings.Join(names, ", "), nil
}

// healthy runs each test once on the code as it is: what fails anyway kills nothing.
func (r *runner) healthy(ctx context.Context, list []mutant) error {
	builds := map[string][]mutant{}
	for _, m := range list {
		key := fmt.Sprintf("%s %v", m.pkg, m.race)
		if !slices.ContainsFunc(builds[key], func(o mutant) bool { return o.test == m.test && o.long == m.long }) {
			builds[key] = append(builds[key], m)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, tests := range builds {
		wg.Go(func() {
			r.slots <- struct{}{}
			defer func() { <-r.slots }()
			if err := r.passes(ctx, tests); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// passes runs tests of one package.
func (r *runner) passes(ctx context.Context, tests []mutant) error {
	dir, err := os.MkdirTemp(r.dir, "healthy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "test")
	if err := r.build(ctx, tests[0].pkg, tests[0].race, binary); err != nil {
		return fmt.Errorf("%s: %w", tests[0].pkg, err)
	}
	for i := range tests {
		m := &tests[i]
		_, name := pattern(m.test)
		if out := r.run(ctx, m, binary); m.test == "" || !strings.Contains(out, "--- PASS: "+name+" ") {
			return fmt.Errorf("test %q of %s is not there or fails without any mutant: %s", m.test, m.pkg, out)
		}
	}
	return nil
}

func quote(s string) string { return regexp.QuoteMeta(s) }
