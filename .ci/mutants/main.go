// Command mutants breaks the promises of this tree on purpose, one at a time, and holds that
// a named test fails for each: that the tests would notice. make mutants runs it.
//
// A mutant is one small change of the code, in a table beside this file by its subject, with
// the promise that it breaks and the test that catches it. The change is made in an overlay of the
// go command: the working tree is never touched. A mutant that does not compile, or whose
// text is not found exactly once because the code went on, is an error: the table is to be
// brought up to date. A mutant that survives is a hole in the tests.
//
// Add a mutant: write it into its package's table with an empty test, run
// go run ./.ci/mutants -find -only NAME, and name one of the tests that it prints: the
// quickest whose failure speaks of the promise. If it prints none, write that test first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	only := flag.String("only", "", "run the mutants with one of these names, separated by commas; all when empty")
	flag.BoolVar(&o.find, "find", false, "run all short tests of a mutant's package, and say which fail")
	flag.IntVar(&o.parallel, "parallel", 2, "mutants at a time")
	flag.DurationVar(&o.bound, "bound", 45*time.Second, "longest time of one test")
	limit := flag.Duration("limit", 30*time.Minute, "longest time of it all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	list, err := choose(*only)
	if err != nil {
		return err
	}
	return runAll(ctx, o, list)
}

// tables are all mutants, in the order in which they are run.
var tables = slices.Concat(journalMutants, recoveryMutants, keeperMutants, forwardMutants, receiveMutants, hostileMutants, registryMutants, secretMutants, edgeMutants, quarantineMutants, produceMutants, consumerMutants, letterMutants, effectMutants)

// choose returns the mutants with one of the names.
func choose(names string) ([]mutant, error) {
	byName := map[string]mutant{}
	for _, m := range tables {
		if _, twice := byName[m.name]; twice {
			return nil, fmt.Errorf("two mutants are called %s", m.name)
		}
		byName[m.name] = m
	}
	if names == "" {
		return tables, nil
	}
	var list []mutant
	for name := range strings.SplitSeq(names, ",") {
		m, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("no mutant is called %q", name)
		}
		list = append(list, m)
	}
	return list, nil
}

// runAll runs the tests on the code as it is, then on each mutant, and prints a line for
// each. The error says how many were not killed.
func runAll(ctx context.Context, o options, list []mutant) error {
	r, err := newRunner(o)
	if err != nil {
		return err
	}
	defer r.close()
	began := time.Now()
	if !o.find {
		if err := r.healthy(ctx, list); err != nil {
			return err
		}
		fmt.Printf("the tests pass as they are (%.0f s)\n", time.Since(began).Seconds())
	}
	const line = "%-39s %-9s %-64s %s\n"
	fmt.Printf(line, "MUTANT", "PROMISE", "KILLED BY", "SECONDS")
	bad := 0
	for i, v := range r.each(ctx, list) {
		if v.err != nil {
			bad++
			v.by = "-- " + v.err.Error()
		}
		fmt.Printf(line, list[i].name, list[i].promise, v.by, fmt.Sprintf("%7.1f", v.took.Seconds()))
	}
	fmt.Printf("%d mutants, %d not killed, %.0f s\n", len(list), bad, time.Since(began).Seconds())
	if bad > 0 {
		return errors.New("not every promise has a test that holds it")
	}
	return nil
}
