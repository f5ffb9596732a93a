package channel

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// Kind is what a message says.
type Kind string

// The kinds of messages.
const (
	KindStep     Kind = "step"     // an app reached a step, just now
	KindForecast Kind = "forecast" // its cap will be reached within the hour
	KindResolve  Kind = "resolve"  // its period is over
	KindLate     Kind = "late"     // it had reached a step: only told now
	KindDigest   Kind = "digest"   // several notices in one message
	KindTest     Kind = "test"     // nothing happened: somebody tries the channel
)

// Notice is one notice and what its text needs beside it.
type Notice struct {
	quota.Notice
	Zone *time.Location // of the app's clock times; nil: UTC
	Link string         // to the console; empty: none
	Late bool           // too old to be told as news
	Test bool           // nothing happened
}

// Message is one message to people. Its fields are what a template of a webhook sees:
// names do not change, fields may be added.
type Message struct {
	ID       string    // the same when the same is sent again
	Kind     Kind      // step, and so on; of several apps digest
	Language Language  // of Title and Lines
	Title    string    // one line
	Lines    []string  // the rest, a line each; of a digest one for each app
	Apps     []App     // whom it is about: one, but for a digest
	SentAt   time.Time // when it is sent, UTC
}

// App is what a message says of one app. Clock times are in the app's zone.
type App struct {
	SdkAppID    int64   // the vendor's id
	Name        string  // as the apps file has it; else the id
	Owner       string  // empty: not known
	Tier        string  // empty: not known
	Kind        Kind    // of its notice
	Step        string  // watch, warning, critical, exhausted
	Severity    string  // info, warning, critical
	Used        int64   // groups, at least
	Quota       int64   // groups a day
	Remaining   int64   // groups, at most
	Percent     float64 // of the quota, two decimals
	RatePerHour float64 // groups; 0 where RateKnown is false
	RateKnown   bool    // whether RatePerHour could be computed
	FullAt      string  // 15:04, at that rate; empty: not known, or not in this period
	AsOf        string  // 15:04, of all numbers
	Zone        string  // of the clock times, such as Asia/Shanghai
	Period      string  // its date
	EventTime   string  // of the alarm, as in the contract, UTC
	Alarms      int     // that the notice stands for
	Advice      string  // what can be done
	Link        string  // to the console; empty: none
}

// Compose writes the message of notices, of which there is at least one: of one app it
// tells everything, of several a digest with a line for each app, the most urgent first. channel
// is part of the message's id.
func Compose(language Language, channel string, notices []Notice, sentAt time.Time) *Message {
	w := wordsOf(language)
	m := &Message{ID: messageID(channel, notices), Language: language, SentAt: sentAt.UTC()}
	for i := range notices {
		m.Apps = append(m.Apps, appOf(w, &notices[i]))
	}
	m.Apps = latest(m.Apps)
	if len(m.Apps) == 1 {
		a := &m.Apps[0]
		m.Kind, m.Title, m.Lines = a.Kind, w.title(a), w.lines(a)
		return m
	}
	m.Kind, m.Title = KindDigest, w.digestTitle(m.Apps)
	for i := range m.Apps {
		m.Lines = append(m.Lines, w.digestLine(&m.Apps[i]))
	}
	return m
}

// messageID returns the id of a message about notices: of the same notices the same,
// whichever process sends it, and of no others.
func messageID(channel string, notices []Notice) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q", channel)
	for i := range notices {
		n := &notices[i]
		fmt.Fprintf(sum, "%d %q %q %q %q;", n.AppID, n.Period, n.Kind, n.Step, n.Alarm.AlarmID)
	}
	return "msg_" + hex.EncodeToString(sum.Sum(nil)[:16])
}

// latest returns one App for each app: the most urgent of what there is to say of it, and
// of one step the one with the highest use, and of those the last. The most urgent app is first.
func latest(all []App) []App {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b App) int {
		return cmp.Or(cmp.Compare(rank(&b), rank(&a)), cmp.Compare(b.Percent, a.Percent), strings.Compare(b.EventTime, a.EventTime), cmp.Compare(a.SdkAppID, b.SdkAppID))
	})
	seen := make(map[int64]bool, len(all))
	return slices.DeleteFunc(all, func(a App) bool {
		again := seen[a.SdkAppID]
		seen[a.SdkAppID] = true
		return again
	})
}

// rank orders by urgency. What is over comes last.
func rank(a *App) int {
	if a.Kind == KindResolve {
		return -1
	}
	return slices.Index(schema.Severities(), schema.Severity(a.Step))
}

// appOf returns what there is to say of a notice.
func appOf(w *words, n *Notice) App {
	e := &n.Alarm
	zone := n.Zone
	if zone == nil {
		zone = time.UTC
	}
	id := strconv.FormatInt(n.AppID, 10)
	a := App{
		SdkAppID: n.AppID, Name: valueOf(e.AppName, id), Owner: valueOf(e.Owner, ""), Tier: valueOf(e.Tier, ""),
		Kind: kindOf(n), Step: string(n.Step), Severity: severityOf(n.Step),
		Used: e.QuotaUsed, Quota: e.Quota, Remaining: e.Remaining, Percent: e.UsedPercent,
		Zone: zone.String(), EventTime: e.EventTime, AsOf: clock(e.EventTime, zone), Alarms: n.Count, Link: n.Link,
	}
	a.Period, _, _ = strings.Cut(n.Period, "#")
	if e.RatePerHour != nil {
		a.RatePerHour, a.RateKnown = *e.RatePerHour, true
	}
	if e.ExhaustionAt != nil && a.Remaining > 0 {
		a.FullAt = clock(*e.ExhaustionAt, zone)
	}
	a.Advice = w.advice[n.Step]
	return a
}

// kindOf returns what a message about one notice says.
func kindOf(n *Notice) Kind {
	switch {
	case n.Test:
		return KindTest
	case n.Kind == quota.KindResolve:
		return KindResolve
	case n.Kind == quota.KindDigest, n.Late:
		return KindLate
	case n.Kind == quota.KindForecast:
		return KindForecast
	}
	return KindStep
}

// severityOf returns a step as those who page people name it. A step of a later release
// is taken for a warning.
func severityOf(step schema.Severity) string {
	switch step {
	case schema.SeverityOK, schema.SeverityWatch:
		return "info"
	case schema.SeverityCritical, schema.SeverityExhausted:
		return "critical"
	case schema.SeverityWarning:
	}
	return "warning"
}

// clock returns a time of the contract as people of the zone read it; what is no time as
// it is.
func clock(text string, zone *time.Location) string {
	at, ok := schema.ParseTime([]byte(text))
	if !ok {
		return text
	}
	return at.In(zone).Format("15:04")
}

func valueOf(text *string, unknown string) string {
	if text == nil || *text == "" {
		return unknown
	}
	return *text
}

// Text returns all lines, each ended by a line break but the last.
func (m *Message) Text() string { return strings.Join(m.Lines, "\n") }
