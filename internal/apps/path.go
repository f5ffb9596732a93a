package apps

import "strconv"

// maxDepth is how many steps lead to the deepest value: apps, 3, rate_limit, burst.
const maxDepth = 4

// path is the way from the root of the file to a value. It is a plain value, for every app has
// several and hardly one is ever written.
type path struct {
	words [maxDepth]string // the keys; of an item: empty
	items [maxDepth]int    // the indexes; of a key: 0
	depth int
}

var root path

// key returns the way to what stands under that key.
func (p path) key(word string) path {
	p.words[p.depth] = word
	p.depth++
	return p
}

// item returns the way to an item of a list.
func (p path) item(index int) path {
	p.items[p.depth] = index
	p.depth++
	return p
}

// steps returns the way as a reload.Document takes it.
func (p path) steps() []any {
	steps := make([]any, p.depth)
	for i := range steps {
		if steps[i] = p.words[i]; p.words[i] == "" {
			steps[i] = p.items[i]
		}
	}
	return steps
}

// String writes the way as a person would: apps[3].tokens[0].
func (p path) String() string {
	var b []byte
	for i := range p.depth {
		switch {
		case p.words[i] == "":
			b = append(strconv.AppendInt(append(b, '['), int64(p.items[i]), 10), ']')
		case i > 0:
			b = append(append(b, '.'), p.words[i]...)
		default:
			b = append(b, p.words[i]...)
		}
	}
	return string(b)
}
