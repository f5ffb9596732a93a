package pipeline

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

// walker checks that bytes are one JSON object, by RFC 8259 and nothing more, and finds
// what JSON parsers accept quietly: a key that stands twice in an object, at any depth.
// It uses no recursion, holds a bounded stack, and looks at each byte a bounded number of
// times. The zero value is ready; it is reused from body to body by one goroutine.
type walker struct {
	data  []byte
	at    int // next byte
	stack []frame
	keys  [][]byte // keys of all open objects, each frame's after the one's before
}

// frame is an object or an array that is open.
type frame struct {
	object bool
	first  int                 // where its keys begin in walker.keys
	index  map[string]struct{} // the same keys, once they are many; nil before
}

// manyKeys is where looking through a slice gives way to a map: an object of 100,000 keys
// must not cost 100,000 squared.
const manyKeys = 16

// syntaxError says where a body stops being JSON and why.
type syntaxError struct {
	at   int
	text string
}

// walk checks data and adds what is wrong with it. False: the syntax, so that no field
// can be read. It does not keep data.
func (w *walker) walk(data []byte, ps *problems) bool {
	*w = walker{data: data, stack: w.stack[:0], keys: w.keys[:0]}
	defer func() { w.data = nil; clear(w.keys[:cap(w.keys)]) }()
	if reason, text := w.opening(); text != "" {
		ps.add(reason, "%s", text)
		return false
	}
	err := w.values(ps)
	if err == nil {
		return true
	}
	if len(w.stack) > maxBodyDepth {
		ps.add(schema.ReasonTooLarge, "the body is nested more than %d deep at byte %d", maxBodyDepth, err.at)
		return false
	}
	ps.add(schema.ReasonBadJSON, "%s", w.describe(err))
	return false
}

// opening checks what the body begins with.
func (w *walker) opening() (schema.Reason, string) {
	const bom = "\xef\xbb\xbf"
	if bytes.HasPrefix(w.data, []byte(bom)) {
		return schema.ReasonBadJSON, "the body begins with a byte order mark"
	}
	w.space()
	switch {
	case w.at == len(w.data):
		return schema.ReasonBadJSON, "the body is empty"
	case w.data[w.at] == '{':
		return "", ""
	case bytes.IndexByte([]byte(`["tfn-0123456789`), w.data[w.at]) >= 0 && w.valid():
		return schema.ReasonBadJSON, "the body is " + kind(w.data[w.at:]) + ", not an object"
	}
	return "", ""
}

// valid reports whether the whole body is JSON of some kind, and goes back to where it was.
func (w *walker) valid() bool {
	at := w.at
	var ignored problems
	err := w.values(&ignored)
	deep := len(w.stack) > maxBodyDepth
	w.at, w.stack, w.keys = at, w.stack[:0], w.keys[:0]
	return err == nil && !deep
}

// describe returns err for a person, naming the usual mistakes.
func (w *walker) describe(err *syntaxError) string {
	switch {
	case err.at >= len(w.data):
		return fmt.Sprintf("the body ends at byte %d in the middle of its JSON", len(w.data))
	case w.data[err.at] == 0:
		return fmt.Sprintf("the body has a NUL at byte %d", err.at)
	case w.data[err.at] == '/' && err.at+1 < len(w.data) && (w.data[err.at+1] == '/' || w.data[err.at+1] == '*'):
		return "comments are not JSON"
	}
	return fmt.Sprintf("the body is not JSON at byte %d: %s", err.at, err.text)
}

// values checks one value and everything inside it, then that nothing follows.
func (w *walker) values(ps *problems) *syntaxError {
	for {
		if err := w.value(ps); err != nil {
			return err
		}
		more, err := w.after(ps)
		if err != nil || !more {
			return err
		}
	}
}

// value checks a value up to its end, or up to where its first inner value begins.
func (w *walker) value(ps *problems) *syntaxError {
	for {
		w.space()
		opened, err := w.scalarOrOpen()
		if err != nil || !opened {
			return err
		}
		if len(w.stack) > maxBodyDepth {
			return w.fail("nested too deep")
		}
		top := &w.stack[len(w.stack)-1]
		w.space()
		if w.peek() == closing(top.object) {
			return nil // empty: after closes it
		}
		if top.object {
			if err := w.key(ps); err != nil {
				return err
			}
		}
	}
}

// scalarOrOpen takes one scalar, or the bracket that opens an object or array.
func (w *walker) scalarOrOpen() (opened bool, err *syntaxError) {
	switch c := w.peek(); c {
	case '{', '[':
		w.at++
		w.stack = append(w.stack, frame{object: c == '{', first: len(w.keys)})
		return true, nil
	case '"':
		_, err := w.str()
		return false, err
	case 't':
		return false, w.literal("true")
	case 'f':
		return false, w.literal("false")
	case 'n':
		return false, w.literal("null")
	}
	return false, w.number()
}

// after takes what stands after a value: closing brackets, then a comma and, in an
// object, the next key. False: the outermost value is complete and nothing follows it.
func (w *walker) after(ps *problems) (more bool, err *syntaxError) {
	for len(w.stack) > 0 {
		top := &w.stack[len(w.stack)-1]
		w.space()
		switch w.peek() {
		case closing(top.object):
			w.at++
			w.keys = w.keys[:top.first]
			w.stack = w.stack[:len(w.stack)-1]
		case ',':
			w.at++
			if top.object {
				w.space()
				return true, w.key(ps)
			}
			return true, nil
		default:
			return false, w.fail("a comma or a closing bracket should be here")
		}
	}
	w.space()
	if w.at < len(w.data) {
		return false, w.fail("something follows the JSON")
	}
	return false, nil
}

// closing returns the bracket that closes an object or an array.
func closing(object bool) byte {
	if object {
		return '}'
	}
	return ']'
}

// key takes a key and its colon, and notes a key that stood before.
func (w *walker) key(ps *problems) *syntaxError {
	if w.peek() != '"' {
		return w.fail("a key in quotes should be here")
	}
	key, err := w.str()
	if err != nil {
		return err
	}
	w.space()
	if w.peek() != ':' {
		return w.fail("a colon should be here")
	}
	w.at++
	if w.seen(key) {
		ps.add(schema.ReasonDuplicateKey, "key %.80q stands twice in one object", key)
	}
	return nil
}

// seen reports whether key stood in the innermost object before, and remembers it. Keys
// are compared as they read once escapes are resolved.
func (w *walker) seen(key []byte) bool {
	top := &w.stack[len(w.stack)-1]
	if top.index != nil {
		_, found := top.index[string(key)]
		top.index[string(key)] = struct{}{}
		return found
	}
	keys := w.keys[top.first:]
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	w.keys = append(w.keys, key)
	if len(keys) >= manyKeys {
		top.index = make(map[string]struct{}, 4*manyKeys)
		for _, k := range w.keys[top.first:] {
			top.index[string(k)] = struct{}{}
		}
	}
	return false
}

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
