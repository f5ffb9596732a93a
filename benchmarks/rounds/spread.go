package rounds

import (
	"fmt"
	"slices"
)

// Spread is the median of some rounds with the least and the most of them. The zero value
// says that there is no figure.
type Spread struct {
	Middle, Least, Most float64
	Rounds              int
}

// SpreadOf returns the spread of values, one for each round.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Middle: Median(values), Least: slices.Min(values), Most: slices.Max(values), Rounds: len(values)}
}

// Text prints the median, and in brackets the spread where there was more than one round,
// each in format.
func (s Spread) Text(format string) string {
	if s.Rounds < 2 {
		return s.MiddleText(format)
	}
	return fmt.Sprintf(format+" ("+format+" - "+format+")", s.Middle, s.Least, s.Most)
}

// MiddleText prints the median alone.
func (s Spread) MiddleText(format string) string {
	if s.Rounds == 0 {
		return "-"
	}
	return fmt.Sprintf(format, s.Middle)
}

// Goal is a figure and what is asked of it.
type Goal struct {
	What   string
	Floor  float64 // the least that it has to be; 0: nothing has to be
	Goal   float64 // what is aimed at; 0: nothing
	Most   bool    // floor and goal are the most, not the least
	Format string  // of its numbers
}

// Missed says that the median is beyond the floor.
func (g Goal) Missed(s Spread) bool {
	return g.Floor != 0 && s.Rounds > 0 && !g.reaches(s, g.Floor)
}

func (g Goal) reaches(s Spread, bound float64) bool {
	return g.Most && s.Middle <= bound || !g.Most && s.Middle >= bound
}

// Verdict says in a word how the median stands to floor and goal.
func (g Goal) Verdict(s Spread) string {
	switch {
	case s.Rounds == 0:
		return "not measured"
	case g.Floor == 0 && g.Goal == 0:
		return "stated"
	case g.Missed(s) && g.Most:
		return "**above the floor**"
	case g.Missed(s):
		return "**below the floor**"
	case g.Goal != 0 && g.reaches(s, g.Goal):
		return "goal reached"
	case g.Floor == 0:
		return "goal missed"
	}
	return "floor held"
}

// Row is the figure as a line of a Markdown table: what it is, its floor, its goal, what was
// measured, and the verdict.
func (g Goal) Row(s Spread) string {
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", g.What, g.bound(g.Floor), g.bound(g.Goal), s.Text(g.Format), g.Verdict(s))
}

func (g Goal) bound(v float64) string {
	if v == 0 {
		return "-"
	}
	sign := ">="
	if g.Most {
		sign = "<="
	}
	return fmt.Sprintf("%s "+g.Format, sign, v)
}
