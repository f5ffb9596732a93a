package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
)

// journalCommand groups the commands about one journal. Those that read lock and change nothing;
// the others ask the gateway that runs on it, or open it when none does.
type journalCommand struct {
	Stat   statCommand   `cmd:"" help:"Say what a journal holds: identity, what is undelivered, segments, what was set aside."`
	Dump   dumpCommand   `cmd:"" help:"Print the callbacks in a journal, one line each, without their bodies."`
	Verify verifyCommand `cmd:"" help:"Read every entry of a journal and say where one is corrupt; exit status 1 then."`
	Skip   skipCommand   `cmd:"" help:"Give up one entry that cannot be delivered: keep it in a file and let the rest go on."`
	Replay replayCommand `cmd:"" help:"Deliver again callbacks that were delivered and are still kept, to a cluster that lost them."`
	Limit  limitCommand  `cmd:"" help:"Say what a live gateway's journal may take on disk, or change it until the next start."`
}

// inspectFlags are those of all commands that read a journal.
type inspectFlags struct {
	journalFlags `embed:""`
	Format       string `name:"format" env:"-" enum:"text,json" placeholder:"FORMAT" default:"text" help:"Form of the output: text, for people, or json."`
}

// printJSON prints v for machines, one document a line.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// hasParked says whether a journal has one for parked callbacks beside it, which every
// gateway of this release makes.
func (f journalFlags) hasParked() bool {
	_, err := os.Stat(f.parkedDir())
	return !errors.Is(err, fs.ErrNotExist)
}

// both calls read for the journal and for the parked one, if there is one.
func both[T any](f journalFlags, read func(dir string) (T, error)) (main T, parked *T, err error) {
	if main, err = read(f.JournalDir); err != nil || !f.hasParked() {
		return main, nil, err
	}
	second, err := read(f.parkedDir())
	return main, &second, err
}

type statCommand struct {
	inspectFlags `embed:""`
}

// Run prints what the journal and the parked one hold.
func (c *statCommand) Run(con *process.Console) error {
	main, parked, err := both(c.journalFlags, journal.Stat)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(con.Stdout, struct {
			Journal journal.StatReport  `json:"journal"`
			Parked  *journal.StatReport `json:"parked"`
		}{main, parked})
	}
	printStat(con.Stdout, "journal", &main)
	if parked != nil {
		fmt.Fprintln(con.Stdout)
		printStat(con.Stdout, "parked", parked)
	}
	return nil
}

// printStat prints a report for a person: what matters in an incident first.
func printStat(out io.Writer, name string, r *journal.StatReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s\n", name, r.Dir)
	fmt.Fprintf(w, "id\t%s\n", r.ID)
	fmt.Fprintf(w, "undelivered\t%d\n", r.Entries)
	fmt.Fprintf(w, "last\tLSN %d, known to be durable up to %d\n", r.Last, r.Proven)
	settled := fmt.Sprintf("LSN %d", r.Settled)
	if !r.Checkpoint {
		settled = "no checkpoint: everything would be delivered again"
	}
	fmt.Fprintf(w, "settled\t%s\n", settled)
	for _, cursor := range r.Cursors {
		fmt.Fprintf(w, "  %s\tLSN %d\n", cursor.Lane, cursor.LSN)
	}
	fmt.Fprintf(w, "size\t%s in %d segments and %d spares\n", about(r.Bytes), len(r.Segments), r.Spares)
	fmt.Fprintf(w, "default budget\t%s\n", about(r.Budget))
	for _, name := range r.SetAside {
		fmt.Fprintf(w, "set aside\t%s\n", name)
	}
	for _, c := range r.Corruptions {
		fmt.Fprintf(w, "corrupt\t%v\n", c)
	}
	_ = w.Flush() // to the console, as everything here
	if len(r.Segments) == 0 {
		return
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "segment\tcreated\tfirst\tlast\tentries\tused\tof\tproblem")
	for _, s := range r.Segments {
		last, problem := "-", cmp.Or(s.Problem, "-")
		if s.Last >= s.First {
			last = fmt.Sprint(s.Last)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", s.Name, s.Created.UTC().Format(time.RFC3339), s.First, last, s.Entries, about(s.Used), about(s.Bytes), problem)
	}
	_ = w.Flush()
}

type verifyCommand struct {
	inspectFlags `embed:""`
}

// Run reads every entry. ErrFound: something is corrupt, and was printed.
func (c *verifyCommand) Run(con *process.Console) error {
	main, parked, err := both(c.journalFlags, journal.Verify)
	if err != nil {
		return err
	}
	good := main.OK() && (parked == nil || parked.OK())
	if c.Format == "json" {
		err = printJSON(con.Stdout, struct {
			OK      bool                  `json:"ok"`
			Journal journal.VerifyReport  `json:"journal"`
			Parked  *journal.VerifyReport `json:"parked"`
		}{good, main, parked})
	} else {
		printVerify(con.Stdout, &main)
		if parked != nil {
			printVerify(con.Stdout, parked)
		}
	}
	if err == nil && !good {
		err = process.ErrFound
	}
	return err
}

// printVerify prints what was read, then what was lost before, which is no error now, then
// what is corrupt.
func printVerify(w io.Writer, r *journal.VerifyReport) {
	span := ""
	if r.Entries > 0 {
		span = fmt.Sprintf(", LSN %d to %d", r.First, r.Last)
	}
	fmt.Fprintf(w, "%s: %d entries in %d segments%s\n", r.Dir, r.Entries, r.Segments, span)
	for _, text := range r.Recorded {
		fmt.Fprintf(w, "lost before: %s\n", text)
	}
	for _, name := range r.SetAside {
		fmt.Fprintf(w, "set aside: %s\n", name)
	}
	for _, c := range r.Corruptions {
		fmt.Fprintf(w, "corrupt: %v\n", c)
	}
	if r.OK() {
		fmt.Fprintln(w, "ok: nothing is corrupt")
	}
}
