package reload

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Document is a parsed file that knows where each value stands. It is immutable.
type Document struct {
	root ast.Node // nil: the file is empty or could not be read
}

// At returns where the value at path stands. A path is made of keys (string) and indexes
// (int, from 0): At("apps", 3, "tokens", 0). Where the path leads to nothing, because a
// key is missing, At returns the place of the nearest parent; of an empty document 1:1.
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

func child(node ast.Node, step any) ast.Node {
	switch step := step.(type) {
	case string:
		for _, pair := range pairs(node) {
			if keyText(pair.Key) == step {
				return pair.Value
			}
		}
	case int:
		if seq, ok := node.(*ast.SequenceNode); ok && step >= 0 && step < len(seq.Values) {
			return seq.Values[step]
		}
	default:
		panic(fmt.Sprintf("BUG: a step of type %T in a document's path", step))
	}
	return nil
}

// pairs returns the keys and values of a mapping, nil for anything else.
func pairs(node ast.Node) []*ast.MappingValueNode {
	switch node := node.(type) {
	case *ast.MappingNode:
		return node.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{node}
	}
	return nil
}

// keyText returns a key as it is matched against field names.
func keyText(key ast.MapKeyNode) string {
	if text, ok := key.(*ast.StringNode); ok {
		return text.Value
	}
	return key.GetToken().Value
}

// position returns where node begins. A block mapping's own token is its first colon, a
// person looks for its first key.
func position(node ast.Node) Pos {
	if ps := pairs(node); len(ps) > 0 {
		if m, ok := node.(*ast.MappingNode); !ok || !m.IsFlowStyle {
			return tokenPos(ps[0].Key.GetToken())
		}
	}
	return tokenPos(node.GetToken())
}

func tokenPos(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{}
	}
	return Pos{tk.Position.Line, tk.Position.Column}
}

// parse reads data into a syntax tree. It reports what makes the text unreadable, and
// what we do not take: a second document, anchors, aliases, merge keys and tags.
func parse(data []byte) (doc *Document, problems Problems) {
	doc = new(Document)
	defer func() {
		// The file of a running process must not be able to end it, whatever the
		// parser makes of it.
		if r := recover(); r != nil {
			problems.Add(Pos{}, "cannot be read as YAML")
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		problems.Add(syntax(err))
		return doc, problems
	}
	var docs []*ast.DocumentNode
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 {
		return doc, nil
	}
	if len(docs) > 1 {
		problems.Add(position(docs[1].Body), "a second document; write one document and no --- between")
	}
	ast.Walk(refuser{&problems}, docs[0].Body)
	if len(problems) == 0 {
		doc.root = docs[0].Body
	}
	return doc, problems
}

func syntax(err error) (Pos, string) {
	if e, ok := errors.AsType[yaml.Error](err); ok {
		// The parser quotes what it cannot read, which may be a token.
		what, _, quoted := strings.Cut(e.GetMessage(), `"`)
		if quoted {
			what = strings.TrimRight(what, ": ")
		}
		return tokenPos(e.GetToken()), "not YAML: " + what
	}
	return Pos{}, "not YAML"
}

// refuser reports the parts of YAML that would let one place of a file change another.
type refuser struct{ problems *Problems }

// Visit is called for every node of the tree.
func (r refuser) Visit(node ast.Node) ast.Visitor {
	at := tokenPos(node.GetToken())
	switch node.Type() {
	case ast.AnchorType:
		r.problems.Add(at, "anchors (&) are not taken; write the value out where it is needed")
	case ast.AliasType:
		r.problems.Add(at, "aliases (*) are not taken; write the value out")
	case ast.MergeKeyType:
		r.problems.Add(at, "merge keys (<<) are not taken; write the keys out")
	case ast.TagType:
		r.problems.Add(at, "tags (!) are not taken; put text in quotes, numbers not")
	case ast.MappingKeyType:
		r.problems.Add(at, "complex keys (?) are not taken; write key: value")
	default:
		return r
	}
	return nil
}
