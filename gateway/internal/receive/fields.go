package receive

import (
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

// scanQuery looks at every byte of a query as sent. ok says whether it holds only bytes that
// may stand there: no controls, no space, no semicolon (which some take for an ampersand),
// no fragment, valid UTF-8. encoded says whether anything has to be decoded.
func scanQuery(raw []byte) (encoded, ok bool) {
	all, rest := byte(0), raw
	for len(rest) >= 8 { // side by side, or each byte waits for the one before
		b := rest[:8]
		all |= queryBytes[b[0]] | queryBytes[b[1]] | queryBytes[b[2]] | queryBytes[b[3]] |
			queryBytes[b[4]] | queryBytes[b[5]] | queryBytes[b[6]] | queryBytes[b[7]]
		rest = rest[8:]
	}
	for _, c := range rest {
		all |= queryBytes[c]
	}
	if all&badByte != 0 || all&wideByte != 0 && !utf8.Valid(raw) {
		return false, false
	}
	return all&encodedByte != 0, true
}

// What a byte means in a query string as sent.
const (
	badByte     = 1 << iota // may not stand there
	encodedByte             // the value is not the text as it stands
	wideByte                // part of a character beyond ASCII
)

// queryBytes says of each byte what it means.
var queryBytes = func() (table [256]byte) {
	for c := range table {
		switch {
		case c <= ' ', c == 0x7f, c == ';', c == '#':
			table[c] = badByte
		case c == '%', c == '+':
			table[c] = encodedByte
		case c >= utf8.RuneSelf:
			table[c] = wideByte
		}
	}
	return table
}()

// parseAppID reads a SdkAppid: decimal digits without leading zeros, 1 to schema.MaxAppID.
func parseAppID(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 16 || s[0] == '0' {
		return 0, false
	}
	n := int64(0)
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n <= schema.MaxAppID
}

// maxCommand is the longest CallbackCommand that is taken, in bytes: far more than any that
// the vendor lists.
const maxCommand = 128

// validCommand says whether s may be a CallbackCommand: an open set of names, but no text
// that could do harm in a header, a log line or a page.
func validCommand(s []byte) bool {
	if len(s) == 0 || len(s) > maxCommand {
		return false
	}
	for _, c := range s {
		if !nameBytes[c] {
			return false
		}
	}
	return true
}

// unhex is the value of each hex digit, -1 for any other byte.
var unhex = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i, c := range []byte("0123456789abcdef") {
		table[c] = int8(i)
	}
	for i, c := range []byte("ABCDEF") {
		table[c] = int8(10 + i)
	}
	return table
}()

// traceparentSize is the length of a traceparent of version 00 (W3C Trace Context, 3.2).
const traceparentSize = 55

// traceparent returns s if it is a trace context that may be passed on, and nil otherwise:
// whoever sent a broken one still wants the callback delivered. Version ff and ids of zeros
// only are broken too (W3C Trace Context, 3.2.2).
func traceparent(s []byte) []byte {
	if len(s) != traceparentSize || string(s[:2]) == "ff" || allZero(s[3:35]) || allZero(s[36:52]) {
		return nil
	}
	for i, c := range s {
		switch i {
		case 2, 35, 52:
			if c != '-' {
				return nil
			}
		default:
			if unhex[c] < 0 || 'A' <= c && c <= 'F' {
				return nil
			}
		}
	}
	return s
}

func allZero(digits []byte) bool {
	for _, c := range digits {
		if c != '0' {
			return false
		}
	}
	return true
}
