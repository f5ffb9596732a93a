package schema

import (
	"errors"
	"strconv"
	"strings"
)

// ErrCallbackID means that a text is not a callback id. The caller names where the text
// came from.
var ErrCallbackID = errors.New("not a callback id: want 16 lower-case hex digits, a dash, and a decimal number from 1")

// HeaderError names everything that keeps a record from being a raw record of the
// contract. The caller makes a dead letter of the record (ReasonBadHeaders) with the
// error's text as its message.
type HeaderError struct {
	Problems []HeaderProblem // at least one, in the order of the headers, with ce_subject and the key beside ce_source
}

// HeaderProblem is one header, or the key, that is missing or wrong.
type HeaderProblem struct {
	Header string // the header's name; RecordKey where it is the record's key
	Text   string // what is wrong, with the value found, cut to a readable length
}

// RecordKey stands for the record's key in a HeaderProblem.
const RecordKey = "key"

// Error returns the problems in one line.
func (e *HeaderError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Header)
		b.WriteByte(' ')
		b.WriteString(p.Text)
	}
	return b.String()
}

// maxQuoted bounds how much of a value an error shows: a value is foreign bytes of any
// length, an error is for a person.
const maxQuoted = 64

// quote returns value for an error's text.
func quote(value []byte) string {
	if len(value) <= maxQuoted {
		return strconv.Quote(string(value))
	}
	return strconv.Quote(string(value[:maxQuoted])) + "... (" + strconv.Itoa(len(value)) + " bytes)"
}
