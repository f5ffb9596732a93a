package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/notify"
	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// notifyCommand is what a person does about notices.
type notifyCommand struct {
	Test   notifyTestCommand   `cmd:"" help:"Send a test message to a channel and print what it answers."`
	List   notifyListCommand   `cmd:"" help:"Print what became of notices on each channel, the newest first, beside a live consumer or without one."`
	Resend notifyResendCommand `cmd:"" help:"Give parked notices to their channels again, after what was wrong was put right. Without --yes it only says how many."`
}

// notifyTestCommand sends one message.
type notifyTestCommand struct {
	notifyFlags `embed:""`
	Channel     string `arg:"" name:"channel" help:"Name of the channel in the --notify file."`
}

// Run sends a message that says that it is a test. It needs neither store nor Kafka, and no
// secret is printed. ErrFound: the channel did not take it.
func (c *notifyTestCommand) Run(con *process.Console) error {
	if c.Notify == "" {
		return errNoNotify
	}
	file, err := reload.Open("notify", c.Notify, notify.Parser(notify.ParseOptions{ResolveSecrets: true}), reload.Options{})
	if err != nil {
		return err
	}
	ch := file.Get().Channel(c.Channel)
	if ch == nil {
		return fmt.Errorf("there is no channel %q in %s; there are: %s", c.Channel, c.Notify, strings.Join(file.Get().Names(), ", "))
	}
	began := time.Now()
	n := channel.SampleNotice(quota.KindStep, began)
	n.Test, n.Link = true, file.Get().Link(n.AppID)
	answer := ch.Tell(con.Context, channel.Compose(ch.Language, ch.Name, []channel.Notice{n}, began))
	took := time.Since(began).Round(time.Millisecond)
	if answer.Result != channel.Sent {
		again := "it would be tried again"
		if answer.Result == channel.Refused {
			again = "it would be given up"
		}
		fmt.Fprintf(con.Stdout, "channel %s (%s) did not take the message, %s: %s (%s)\n", ch.Name, ch.Type, again, answer.Detail, took)
		return process.ErrFound
	}
	fmt.Fprintf(con.Stdout, "channel %s (%s) took the message: %s (%s)\n", ch.Name, ch.Type, answer.Detail, took)
	return nil
}

// dispatchFlags select notices on channels.
type dispatchFlags struct {
	ID      int64     `name:"id" env:"-" placeholder:"ID" help:"Only this one, as list has it."`
	Channel string    `name:"channel" env:"-" placeholder:"NAME" help:"Only of this channel."`
	App     int64     `name:"app" env:"-" placeholder:"ID" help:"Only of this SdkAppid. 0: of all."`
	Since   time.Time `name:"since" env:"-" placeholder:"TIME" help:"Only those made at this time, such as 2006-01-02T15:04:05Z, or later."`
	Until   time.Time `name:"until" env:"-" placeholder:"TIME" help:"Only those made at this time or earlier."`
}

// filter returns what the flags and limit, a flag of each command's own, select, or what is
// wrong with them.
func (f *dispatchFlags) filter(limit int) (store.DispatchFilter, error) {
	var errs []error
	if f.ID < 0 {
		errs = append(errs, fmt.Errorf("--id: want one that list has, have %d", f.ID))
	}
	if f.App < 0 || f.App > schema.MaxAppID {
		errs = append(errs, fmt.Errorf("--app: want an SdkAppid, have %d", f.App))
	}
	if limit < 0 {
		errs = append(errs, fmt.Errorf("--limit: want 0 or more, have %d", limit))
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since) {
		errs = append(errs, errors.New("--until: is before --since"))
	}
	return store.DispatchFilter{ID: f.ID, Channel: f.Channel, AppID: f.App, From: f.Since, Until: f.Until, Limit: limit}, errors.Join(errs...)
}

// notifyListCommand prints dispatches.
type notifyListCommand struct {
	storeFlags    `embed:""`
	dispatchFlags `embed:""`
	State         string `name:"state" env:"-" enum:",pending,sent,parked" default:"" placeholder:"STATE" help:"Only pending, sent or parked (given up) ones."`
	Limit         int    `name:"limit" env:"-" placeholder:"N" default:"20" help:"At most so many. 0: all."`
	Format        string `name:"format" env:"-" enum:"table,json" placeholder:"FORMAT" default:"table" help:"table, for people, or json, one object a line."`
}

// listed is one line of --format json.
type listed struct {
	ID        int64               `json:"id"`
	Channel   string              `json:"channel"`
	State     store.DispatchState `json:"state"`
	SdkAppID  int64               `json:"sdk_app_id"`
	AppName   *string             `json:"app_name"`
	Period    string              `json:"period"`
	Kind      quota.Kind          `json:"kind"`
	Step      schema.Severity     `json:"step"`
	Failures  int                 `json:"failures"`
	Error     string              `json:"error"`
	CreatedAt string              `json:"created_at"`
	ChangedAt string              `json:"changed_at"`
}

// Run opens the store for reading and prints as it reads.
func (c *notifyListCommand) Run(con *process.Console) error {
	f, err := c.filter(c.Limit)
	if err != nil {
		return err
	}
	f.State = store.DispatchState(c.State)
	s, there, err := openToRead(con, c.Store)
	if err != nil || !there {
		return err
	}
	defer func() { _ = s.Close() }()
	all := s.Dispatches(con.Context, f)
	if c.Format == "json" {
		return printDispatchesJSON(con.Stdout, all)
	}
	return printDispatches(con.Stdout, all)
}

func printDispatchesJSON(w io.Writer, all iter.Seq2[store.Dispatch, error]) error {
	e := json.NewEncoder(w)
	for d, err := range all {
		if err != nil {
			return err
		}
		if err := e.Encode(listed{
			d.ID, d.Channel, d.State, d.AppID, d.Alarm.AppName, d.Period, d.Kind, d.Step, d.Attempts, d.Error,
			schema.FormatTime(d.CreatedAt), schema.FormatTime(d.ChangedAt),
		}); err != nil {
			return err
		}
	}
	return nil
}

func printDispatches(out io.Writer, all iter.Seq2[store.Dispatch, error]) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := 0
	for d, err := range all {
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		if rows == 0 {
			fmt.Fprintln(w, "ID\tMADE (UTC)\tCHANNEL\tSTATE\tKIND\tSTEP\tAPP\tFAILURES\tLAST ERROR")
		}
		if rows++; rows%window == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.ID, d.CreatedAt.UTC().Format(time.DateTime), printable(d.Channel), d.State,
			printable(string(d.Kind)), printable(string(d.Step)), appText(&d.Alarm), d.Attempts, printable(d.Error))
	}
	if rows == 0 {
		_, err := fmt.Fprintln(out, "no such notice was given to a channel")
		return err
	}
	return w.Flush()
}
