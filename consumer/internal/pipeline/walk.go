package pipeline

import (
	"bytes"
	"fmt"

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
