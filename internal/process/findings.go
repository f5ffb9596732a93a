package process

import (
	"fmt"
	"io"
	"strings"
)

// Findings are the lines that a check prints, in the order in which it looks. It belongs to
// one goroutine.
type Findings struct {
	out    io.Writer
	errors int
}

// NewFindings returns Findings that are printed to out as they come.
func NewFindings(out io.Writer) *Findings { return &Findings{out: out} }

// OK prints what was looked at and is good.
func (f *Findings) OK(format string, args ...any) { f.line("ok", format, args...) }

// Note prints what an operator should know.
func (f *Findings) Note(format string, args ...any) { f.line("note", format, args...) }

// Warn prints what is taken although it is rarely meant.
func (f *Findings) Warn(format string, args ...any) { f.line("warning", format, args...) }

// Fail prints an error: what a start would trip over.
func (f *Findings) Fail(format string, args ...any) {
	f.errors++
	f.line("error", format, args...)
}

// FailEach prints an error for each line of err.
func (f *Findings) FailEach(err error) {
	for line := range strings.Lines(err.Error()) {
		f.Fail("%s", strings.TrimRight(line, "\n"))
	}
}

// Errors returns how many errors were printed.
func (f *Findings) Errors() int { return f.errors }

// line prints one finding as one line, whatever is in it.
func (f *Findings) line(level, format string, args ...any) {
	fmt.Fprintf(f.out, "%-8s %s\n", level+":", oneLine(fmt.Sprintf(format, args...)))
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }
