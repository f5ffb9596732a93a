package proof

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// column is one column of the table.
type column struct {
	title string
	text  func(*Row) string
}

func number(of func(*Row) int) func(*Row) string {
	return func(r *Row) string { return strconv.Itoa(of(r)) }
}

// none marks a number that must be 0 and is not, so that nobody reads over it.
func none(of func(*Row) int) func(*Row) string {
	return func(r *Row) string {
		if n := of(r); n > 0 {
			return fmt.Sprintf("**%d**", n)
		}
		return "0"
	}
}

var columns = []column{
	{"scenario", scenarioText},
	{"requests", number(func(r *Row) int { return r.Requests })},
	{"answered 200", number(func(r *Row) int { return r.Accepted })},
	{"found in Kafka", number(func(r *Row) int { return r.Found })},
	{"lost (0)", none(func(r *Row) int { return r.Lost })},
	{"memory: answered 200", number(func(r *Row) int { return r.InMemory })},
	{"memory: answered 200, not found", number(func(r *Row) int { return r.Forgot })},
	{"503 not confirmed and found", number(func(r *Row) int { return r.Late })},
	{"unanswered", number(func(r *Row) int { return r.Silent })},
	{"unanswered and found", number(func(r *Row) int { return r.Heard })},
	{"duplicates (at most)", copiesText},
	{"out of order per app (0)", none(func(r *Row) int { return r.Disorder })},
	{"faults", number(func(r *Row) int { return r.Faults })},
	{"seconds", func(r *Row) string { return fmt.Sprintf("%.0f", r.Seconds) }},
}

func scenarioText(r *Row) string {
	name := strings.ReplaceAll(cmp.Or(r.Scenario, r.Test), "|", "/")
	switch {
	case r.Failed:
		return "**FAILED** " + name
	case r.Skipped:
		return "**SKIPPED** " + name
	}
	return name
}

func copiesText(r *Row) string {
	if r.Bound == nil {
		return strconv.Itoa(r.Copies)
	}
	if r.Copies > *r.Bound {
		return fmt.Sprintf("**%d** (%d)", r.Copies, *r.Bound)
	}
	return fmt.Sprintf("%d (%d)", r.Copies, *r.Bound)
}

// Table returns the rows as a table in Markdown, with their sum, and below it what is wrong
// with those that failed, and why others were skipped.
func Table(rows []Row) string {
	var b, wrong strings.Builder
	titles, rule := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		titles[i], rule[i] = c.title, "---"
	}
	fmt.Fprintf(&b, "| %s |\n| %s |\n", strings.Join(titles, " | "), strings.Join(rule, " | "))
	line := func(r *Row) {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = c.text(r)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	for i := range rows {
		r := &rows[i]
		line(r)
		switch {
		case r.Began:
			fmt.Fprintf(&wrong, "- %s has not ended.\n", r.Test)
		case r.Failed:
			fmt.Fprintf(&wrong, "- %s: %s\n", r.Test, cmp.Or(r.Wrong, "see the output of the test"))
		case r.Skipped:
			fmt.Fprintf(&wrong, "- %s was not run: %s\n", r.Test, cmp.Or(r.Wrong, "see the output of the test"))
		}
	}
	all := sum(rows)
	line(&all)
	if wrong.Len() > 0 {
		b.WriteString("\n" + wrong.String())
	}
	return b.String()
}

// sum adds the rows up.
func sum(rows []Row) Row {
	all := Row{Scenario: "all"}
	for i := range rows {
		r := &rows[i]
		all.Faults += r.Faults
		all.Seconds += r.Seconds
		all.Requests += r.Requests
		all.Accepted += r.Accepted
		all.Found += r.Found
		all.Lost += r.Lost
		all.InMemory += r.InMemory
		all.Forgot += r.Forgot
		all.Late += r.Late
		all.Silent += r.Silent
		all.Heard += r.Heard
		all.Copies += r.Copies
		all.Disorder += r.Disorder
	}
	return all
}
