package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/forecast"
	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// forecastCommand groups the commands about forecasts.
type forecastCommand struct {
	Replay forecastReplayCommand `cmd:"" help:"Play saved or generated alarms through the rules, and print how early and how exactly exhaustion was predicted, beside the average since the period's start."`
}

// forecastReplayCommand measures forecasts. It needs neither store nor Kafka.
type forecastReplayCommand struct {
	File     string        `arg:"" optional:"" name:"file" placeholder:"FILE" help:"What alarms --format json --limit 0 printed; - is the standard input. Each app's periods are a row."`
	Generate string        `name:"generate" env:"-" placeholder:"NAME" help:"Instead of a file: steady, burst, lunch-peak, dissolve-waves, step-change, or all. The same periods each time."`
	Periods  int           `name:"periods" env:"-" placeholder:"N" default:"20" help:"How many periods to generate of each name."`
	Every    time.Duration `name:"every" env:"-" placeholder:"DURATION" help:"Use only alarms that are so far apart, as if the vendor called seldom [default: all]"`
	Zone     string        `name:"zone" env:"-" placeholder:"NAME" default:"Asia/Shanghai" help:"Time zone of the apps in the file, whose midnight begins a period."`
	Format   string        `name:"format" env:"-" enum:"table,markdown" placeholder:"FORMAT" default:"table" help:"table, for people, or markdown."`
}

// forecastRow is one line of the result.
type forecastRow struct {
	name, story string
	forecast.Summary
}

// Run prints a row for each app of the file, or for each name.
func (c *forecastReplayCommand) Run(con *process.Console) error {
	rows, err := c.rows()
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errors.New("no alarms to play")
	}
	if c.Format == "markdown" {
		return printForecastMarkdown(con.Stdout, rows)
	}
	return printForecastTable(con.Stdout, rows)
}

// rows plays what the flags name.
func (c *forecastReplayCommand) rows() ([]forecastRow, error) {
	switch {
	case (c.File == "") == (c.Generate == ""):
		return nil, errors.New("want either a FILE or --generate NAME")
	case c.Periods < 1:
		return nil, fmt.Errorf("--periods: want 1 or more, have %d", c.Periods)
	case c.Every < 0:
		return nil, fmt.Errorf("--every: want 0 or more, have %v", c.Every)
	}
	if c.File != "" {
		return c.fromFile()
	}
	names := []string{c.Generate}
	if c.Generate == "all" {
		names = forecast.Names()
	}
	var rows []forecastRow
	for _, name := range names {
		periods, err := forecast.Generate(name, c.Periods)
		if err != nil {
			return nil, fmt.Errorf("--generate: %w", err)
		}
		var runs []forecast.Run
		for _, alarms := range periods {
			runs = append(runs, forecast.Play(forecast.Thin(alarms, c.Every), time.UTC)...)
		}
		rows = append(rows, forecastRow{name: name, story: forecast.Story(name), Summary: forecast.Summarize(runs)})
	}
	return rows, nil
}

// fromFile plays the alarms of a file, the app that comes first in it first.
func (c *forecastReplayCommand) fromFile() ([]forecastRow, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("--zone: %w", err)
	}
	in := io.Reader(os.Stdin)
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	apps, err := readAlarms(in)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.File, err)
	}
	var rows []forecastRow
	for _, app := range apps {
		alarms := forecast.Thin(slices.SortedStableFunc(slices.Values(app.alarms), func(a, b forecast.Alarm) int { return a.At.Compare(b.At) }), c.Every)
		rows = append(rows, forecastRow{name: app.name, Summary: forecast.Summarize(forecast.Play(alarms, zone))})
	}
	return rows, nil
}

// appAlarms are the alarms of an app, which is named as in the table of alarms.
type appAlarms struct {
	name   string
	alarms []forecast.Alarm
}

// readAlarms reads an array of enriched alarms, and returns the apps in the order in which they
// came. An app that was renamed has the name that came first.
func readAlarms(r io.Reader) (apps []*appAlarms, err error) {
	var alarms []schema.EnrichedAlarm
	if err := json.NewDecoder(r).Decode(&alarms); err != nil {
		return nil, fmt.Errorf("want what alarms --format json prints: %w", err)
	}
	byID := make(map[int64]*appAlarms)
	for i := range alarms {
		e := &alarms[i]
		at, ok := schema.ParseTime([]byte(e.EventTime))
		if !ok || e.Quota < 1 || e.QuotaUsed < 0 {
			return nil, fmt.Errorf("element %d: %d of %d at %q is no alarm", i+1, e.QuotaUsed, e.Quota, e.EventTime)
		}
		app := byID[e.SdkAppID]
		if app == nil {
			app = &appAlarms{name: appText(e)}
			byID[e.SdkAppID], apps = app, append(apps, app)
		}
		app.alarms = append(app.alarms, forecast.Alarm{At: at, Used: e.QuotaUsed, Quota: e.Quota})
	}
	return apps, nil
}

// forecastHead are the columns of both forms.
var forecastHead = []string{"periods of", "exhausted", "alarms", "forecasts", "wrong", "first before", "told before", "median error", "naive rule", "ratio"}

// cells returns a row's columns.
func (r *forecastRow) cells() []string {
	if r.Exhausted == 0 {
		return []string{r.name, fmt.Sprintf("0 of %d", r.Periods), "-", "-", channel.Grouped(int64(r.Wrong)), "-", "-", "-", "-", "-"}
	}
	share := 0.0
	if r.Alarms > 0 {
		share = 100 * float64(r.Forecasts) / float64(r.Alarms)
	}
	cells := []string{
		r.name, fmt.Sprintf("%d of %d", r.Exhausted, r.Periods), channel.Grouped(int64(r.Alarms)), fmt.Sprintf("%.0f %%", share), channel.Grouped(int64(r.Wrong)),
		minutes(r.First.Minutes()), minutes(r.Told.Minutes()),
	}
	if r.Forecasts == 0 {
		return append(cells, "-", "-", "-")
	}
	return append(cells, minutes(r.Error), minutes(r.NaiveError), fmt.Sprintf("%.2f", r.Ratio()))
}

func minutes(m float64) string { return fmt.Sprintf("%.1f min", m) }

func printForecastTable(out io.Writer, rows []forecastRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(forecastHead, "\t")))
	for i := range rows {
		fmt.Fprintln(w, strings.Join(rows[i].cells(), "\t"))
	}
	return w.Flush()
}

func printForecastMarkdown(out io.Writer, rows []forecastRow) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(forecastHead, " | "), strings.Repeat("---|", len(forecastHead)))
	holds, compared, stories := 0, 0, false
	for i := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(rows[i].cells(), " | "))
		stories = stories || rows[i].story != ""
		if rows[i].Forecasts > 0 {
			compared++
		}
		if rows[i].Holds() {
			holds++
		}
	}
	fmt.Fprintf(&b, "\nThe error is at most %v of the naive rule's in %d of %d rows.\n", forecast.MaxRatio, holds, compared)
	if stories {
		b.WriteByte('\n')
	}
	for i := range rows {
		if rows[i].story != "" {
			fmt.Fprintf(&b, "- %s: %s\n", rows[i].name, rows[i].story)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
