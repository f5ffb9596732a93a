package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/forward"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// dumpCommand prints the callbacks of one journal.
type dumpCommand struct {
	inspectFlags `embed:""`
	From         uint64 `name:"from" env:"-" placeholder:"LSN" default:"1" help:"First log sequence number to print."`
	Limit        int    `name:"limit" env:"-" placeholder:"N" default:"0" help:"Print at most so many. 0: all."`
	Bodies       bool   `name:"bodies" env:"-" help:"Print bodies and query parameters too: they are the end users' data."`
}

// errEnough ends a dump at its limit.
var errEnough = errors.New("limit reached")

// Run prints every callback from --from on, delivered ones too as long as they are kept.
func (c *dumpCommand) Run(con *process.Console) error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit: want 0 or more, have %d", c.Limit)
	}
	id, err := journalID(c.JournalDir)
	if err != nil {
		return err
	}
	read := reader{id: id, parked: filepath.Base(process.Absolute(c.JournalDir)) == parkedName, bodies: c.Bodies}
	printed := 0
	err = journal.Dump(c.JournalDir, journal.LSN(c.From), func(e journal.Entry) error {
		if c.Limit > 0 && printed == c.Limit {
			return errEnough
		}
		printed++
		return c.print(con.Stdout, read.entry(e))
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.Is(err, journal.ErrCorrupt):
		return fmt.Errorf("entries were left out, which journal verify lists: %w", err)
	}
	return err
}

// journalID returns the first half of every ce_id of the journal.
func journalID(dir string) (uint64, error) {
	report, err := journal.Stat(dir)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(report.ID, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("read journal id: %w", err)
	}
	return id, nil
}

// dumpedEntry is one line of the dump.
type dumpedEntry struct {
	LSN           journal.LSN       `json:"lsn"`
	ID            string            `json:"id,omitempty"` // ce_id; absent of what is parked, which keeps that of its first journal
	ReceivedAt    string            `json:"received_at"`
	Topic         string            `json:"topic"`
	AppID         int64             `json:"sdk_app_id"`
	Command       string            `json:"command"`
	Authenticated string            `json:"authenticated"`
	Gateway       string            `json:"gateway"`
	BodyBytes     int               `json:"body_bytes"`
	Attributes    map[string]string `json:"attributes,omitempty"` // with --bodies only
	Body          []byte            `json:"body,omitempty"`       // base64, with --bodies only
	Problem       string            `json:"problem,omitempty"`    // why nothing else could be read
}

// reader reads the entries of one journal.
type reader struct {
	id     uint64 // of the journal
	parked bool   // its entries are in the forwarder's envelopes
	bodies bool
}

// entry reads an entry. It copies what it keeps.
func (r reader) entry(e journal.Entry) *dumpedEntry {
	d := &dumpedEntry{LSN: e.LSN}
	payload := e.Payload
	if r.parked {
		payload = payload[min(forward.EnvelopeBytes, len(payload)):]
	} else {
		d.ID = schema.CallbackID{Journal: r.id, LSN: uint64(e.LSN)}.String()
	}
	read, err := entry.Parse(payload)
	if err != nil {
		d.ReceivedAt = schema.FormatTime(e.Time)
		d.Problem = err.Error()
		return d
	}
	c := &read.Callback
	d.ReceivedAt = schema.FormatTime(c.ReceivedAt)
	d.Topic, d.AppID, d.Command = string(read.Topic), c.AppID, string(c.Command)
	d.Authenticated, d.Gateway, d.BodyBytes = c.Authenticated.String(), string(c.Gateway), len(c.Body)
	if !r.bodies {
		return d
	}
	d.Body = append([]byte(nil), c.Body...)
	for a, value := range c.Attributes {
		if value != nil {
			if d.Attributes == nil {
				d.Attributes = make(map[string]string)
			}
			d.Attributes[schema.Attribute(a).String()] = string(value)
		}
	}
	return d
}

// print writes one entry as one line. Commands and bodies are quoted: they are a stranger's
// bytes on somebody's terminal.
func (c *dumpCommand) print(w io.Writer, d *dumpedEntry) error {
	if c.Format == "json" {
		return printJSON(w, d)
	}
	if d.Problem != "" {
		_, err := fmt.Fprintf(w, "%d %s cannot be read: %s\n", d.LSN, d.ReceivedAt, d.Problem)
		return err
	}
	_, err := fmt.Fprintf(w, "%d %s %s %d %q %s %d bytes", d.LSN, d.ReceivedAt, d.Topic, d.AppID, d.Command, d.Authenticated, d.BodyBytes)
	if c.Bodies && err == nil {
		_, err = fmt.Fprintf(w, " %q", d.Body)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
