package main

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// Columns of the table.
const (
	columnApp = iota
	columnOwner
	columnUsed
	columnPercent
	columnSeverity
	columnEvent
	columnReceived
	columnDeliveries
	numColumns
)

// columns says how each column is headed and on which side its cells stand.
var columns = [numColumns]struct {
	head  string
	right bool
}{
	columnApp:        {head: "APP"},
	columnOwner:      {head: "OWNER"},
	columnUsed:       {head: "USED / QUOTA", right: true},
	columnPercent:    {head: "PERCENT", right: true},
	columnSeverity:   {head: "SEVERITY"},
	columnEvent:      {head: "EVENT TIME (UTC)"},
	columnReceived:   {head: "RECEIVED (UTC)"},
	columnDeliveries: {head: "DELIVERIES", right: true},
}

// colors of the severities: what a person has to see first.
var colors = map[schema.Severity]string{
	schema.SeverityWatch:     "\x1b[36m",
	schema.SeverityWarning:   "\x1b[33m",
	schema.SeverityCritical:  "\x1b[31m",
	schema.SeverityExhausted: "\x1b[1;97;41m",
}

const plain = "\x1b[0m"

// window is how many rows are laid out together: widths can grow from one window to the
// next, and memory does not grow with the number of alarms.
const window = 1000

// row is one line.
type row struct {
	cells    [numColumns]string
	severity schema.Severity
}

// table prints rows in columns. Call flush at the end.
type table struct {
	out    io.Writer
	color  bool
	rows   int // that were added
	waits  []row
	widths [numColumns]int
}

// add takes one alarm, and prints when a window is full.
func (t *table) add(a *store.Alarm) error {
	t.rows++
	t.waits = append(t.waits, rowOf(a))
	if len(t.waits) < window {
		return nil
	}
	return t.flush()
}

// rowOf lays out one alarm.
func rowOf(a *store.Alarm) row {
	e := &a.Event
	r := row{severity: e.Severity}
	r.cells[columnApp] = appText(e)
	r.cells[columnOwner] = "-"
	if e.Owner != nil {
		r.cells[columnOwner] = printable(*e.Owner)
	}
	r.cells[columnUsed] = channel.Grouped(e.QuotaUsed) + " / " + channel.Grouped(e.Quota)
	r.cells[columnPercent] = strconv.FormatFloat(e.UsedPercent, 'f', 2, 64) + " %"
	r.cells[columnSeverity] = printable(string(e.Severity))
	r.cells[columnEvent] = timeText(e.EventTime)
	if e.EventTimeSource == schema.EventTimeReceipt {
		r.cells[columnEvent] = "as received"
	}
	r.cells[columnReceived] = timeText(e.ReceivedAt)
	r.cells[columnDeliveries] = channel.Grouped(int64(a.Deliveries))
	return r
}

// appText names an app by its name and id.
func appText(e *schema.EnrichedAlarm) string {
	id := strconv.FormatInt(e.SdkAppID, 10)
	switch {
	case e.AppName != nil:
		return printable(*e.AppName) + " (" + id + ")"
	case e.Registered:
		return id
	}
	return id + " (not listed)"
}

// timeText turns the contract's time into one that is easier to read, in UTC, to the
// second.
func timeText(s string) string {
	t, ok := schema.ParseTime([]byte(s))
	if !ok {
		return printable(s)
	}
	return t.Format("2006-01-02 15:04:05")
}

// printable keeps what would move a terminal's cursor, or worse, out of the table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// flush prints what waits, with the heads before the first row.
func (t *table) flush() error {
	for i := range columns {
		t.widths[i] = max(t.widths[i], width(columns[i].head))
		for _, r := range t.waits {
			t.widths[i] = max(t.widths[i], width(r.cells[i]))
		}
	}
	w := bufio.NewWriter(t.out)
	if t.rows == len(t.waits) {
		var head row
		for i := range columns {
			head.cells[i] = columns[i].head
		}
		t.line(w, head)
	}
	for _, r := range t.waits {
		t.line(w, r)
	}
	t.waits = t.waits[:0]
	return w.Flush()
}

// line prints one row. Errors are the writer's and come out at its Flush.
func (t *table) line(w *bufio.Writer, r row) {
	for i, cell := range r.cells {
		pad := strings.Repeat(" ", t.widths[i]-width(cell))
		if color := colors[r.severity]; t.color && i == columnSeverity && color != "" {
			cell = color + cell + plain
		}
		switch {
		case columns[i].right:
			cell = pad + cell
		case i < numColumns-1:
			cell += pad
		}
		if i > 0 {
			_, _ = w.WriteString("  ")
		}
		_, _ = w.WriteString(cell)
	}
	_ = w.WriteByte('\n')
}

// width returns how many places s takes on a terminal: East Asian characters take two,
// marks that combine with the one before take none.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul),
			r >= 0x3000 && r <= 0x303e, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}
