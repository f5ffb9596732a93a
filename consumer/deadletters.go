package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// deadlettersCommand groups the commands about records that could not be used. Those that read
// lock and change nothing, and work beside a live consumer or without one.
type deadlettersCommand struct {
	List   deadlettersListCommand   `cmd:"" help:"Print the saved dead letters, the one saved last first, one line each, without their bytes."`
	Show   deadlettersShowCommand   `cmd:"" help:"Print one dead letter: why, where it came from, its headers and body."`
	Replay deadlettersReplayCommand `cmd:"" help:"Take dead letters through the consumer's steps again, after what was wrong was put right. Without --yes it only says how many could be read now."`
	Export deadlettersExportCommand `cmd:"" help:"Print dead letters with all their bytes, one line of JSON each, oldest first."`
}

// letterFilter are the flags that select dead letters.
type letterFilter struct {
	Reason string    `name:"reason" env:"-" placeholder:"REASON" help:"Only those for this reason, such as bad_json."`
	App    int64     `name:"app" env:"-" placeholder:"ID" help:"Only those of this SdkAppid, as far as their key says. 0: of all."`
	Since  time.Time `name:"since" env:"-" placeholder:"TIME" help:"Only those that failed at this time, such as 2006-01-02T15:04:05Z, or later."`
	Until  time.Time `name:"until" env:"-" placeholder:"TIME" help:"Only those that failed at this time or earlier."`
	Limit  int       `name:"limit" env:"-" placeholder:"N" help:"At most so many: of list the newest, else the oldest. 0: all."`
}

// filter returns what the flags select, or what is wrong with them.
func (f *letterFilter) filter() (store.DeadLetterFilter, error) {
	var errs []error
	reason := schema.Reason(f.Reason)
	if f.Reason != "" {
		errs = append(errs, checkReason(reason))
	}
	if f.App < 0 || f.App > schema.MaxAppID {
		errs = append(errs, fmt.Errorf("--app: want an SdkAppid, have %d", f.App))
	}
	if f.Limit < 0 {
		errs = append(errs, fmt.Errorf("--limit: want 0 or more, have %d", f.Limit))
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since) {
		errs = append(errs, errors.New("--until: is before --since"))
	}
	return store.DeadLetterFilter{Reason: reason, AppID: f.App, From: f.Since, Until: f.Until, Limit: f.Limit}, errors.Join(errs...)
}

func checkReason(reason schema.Reason) error {
	names := make([]string, 0, len(schema.Reasons()))
	for _, r := range schema.Reasons() {
		if r == reason {
			return nil
		}
		names = append(names, string(r))
	}
	return fmt.Errorf("--reason: want one of %s, have %q", strings.Join(names, ", "), reason)
}

// openToRead opens the store for reading. False: there is none yet, which was said on stderr.
func openToRead(con *process.Console, url string) (store.Store, bool, error) {
	s, err := store.Open(con.Context, url, store.Options{ReadOnly: true})
	if errors.Is(err, store.ErrMissing) {
		fmt.Fprintf(con.Stderr, "consumer: --store: %v\n", err)
		return nil, false, nil
	}
	return s, err == nil, err
}

// shownLetter is a dead letter in JSON. Bytes are base64: they need be no text.
type shownLetter struct {
	ID          int64         `json:"id"`
	Reason      schema.Reason `json:"reason"`
	Message     string        `json:"message"`
	AppID       int64         `json:"sdk_app_id"` // 0: the key does not say
	Group       string        `json:"group"`
	FailedAt    string        `json:"failed_at"`
	ReplayedAt  *string       `json:"replayed_at"`
	PublishedAt *string       `json:"published_at"` // when Kafka had what the replay published
	Topic       string        `json:"topic"`
	Partition   int32         `json:"partition"`
	Offset      int64         `json:"offset"`
	RecordTime  string        `json:"record_time"`

	*shownBytes // nil in a list
}

// shownBytes are the record itself.
type shownBytes struct {
	Key     []byte        `json:"key"`
	Headers []shownHeader `json:"headers"`
	Value   []byte        `json:"value"`
}

type shownHeader struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

func shownOf(l *store.DeadLetter, withBytes bool) shownLetter {
	r := &l.Record
	s := shownLetter{
		ID: l.ID, Reason: l.Reason, Message: l.Message, AppID: l.AppID, Group: l.Group, FailedAt: schema.FormatTime(l.FailedAt),
		ReplayedAt: timeOrNil(l.ReplayedAt), PublishedAt: timeOrNil(l.PublishedAt),
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, RecordTime: schema.FormatTime(r.Time),
	}
	if !withBytes {
		return s
	}
	s.shownBytes = &shownBytes{Key: r.Key, Value: r.Value, Headers: []shownHeader{}}
	for _, h := range r.Headers {
		s.Headers = append(s.Headers, shownHeader{[]byte(h.Key), h.Value})
	}
	return s
}

// timeOrNil returns a time of the contract, nil for none.
func timeOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := schema.FormatTime(t)
	return &text
}

type deadlettersListCommand struct {
	storeFlags   `embed:""`
	letterFilter `embed:""`
	All          bool   `name:"all" env:"-" help:"Also those that were replayed."`
	Format       string `name:"format" env:"-" enum:"table,json" placeholder:"FORMAT" default:"table" help:"table, for people, or json: one object a line."`
}

