package store

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PostgreSQL's text is UTF-8 without NUL. What may be any text is written with these three
// kinds of mark, and any other text as it is:
//
//	␀0     NUL
//	␀xHH   a byte that is not UTF-8, in hex
//	␀␀     the mark itself (U+2400)
//
// Two texts that differ are written differently, so that what is unique stays unique.
const textMark = '\u2400'

// postgresText returns text as it is written.
func postgresText(text string) string {
	if utf8.ValidString(text) && !strings.ContainsRune(text, 0) && !strings.ContainsRune(text, textMark) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == 0:
			b.WriteString(string(textMark) + "0")
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "%cx%02x", textMark, text[i])
		case r == textMark:
			b.WriteString(string(textMark) + string(textMark))
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

// originalText returns the text that was written so. A mark that postgresText does not
// write, as a person may have written, is left as it is.
func originalText(written string) string {
	before, rest, marked := strings.Cut(written, string(textMark))
	if !marked {
		return written
	}
	var b strings.Builder
	for marked {
		b.WriteString(before)
		text, size := unmark(rest)
		b.WriteString(text)
		before, rest, marked = strings.Cut(rest[size:], string(textMark))
	}
	b.WriteString(before)
	return b.String()
}

// unmark returns what a mark stands for, and how many bytes of after, the text behind it,
// belong to it.
func unmark(after string) (text string, size int) {
	switch {
	case strings.HasPrefix(after, "0"):
		return "\x00", 1
	case strings.HasPrefix(after, string(textMark)):
		return string(textMark), len(string(textMark))
	case len(after) >= 3 && after[0] == 'x':
		if b, err := strconv.ParseUint(after[1:3], 16, 8); err == nil {
			return string([]byte{byte(b)}), 3
		}
	}
	return string(textMark), 0
}
