// Command table makes the table of benchmarks/acceptance from the rows that its scenarios
// wrote, prints it, and writes it with the raw rows into the results. See package proof.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/tidegate/tidegate/benchmarks/acceptance/proof"
)

func main() {
	rows := flag.String("rows", "", "folder in which the scenarios' rows are")
	out := flag.String("out", "benchmarks/results/acceptance", "prefix of the .md and the .jsonl that are written")
	how := flag.String("how", "make acceptance", "the command that the rows came of")
	flag.Parse()
	if err := write(*rows, *out, *how); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// errFailed is returned when the table holds a scenario that failed: it is printed and
// written all the same.
var errFailed = errors.New("a scenario failed")

func write(from, out, how string) error {
	rows, err := proof.Read(from)
	if err != nil {
		return err
	}
	fmt.Print(proof.Table(rows))
	if err := proof.Write(out, how, rows); err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Failed {
			return errFailed
		}
	}
	return nil
}
