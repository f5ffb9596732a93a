package pipeline

import "unicode/utf8"

// peek returns the next byte; 0 at the end, which no caller takes for anything.
func (w *walker) peek() byte {
	if w.at >= len(w.data) {
		return 0
	}
	return w.data[w.at]
}

// space passes over white space.
func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// fail returns an error at the next byte.
func (w *walker) fail(text string) *syntaxError { return &syntaxError{at: w.at, text: text} }

// literal takes the word.
func (w *walker) literal(word string) *syntaxError {
	for i := range len(word) {
		if w.peek() != word[i] {
			return w.fail("a value should be here")
		}
		w.at++
	}
	return nil
}

// number takes a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (w *walker) number() *syntaxError {
	if w.peek() == '-' {
		w.at++
	}
	switch c := w.peek(); {
	case c == '0':
		w.at++
	case c >= '1' && c <= '9':
		w.digits()
	default:
		return w.fail("a value should be here")
	}
	if w.peek() == '.' {
		w.at++
		if !w.digits() {
			return w.fail("a digit should be here")
		}
	}
	if c := w.peek(); c == 'e' || c == 'E' {
		w.at++
		if c := w.peek(); c == '+' || c == '-' {
			w.at++
		}
		if !w.digits() {
			return w.fail("a digit should be here")
		}
	}
	return nil
}

// digits passes over digits and reports whether there was one.
func (w *walker) digits() bool {
	from := w.at
	for c := w.peek(); c >= '0' && c <= '9'; c = w.peek() {
		w.at++
	}
	return w.at > from
}

// str takes a string and returns what it says: a view where it has no escapes.
func (w *walker) str() ([]byte, *syntaxError) {
	w.at++
	from := w.at
	escaped := false
	for w.at < len(w.data) {
		switch c := w.data[w.at]; {
		case c == '"':
			raw := w.data[from:w.at]
			w.at++
			if escaped {
				raw = unescape(raw)
			}
			return raw, nil
		case c == '\\':
			escaped = true
			if err := w.escape(); err != nil {
				return nil, err
			}
		case c < 0x20:
			return nil, w.fail("a control character stands in a string")
		default:
			w.at++
		}
	}
	return nil, w.fail("a string does not end")
}

// escape takes one escape sequence.
func (w *walker) escape() *syntaxError {
	w.at++
	c := w.peek()
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		w.at++
		return nil
	case 'u':
		w.at++
		for range 4 {
			if _, ok := hex(w.peek()); !ok {
				return w.fail("four hex digits should be here")
			}
			w.at++
		}
		return nil
	}
	return w.fail("an unknown escape stands in a string")
}

// unescape resolves the escapes of a string that str has checked. Half a surrogate pair
// reads as U+FFFD, as in encoding/json.
func unescape(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if raw[i+1] != 'u' {
			out = append(out, simpleEscapes[raw[i+1]])
			i += 2
			continue
		}
		r := unit(raw[i:])
		i += 6
		if low := unit(raw[i:]); r >= 0xd800 && r < 0xdc00 && low >= 0xdc00 && low < 0xe000 {
			r = 0x10000 + (r-0xd800)<<10 + low - 0xdc00
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// simpleEscapes is what stands for what after a backslash.
var simpleEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unit returns the UTF-16 unit that b begins with as \uXXXX; -1: it does not.
func unit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		d, _ := hex(c)
		r = r<<4 | rune(d)
	}
	return r
}

// hex returns the value of a hex digit.
func hex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
