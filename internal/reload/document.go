package reload

import (
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Document is a parsed file that knows where each value stands. It is immutable, and has the whole
// of the file in memory: who makes a value of the file does not keep it.
type Document struct {
	root *yaml.Node // nil: the file is empty or could not be read
}

// At returns where the value at path stands. A path is made of keys (string) and indexes
// (int, from 0): At("apps", 3, "tokens", 0). Where the path leads to nothing, because a
// key is missing, At returns the place of the nearest parent; of an empty document 1:1.
// It walks from the root: it is meant for problems, not for every value.
func (d *Document) At(path ...any) Pos {
	node := d.root
	if node == nil {
		return Pos{1, 1}
	}
	for _, step := range path {
		next := child(node, step)
		if next == nil {
			break
		}
		node = next
	}
	return position(node)
}

func child(node *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		if node.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1]
			}
		}
	case int:
		if node.Kind == yaml.SequenceNode && step >= 0 && step < len(node.Content) {
			return node.Content[step]
		}
	default:
		panic(fmt.Sprintf("BUG: a step of type %T in a document's path", step))
	}
	return nil
}

// position returns where node begins; of keys with values without braces, that is their first key.
func position(node *yaml.Node) Pos { return Pos{node.Line, node.Column} }

// parse reads data into a syntax tree. It reports what makes the text unreadable, and
// what we do not take: a second document, anchors, aliases, merge keys and tags.
func parse(data []byte, pace *Pace) (doc *Document, problems Problems) {
	doc = new(Document)
	src := newSource(data)
	if src.utf16() {
		problems.Add(Pos{1, 1}, "not UTF-8; save the file as UTF-8")
		return doc, problems
	}
	docs, err := trees(&paced{data: src.data, pace: pace})
	if err != nil {
		problems.Add(syntax(src.data, err, pace))
		return doc, problems
	}
	if len(docs) == 0 {
		return doc, nil
	}
	r := refuser{src: src, pace: pace, problems: &problems}
	r.node(docs[0])
	if len(docs) > 1 {
		problems.Add(position(docs[1]), "a second document; write one document and no --- between")
	}
	if len(problems) == 0 {
		doc.root = docs[0]
	}
	return doc, problems
}

// trees returns the documents of a file, but for empty ones, and none behind the second.
func trees(r *paced) (docs []*yaml.Node, err error) {
	defer func() {
		// The file of a running process must not be able to end it, whatever the
		// parser makes of it.
		if p := recover(); p != nil {
			err = errParser
		}
	}()
	// The parser is handed the text in pieces, not as a whole: that is what lets this goroutine
	// stop in the midst of it.
	for decoder := yaml.NewDecoder(r); len(docs) < 2; {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if root := node.Content[0]; root.Kind != yaml.ScalarNode || root.Value != "" || root.Style != 0 || root.Anchor != "" {
			docs = append(docs, root)
		}
	}
	return docs, nil
}

// refuser reports the parts of YAML that would let one place of a file change another.
type refuser struct {
	src      *source
	pace     *Pace
	problems *Problems
}

// node looks at node and all that is in it.
func (r *refuser) node(node *yaml.Node) {
	r.pace.Step()
	at := position(node)
	switch {
	case node.Anchor != "":
		r.problems.Add(at, "anchors (&) are not taken; write the value out where it is needed")
		return
	case node.Kind == yaml.AliasNode:
		r.problems.Add(at, "%s", noAliases)
		return
	case node.Style&yaml.TaggedStyle != 0 || r.src.tagged(at):
		r.problems.Add(at, "tags (!) are not taken; put text in quotes, numbers not")
		return
	case node.Kind == yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			r.pair(node, node.Content[i], node.Content[i+1])
		}
	case node.Kind == yaml.SequenceNode:
		for _, item := range node.Content {
			r.node(item)
		}
	}
}

func (r *refuser) pair(mapping, key, value *yaml.Node) {
	switch at := position(key); {
	case key.Kind == yaml.ScalarNode && key.Style == 0 && key.Value == "<<":
		r.problems.Add(at, "merge keys (<<) are not taken; write the keys out")
	case r.complex(mapping, key):
		r.problems.Add(at, "complex keys (?) are not taken; write key: value")
	default:
		r.node(key)
		r.node(value)
	}
}

// complex says whether key is more than a word, or was written behind a question mark, which the
// tree does not say: without braces all keys stand in one column, but for one behind a mark.
func (r *refuser) complex(mapping, key *yaml.Node) bool {
	switch {
	case key.Kind == yaml.AliasNode:
		return false
	case key.Kind != yaml.ScalarNode:
		return true
	case mapping.Style&yaml.FlowStyle == 0:
		return key.Column != mapping.Column
	}
	return r.src.marked(position(key))
}

const noAliases = "aliases (*) are not taken; write the value out"
