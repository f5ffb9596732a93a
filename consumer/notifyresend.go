package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
)

// resendAtOnce is how many notices are given out again in one transaction, so that a live
// consumer hardly waits for SQLite's one writer.
const resendAtOnce = 500

// notifyResendCommand gives parked notices to their channels again.
type notifyResendCommand struct {
	storeFlags    `embed:""`
	dispatchFlags `embed:""`
	Limit         int  `name:"limit" env:"-" placeholder:"N" help:"At most so many, the newest. 0: all."`
	Yes           bool `name:"yes" env:"-" help:"Do it. Without it, only say how many notices of which channels that concerns."`
}

// Run makes what the flags select of the parked notices wait for their channels again; the
// consumers send them, within each channel's limits, as they send others. It sends nothing
// itself, and may be interrupted and repeated: what is not parked any more is left alone.
func (c *notifyResendCommand) Run(con *process.Console) error {
	f, err := c.filter(c.Limit)
	if err != nil {
		return err
	}
	f.State = store.DispatchParked
	ids, err := c.inspect(con, f)
	if err != nil || len(ids) == 0 {
		return err
	}
	if !c.Yes {
		_, err := fmt.Fprintln(con.Stdout, "--yes sends them again")
		return err
	}
	s, err := store.Open(con.Context, c.Store, store.Options{})
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	defer func() { _ = s.Close() }()
	resent := 0
	for chunk := range slices.Chunk(ids, resendAtOnce) {
		n, err := s.Resend(con.Context, chunk, time.Now())
		if err != nil {
			return fmt.Errorf("%d of %d wait for their channels again: %w", resent, len(ids), err)
		}
		resent += n
	}
	_, err = fmt.Fprintf(con.Stdout, "%d of them wait for their channels again: consumer notify list --state=pending\n", resent)
	return err
}

// inspect prints what a filter selects, by channel, and returns the ids, the oldest first.
func (c *notifyResendCommand) inspect(con *process.Console, f store.DispatchFilter) (ids []int64, err error) {
	s, there, err := openToRead(con, c.Store)
	if err != nil || !there {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	channels := map[string]*parkedChannel{}
	for d, err := range s.Dispatches(con.Context, f) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, d.ID)
		if channels[d.Channel] == nil {
			channels[d.Channel] = &parkedChannel{newest: d.CreatedAt, error: d.Error}
		}
		channels[d.Channel].count++
		channels[d.Channel].oldest = d.CreatedAt
	}
	slices.Reverse(ids)
	return ids, printParked(con.Stdout, channels)
}

// parkedChannel is what is parked of one channel.
type parkedChannel struct {
	count          int
	oldest, newest time.Time // when they were made
	error          string    // of the newest
}

func printParked(out io.Writer, channels map[string]*parkedChannel) error {
	if len(channels) == 0 {
		_, err := fmt.Fprintln(out, "no such notice is parked")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHANNEL\tPARKED\tMADE FROM (UTC)\tTO (UTC)\tLAST ERROR")
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		c := channels[name]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", printable(name), c.count, c.oldest.Format(time.DateTime), c.newest.Format(time.DateTime), printable(c.error))
	}
	return w.Flush()
}
