package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/quarantine"
	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// quarantineCommand groups the commands about refused callbacks. Those that read lock and change
// nothing.
type quarantineCommand struct {
	List  quarantineListCommand  `cmd:"" help:"Say of which apps callbacks are in quarantine, why, and with --apps whether they would be admitted now."`
	Show  quarantineShowCommand  `cmd:"" help:"Print the callbacks in quarantine, one line each, without their bodies, and never with their Sign."`
	Admit quarantineAdmitCommand `cmd:"" help:"Have the running gateway look at an app's callbacks again and take those that pass now, but for their age."`
}

// quarantineReadFlags are those of list and show.
type quarantineReadFlags struct {
	journalFlags   `embed:""`
	quarantineFlag `embed:""`
	Format         string `name:"format" env:"-" enum:"table,json" placeholder:"FORMAT" default:"table" help:"Form of the output: table, for people, or json."`
}

// read calls each for what is kept, and says on stderr what cannot be read.
func (c *quarantineReadFlags) read(con *process.Console, each func(r *quarantine.Callback, size int) error) error {
	damaged, err := quarantine.Read(c.quarantineDir(c.journalFlags), each)
	for _, d := range damaged {
		fmt.Fprintf(con.Stderr, "%s: the end cannot be read: %v\n", d.Name, d.Err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no quarantine is there: %w", err)
	}
	return err
}

// maxUnlistedRows bounds the rows of unknown apps in the table: anybody can invent them.
const maxUnlistedRows = 20

type quarantineListCommand struct {
	quarantineReadFlags `embed:""`
	Apps                string `name:"apps" placeholder:"FILE" help:"The apps file: says what would be admitted now."`
	Routes              string `name:"routes" placeholder:"FILE" help:"The routes file, if the gateway has one: says with --apps what would be dropped."`
}

// quarantinedApp is one row.
type quarantinedApp struct {
	AppID    int64            `json:"sdk_app_id"`
	Name     string           `json:"name,omitempty"`     // with --apps
	Listed   bool             `json:"listed"`             // in the apps file when some of them came, or with --apps now
	Entries  int64            `json:"entries"`            // callbacks
	Bytes    int64            `json:"bytes"`              // of files
	Oldest   string           `json:"oldest"`             // by time of receipt
	Newest   string           `json:"newest"`             // the same
	Reasons  map[string]int64 `json:"reasons"`            // why they were refused
	Now      map[string]int64 `json:"now,omitempty"`      // with --apps: admitted, dropped, or why they would stay
	Unsigned bool             `json:"unsigned,omitempty"` // with --apps: the app has no token

	oldest, newest time.Time
}

// Run prints a row for each app.
func (c *quarantineListCommand) Run(con *process.Console) error {
	look, err := c.rechecker()
	if err != nil {
		return err
	}
	byApp := map[int64]*quarantinedApp{}
	err = c.read(con, func(r *quarantine.Callback, size int) error {
		a := byApp[r.AppID]
		if a == nil {
			a = &quarantinedApp{AppID: r.AppID, Reasons: map[string]int64{}, oldest: r.ReceivedAt, newest: r.ReceivedAt}
			byApp[r.AppID] = a
		}
		a.add(r, size, look)
		return nil
	})
	if err != nil {
		return err
	}
	rows := slices.SortedFunc(maps.Values(byApp), func(a, b *quarantinedApp) int {
		if a.Listed != b.Listed {
			return cmp.Compare(b.rank(), a.rank())
		}
		if !a.Listed && a.Entries != b.Entries {
			return cmp.Compare(b.Entries, a.Entries)
		}
		return cmp.Compare(a.AppID, b.AppID)
	})
	for _, a := range rows {
		a.Oldest, a.Newest = schema.FormatTime(a.oldest), schema.FormatTime(a.newest)
	}
	if c.Format == "json" {
		return printJSON(con.Stdout, struct {
			Apps []*quarantinedApp `json:"apps"`
		}{rows})
	}
	printQuarantined(con.Stdout, rows, look != nil)
	return nil
}

func (a *quarantinedApp) rank() int {
	if a.Listed {
		return 1
	}
	return 0
}

// rechecker judges as the gateway would; nil without --apps.
func (c *quarantineListCommand) rechecker() (*receive.Rechecker, error) {
	if c.Apps == "" {
		return nil, nil //nolint:nilnil // nothing is judged
	}
	file, err := reload.Open("apps", c.Apps, apps.Parser(apps.Options{ResolveTokens: true}), reload.Options{})
	if err != nil {
		return nil, err
	}
	look := &receive.Rechecker{Apps: file.Get(), Routes: receive.DefaultRoutes(receive.RouteOptions{})}
	if c.Routes != "" {
		routes, err := reload.Open("routes", c.Routes, receive.ParseRoutes(receive.RouteOptions{}), reload.Options{})
		if err != nil {
			return nil, err
		}
		look.Routes = routes.Get()
	}
	return look, nil
}

// add counts one callback.
func (a *quarantinedApp) add(r *quarantine.Callback, size int, look *receive.Rechecker) {
	a.Listed = a.Listed || r.Reason != quarantine.AppUnknown
	a.Entries++
	a.Bytes += int64(size)
	a.Reasons[r.Reason.String()]++
	if r.ReceivedAt.Before(a.oldest) {
		a.oldest = r.ReceivedAt
	}
	if r.ReceivedAt.After(a.newest) {
		a.newest = r.ReceivedAt
	}
	if look == nil {
		return
	}
	if app := look.Apps.Get(r.AppID); app != nil {
		a.Name, a.Listed = app.Name, true
	}
	if a.Now == nil {
		a.Now = map[string]int64{}
	}
	switch seen := look.Look(refusedOf(r)); {
	case seen.Refusal != "":
		a.Now[seen.Refusal]++
	case seen.Topic == "":
		a.Now["dropped"]++
	default:
		a.Now["admitted"]++
		if seen.Unsigned {
			a.Unsigned = true
		}
	}
}

// printQuarantined prints the rows for a person.
func printQuarantined(out io.Writer, rows []*quarantinedApp, judged bool) {
	if len(rows) == 0 {
		fmt.Fprintln(out, "nothing is in quarantine")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := "app\tcallbacks\tsize\toldest\tnewest\trefused for"
	if judged {
		head += "\tnow\tname"
	}
	fmt.Fprintln(w, head)
	unlisted, more, moreEntries := 0, 0, int64(0)
	for _, a := range rows {
		if !a.Listed {
			if unlisted++; unlisted > maxUnlistedRows {
				more++
				moreEntries += a.Entries
				continue
			}
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%s", a.AppID, a.Entries, about(a.Bytes), a.Oldest, a.Newest, counts(a.Reasons))
		if judged {
			now := counts(a.Now)
			if a.Unsigned {
				now += " (unsigned: anyone may have sent them)"
			}
			fmt.Fprintf(w, "\t%s\t%s", now, cmp.Or(a.Name, "-"))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to the console, as everything here
	if more > 0 {
		fmt.Fprintf(out, "and %d callbacks of %d more unknown apps, which --format json lists\n", moreEntries, more)
	}
}

// counts writes counters in the order of their names.
func counts(m map[string]int64) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(list, ", ")
}

type quarantineShowCommand struct {
	quarantineReadFlags `embed:""`
	App                 int64 `name:"app" env:"-" placeholder:"ID" help:"Only this app's."`
	Limit               int   `name:"limit" env:"-" placeholder:"N" default:"0" help:"Print at most so many. 0: all."`
	Bodies              bool  `name:"bodies" env:"-" help:"Print bodies and query parameters too, but for Sign: they are the end users' data."`
}

// shownCallback is one line of show. It has no field for Sign.
type shownCallback struct {
	ReceivedAt  string              `json:"received_at"`
	Reason      string              `json:"reason"`
	Source      string              `json:"source"`
	AppID       int64               `json:"sdk_app_id"`
	Command     string              `json:"command"`
	RequestTime string              `json:"request_time,omitempty"`
	BodyBytes   int                 `json:"body_bytes"`
	Traceparent string              `json:"traceparent,omitempty"`
	Parameters  map[string][]string `json:"parameters,omitempty"` // with --bodies only, never Sign
	Body        []byte              `json:"body,omitempty"`       // base64, with --bodies only
}

// Run prints what is kept, each part's oldest first.
func (c *quarantineShowCommand) Run(con *process.Console) error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit: want 0 or more, have %d", c.Limit)
	}
	printed := 0
	err := c.read(con, func(r *quarantine.Callback, _ int) error {
		if c.App != 0 && r.AppID != c.App {
			return nil
		}
		if c.Limit > 0 && printed == c.Limit {
			return errEnough
		}
		printed++
		return c.print(con.Stdout, c.shown(r))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (c *quarantineShowCommand) shown(r *quarantine.Callback) *shownCallback {
	s := &shownCallback{
		ReceivedAt: schema.FormatTime(r.ReceivedAt), Reason: r.Reason.String(), AppID: r.AppID, Command: string(r.Command),
		BodyBytes: len(r.Body), Traceparent: string(r.Traceparent), Source: "-",
	}
	if r.Source.IsValid() {
		s.Source = r.Source.String()
	}
	parameters, err := url.ParseQuery(string(r.Query))
	if err != nil {
		return s // nothing of it is shown
	}
	s.RequestTime = parameters.Get("RequestTime")
	if c.Bodies {
		maps.DeleteFunc(parameters, func(name string, _ []string) bool { return strings.EqualFold(name, "Sign") })
		s.Parameters, s.Body = parameters, slices.Clone(r.Body)
	}
	return s
}

// print prints one line. What a stranger chose is quoted: it is on somebody's terminal.
func (c *quarantineShowCommand) print(w io.Writer, s *shownCallback) error {
	if c.Format == "json" {
		return printJSON(w, s)
	}
	_, err := fmt.Fprintf(w, "%s %s %s %d %q %d bytes", s.ReceivedAt, s.Reason, s.Source, s.AppID, s.Command, s.BodyBytes)
	if s.RequestTime != "" && err == nil {
		_, err = fmt.Fprintf(w, " RequestTime %q", s.RequestTime)
	}
	if c.Bodies && err == nil {
		_, err = fmt.Fprintf(w, " %q %q", url.Values(s.Parameters).Encode(), s.Body)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

type quarantineAdmitCommand struct {
	journalFlags `embed:""`
	App          int64 `name:"app" env:"-" required:"" placeholder:"ID" help:"SdkAppid whose callbacks are looked at again."`
}

// Run has the gateway that runs on the journal do it. An error says that not all was looked at:
// running it again goes on, and takes nothing twice.
func (c *quarantineAdmitCommand) Run(con *process.Console) error {
	ctx, stop := signal.NotifyContext(con.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := dialControl(ctx, c.JournalDir)
	if errors.Is(err, errNoGateway) {
		return fmt.Errorf("%w: start it, for it knows today's tokens and routes", err)
	}
	if err != nil {
		return err
	}
	defer client.close()
	body, err := client.call(ctx, http.MethodPost, "/quarantine/admit", url.Values{"app": {strconv.FormatInt(c.App, 10)}})
	if err != nil {
		return err
	}
	defer body.Close()
	report := new(admitReport)
	said := time.Now()
	err = follow(body, report, func(r *admitReport) (bool, string) { return r.Done, r.Error }, func() {
		if time.Since(said) >= time.Second {
			said = time.Now()
			fmt.Fprintf(con.Stderr, "%d looked at, %d admitted\n", report.Seen, report.Admitted)
		}
	})
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	for _, line := range report.lines() {
		fmt.Fprintln(con.Stdout, line)
	}
	if err != nil {
		return fmt.Errorf("not everything was looked at, run it again to go on: %w", err)
	}
	return nil
}

// lines say the report for a person.
func (r *admitReport) lines() (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	say("%d callbacks looked at", r.Seen)
	say("%d admitted: they are in the journal, with their time of receipt and ce_admitted", r.Admitted)
	if r.Unsigned > 0 {
		say("%d of these are not signed, as the app has no token: anyone may have sent them", r.Unsigned)
	}
	if r.Late > 0 {
		say("%d of these came at another time than their RequestTime: whoever once saw their Sign can have sent them", r.Late)
	}
	if r.Dropped > 0 {
		say("%d removed: they pass, and today's route drops them", r.Dropped)
	}
	if len(r.Stay) > 0 {
		say("in quarantine stay: %s", counts(r.Stay))
	}
	return lines
}