// Run prints what the filter selects.
func (c *deadlettersListCommand) Run(con *process.Console) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	if !c.All {
		f.State = store.DeadLettersOpen
	}
	s, there, err := openToRead(con, c.Store)
	if err != nil || !there {
		return err
	}
	defer func() { _ = s.Close() }()
	out := bufio.NewWriter(con.Stdout)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := 0
	for l, err := range s.DeadLetters(con.Context, f) {
		if err != nil {
			return errors.Join(w.Flush(), out.Flush(), err)
		}
		if c.Format == "json" {
			if err := json.NewEncoder(out).Encode(shownOf(&l, false)); err != nil {
				return err
			}
			continue
		}
		if rows == 0 {
			fmt.Fprintln(w, "ID\tAPP\tREASON\tFAILED (UTC)\tREPLAYED (UTC)\tRECORD\tMESSAGE")
		}
		if rows++; rows%window == 0 {
			_ = w.Flush() // out keeps the error for its own Flush
		}
		fmt.Fprintln(w, lineOf(&l))
	}
	if c.Format == "table" && rows == 0 {
		fmt.Fprintln(out, "no dead letters")
	}
	return errors.Join(w.Flush(), out.Flush())
}

// maxListedMessage bounds a message in the table, in runes; show prints all of it.
const maxListedMessage = 80

// lineOf is a row of the table.
func lineOf(l *store.DeadLetter) string {
	app, replayed, message := "-", "-", []rune(printable(l.Message))
	if l.AppID != 0 {
		app = strconv.FormatInt(l.AppID, 10)
	}
	if !l.ReplayedAt.IsZero() {
		replayed = l.ReplayedAt.Format(time.DateTime)
		if l.PublishedAt.IsZero() {
			replayed += " (interrupted)"
		}
	}
	if len(message) > maxListedMessage {
		message = append(message[:maxListedMessage-3], []rune("...")...)
	}
	r := &l.Record
	return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s/%d/%d\t%s", l.ID, app, l.Reason, l.FailedAt.Format(time.DateTime), replayed,
		printable(r.Topic), r.Partition, r.Offset, string(message))
}

type deadlettersShowCommand struct {
	storeFlags `embed:""`
	ID         int64  `arg:"" name:"id" help:"The dead letter, as list has it."`
	Format     string `name:"format" env:"-" enum:"text,json,value" placeholder:"FORMAT" default:"text" help:"text, for people; json, with all bytes in base64; or value: the bytes of the record's value and nothing else."`
}

// Run prints one dead letter. Error: there is none of this id.
func (c *deadlettersShowCommand) Run(con *process.Console) error {
	s, there, err := openToRead(con, c.Store)
	if err != nil {
		return err
	}
	if there {
		defer func() { _ = s.Close() }()
		for l, err := range s.DeadLetters(con.Context, store.DeadLetterFilter{ID: max(c.ID, 1)}) {
			if err != nil {
				return err
			}
			return c.print(con.Stdout, &l)
		}
	}
	return fmt.Errorf("no dead letter %d: it was dropped for its age or for room, or never was", c.ID)
}

func (c *deadlettersShowCommand) print(w io.Writer, l *store.DeadLetter) error {
	switch c.Format {
	case "json":
		return json.NewEncoder(w).Encode(shownOf(l, true))
	case "value":
		_, err := w.Write(l.Record.Value)
		return err
	}
	r := &l.Record
	out := bufio.NewWriter(w)
	line := func(name, value string) { fmt.Fprintf(out, "%-12s %s\n", name, value) }
	line("dead letter", strconv.FormatInt(l.ID, 10))
	line("reason", string(l.Reason))
	line("message", printable(l.Message))
	line("record", fmt.Sprintf("%s partition %d offset %d, produced %s", printable(r.Topic), r.Partition, r.Offset, schema.FormatTime(r.Time)))
	line("failed", schema.FormatTime(l.FailedAt)+" in group "+printable(l.Group))
	switch {
	case l.ReplayedAt.IsZero():
		line("replayed", "no")
	case l.PublishedAt.IsZero():
		line("replayed", schema.FormatTime(l.ReplayedAt)+", and interrupted before it was published: the next replay does that")
	default:
		line("replayed", schema.FormatTime(l.ReplayedAt))
	}
	line("key", readableBytes(r.Key))
	for _, h := range r.Headers {
		line("header", printable(h.Key)+": "+readableBytes(h.Value))
	}
	line("value", fmt.Sprintf("%d bytes", len(r.Value)))
	fmt.Fprintln(out, readableBytes(r.Value))
	return out.Flush()
}

// readableBytes returns bytes for a person's terminal: as they are where they are text, else quoted.
func readableBytes(b []byte) string {
	switch {
	case b == nil:
		return "(null)"
	case utf8.Valid(b) && printable(string(b)) == string(b):
		return string(b)
	}
	return strconv.QuoteToGraphic(string(b))
}

type deadlettersExportCommand struct {
	storeFlags   `embed:""`
	letterFilter `embed:""`
	All          bool `name:"all" env:"-" help:"Also those that were replayed."`
}

// Run prints every selected dead letter, so that they can be kept or looked at elsewhere.
func (c *deadlettersExportCommand) Run(con *process.Console) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	f.Order = store.OldestFirst
	if !c.All {
		f.State = store.DeadLettersOpen
	}
	s, there, err := openToRead(con, c.Store)
	if err != nil || !there {
		return err
	}
	defer func() { _ = s.Close() }()
	out := bufio.NewWriter(con.Stdout)
	encoder := json.NewEncoder(out)
	for l, err := range s.DeadLetters(con.Context, f) {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if err := encoder.Encode(shownOf(&l, true)); err != nil {
			return err
		}
	}
	return out.Flush()
}
