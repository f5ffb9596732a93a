package reload

import (
	"fmt"
	"strconv"
	"strings"
)

// Pos is a place in a file. Both numbers count from 1, the column in characters; zero means that
// the place is not known, or no more of it than its line.
type Pos struct {
	Line   int
	Column int
}

// Problem is one thing that is wrong with a file: where it stands and what to write
// instead.
type Problem struct {
	Line    int
	Column  int
	Text    string
	Warning bool // an error at start and in check, a warning at reload (an unknown key)
}

// in returns the problem as one line: "name:line:column: text", as far as the place is known.
func (p Problem) in(name string) string {
	var b strings.Builder
	if name != "" {
		b.WriteString(name)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		b.WriteString(strconv.Itoa(p.Line))
		b.WriteByte(':')
	}
	if p.Line > 0 && p.Column > 0 {
		b.WriteString(strconv.Itoa(p.Column))
		b.WriteByte(':')
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything that is wrong with one file, in the order of the file. It is an
// error of one line per problem; nil means that the file is good.
type Problems []Problem

// Error returns all problems, one line each, without the file's name.
func (ps Problems) Error() string { return strings.Join(ps.Lines(""), "\n") }

// Err returns ps as an error, nil when there is no problem at all.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Lines returns one line per problem, each beginning with the file's name where one is
// given.
func (ps Problems) Lines(name string) []string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.in(name)
	}
	return lines
}

// Errors returns the problems that keep the file from being used at reload.
func (ps Problems) Errors() Problems { return ps.only(false) }

// Warnings returns the problems that do not.
func (ps Problems) Warnings() Problems { return ps.only(true) }

func (ps Problems) only(warning bool) Problems {
	var some Problems
	for _, p := range ps {
		if p.Warning == warning {
			some = append(some, p)
		}
	}
	return some
}

// Add appends an error that stands at pos.
func (ps *Problems) Add(at Pos, format string, args ...any) {
	*ps = append(*ps, Problem{Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
}

// Warn appends a warning that stands at pos.
func (ps *Problems) Warn(at Pos, format string, args ...any) {
	ps.Add(at, format, args...)
	(*ps)[len(*ps)-1].Warning = true
}

// FileError is a file that cannot be used. Its text is one line per problem, each with
// the file's path, so that it can be printed as it is.
type FileError struct {
	Path     string
	Problems Problems
}

// Error returns one line per problem: "path:line:column: text".
func (e *FileError) Error() string { return strings.Join(e.Problems.Lines(e.Path), "\n") }

// Unwrap returns the problems.
func (e *FileError) Unwrap() error { return e.Problems }
