package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

// printer writes what a person reads. It may be used by several goroutines.
type printer struct {
	mu     sync.Mutex
	out    io.Writer // guarded by mu
	colour bool
	now    func() time.Time
}

// Write implements io.Writer.
func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// record prints a record of the enriched topic or of the dead letters as one line.
func (p *printer) record(r *schema.Record, topics schema.Topics) {
	line := p.deadLetter(r)
	if r.Topic == topics.Alarms {
		line = p.alarm(r.Value)
	}
	fmt.Fprintln(p, line)
}

// Escape sequences of a terminal (ECMA-48).
const (
	plain   = "\x1b[0m"
	dim     = "\x1b[2m"
	cyan    = "\x1b[36m"
	yellow  = "\x1b[33m"
	red     = "\x1b[31m"
	alarmed = "\x1b[1;97;41m" // bold white on red
)

var severityColours = map[schema.Severity]string{
	schema.SeverityWatch: cyan, schema.SeverityWarning: yellow,
	schema.SeverityCritical: red, schema.SeverityExhausted: alarmed,
}

func (p *printer) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return colour + text + plain
}

// barWidth is the length of the bar, in characters.
const barWidth = 20

// alarm is the line of one enriched alarm.
func (p *printer) alarm(value []byte) string {
	var e schema.EnrichedAlarm
	if err := json.Unmarshal(value, &e); err != nil {
		return "an event that this program cannot read: " + err.Error()
	}
	name, owner := "app "+strconv.FormatInt(e.SdkAppID, 10), "not in the apps file"
	if e.AppName != nil {
		name = *e.AppName
	}
	if e.Owner != nil {
		owner = *e.Owner
	}
	colour := severityColours[e.Severity]
	full := min(barWidth, max(0, int(e.UsedPercent/100*barWidth)))
	bar := p.paint(colour, strings.Repeat("█", full)) + p.paint(dim, strings.Repeat("░", barWidth-full))
	step := "  "
	if e.StepEntered {
		step = "▲ "
	}
	return fmt.Sprintf("%s  %s %s %s %15s %6.1f %%  %s  %s",
		p.now().Format("15:04:05"), column(name, 16), p.paint(dim, column(owner, 14)), bar,
		thousands(e.QuotaUsed)+"/"+thousands(e.Quota), e.UsedPercent,
		p.paint(colour, step+column(string(e.Severity), 9)), p.outlook(&e))
}

// outlook says how fast the app goes and when it is full.
func (p *printer) outlook(e *schema.EnrichedAlarm) string {
	var parts []string
	if e.RatePerHour != nil {
		sign := "+"
		if *e.RatePerHour < 0 {
			sign = ""
		}
		parts = append(parts, sign+thousands(int64(*e.RatePerHour))+"/h")
	}
	if e.ExhaustionAt != nil {
		if at, err := time.Parse(schema.TimeLayout, *e.ExhaustionAt); err == nil {
			parts = append(parts, "full at "+at.In(p.now().Location()).Format("15:04"))
		}
	}
	if len(parts) == 0 && e.ForecastBasis == schema.ForecastTooFew {
		parts = append(parts, "rate not known yet")
	}
	if e.Late {
		parts = append(parts, "late")
	}
	return strings.Join(parts, ", ")
}

// deadLetter is the line of one dead letter.
func (p *printer) deadLetter(r *schema.Record) string {
	header := func(key string) string {
		value, _ := r.Header(key)
		return string(value)
	}
	return p.paint(dim, fmt.Sprintf("%s  dead letter of app %s: %s: %s (%s partition %s offset %s)",
		p.now().Format("15:04:05"), r.Key, header(schema.HeaderDeadReason), header(schema.HeaderDeadMessage),
		header(schema.HeaderDeadTopic), header(schema.HeaderDeadPartition), header(schema.HeaderDeadOffset)))
}

// column fits text into width characters.
func column(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n > width {
		runes := []rune(text)
		return string(runes[:width-1]) + "…"
	}
	return text + strings.Repeat(" ", width-n)
}

// thousands writes n with commas.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}
