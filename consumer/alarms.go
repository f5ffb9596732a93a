package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// alarmsCommand prints saved alarms.
type alarmsCommand struct {
	storeFlags `embed:""`
	Format     string `name:"format" env:"-" enum:"table,json" placeholder:"FORMAT" default:"table" help:"table, for people, or json: an array of the enriched alarms, each with its deliveries."`
	App        int64  `name:"app" env:"-" placeholder:"ID" help:"Only alarms of this SdkAppid. 0: of all."`
	Limit      int    `name:"limit" env:"-" placeholder:"N" default:"20" help:"At most so many. 0: all."`
}

// savedAlarm is one element of --format json.
type savedAlarm struct {
	schema.EnrichedAlarm
	Deliveries int `json:"deliveries"` // copies of the alarm that arrived
}

// Run opens the store for reading, which needs no lock and works beside a live consumer,
// and prints as it reads. A store that does not exist yet has no alarms.
func (c *alarmsCommand) Run(con *process.Console) error {
	switch {
	case c.Limit < 0:
		return fmt.Errorf("--limit: want 0 or more, have %d", c.Limit)
	case c.App < 0 || c.App > schema.MaxAppID:
		return fmt.Errorf("--app: want an SdkAppid, have %d", c.App)
	}
	s, there, err := openToRead(con, c.Store)
	switch {
	case err != nil:
		return err
	case !there:
		return c.print(con.Stdout, func(func(store.Alarm, error) bool) {})
	}
	defer func() { _ = s.Close() }()
	return c.print(con.Stdout, s.Alarms(con.Context, store.AlarmFilter{AppID: c.App, Limit: c.Limit}))
}

func (c *alarmsCommand) print(w io.Writer, alarms iter.Seq2[store.Alarm, error]) error {
	if c.Format == "json" {
		return printJSON(w, alarms)
	}
	t := table{out: w, color: isTerminal(w)}
	for a, err := range alarms {
		if err != nil {
			return errors.Join(t.flush(), err)
		}
		if err := t.add(&a); err != nil {
			return err
		}
	}
	if t.rows == 0 {
		_, err := fmt.Fprintln(w, c.none())
		return err
	}
	return t.flush()
}

// none says that there is nothing to print.
func (c *alarmsCommand) none() string {
	if c.App != 0 {
		return fmt.Sprintf("no alarms of app %d saved yet", c.App)
	}
	return "no alarms saved yet"
}

// printJSON prints an array, one element a line, so that it streams.
func printJSON(w io.Writer, alarms iter.Seq2[store.Alarm, error]) error {
	before := "["
	for a, err := range alarms {
		if err != nil {
			return err
		}
		line, err := json.Marshal(savedAlarm{a.Event, a.Deliveries})
		if err != nil {
			return fmt.Errorf("encode alarm %s: %w", a.Event.AlarmID, err)
		}
		if _, err := fmt.Fprintf(w, "%s\n%s", before, line); err != nil {
			return err
		}
		before = ","
	}
	if before == "[" {
		_, err := fmt.Fprintln(w, "[]")
		return err
	}
	_, err := fmt.Fprint(w, "\n]\n")
	return err
}

// isTerminal says whether a person looks at w in colours (no-color.org).
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
