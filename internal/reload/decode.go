package reload

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Decode reads data, one YAML document, into the struct that into points to, and returns
// everything that is wrong with it, in the order of the file: nil when it is good.
//
// Only fields with a `yaml:"name"` tag are read. A field may be a string, bool, integer,
// float64, time.Duration, any, an encoding.TextUnmarshaler, or a struct, slice, map with
// string keys or pointer of these; a pointer stays nil where the key is absent. Fields
// with a problem keep their value. A mistyped scalar is never converted: 5 is not text and
// "5" is not a number. Unknown keys are warnings, everything else is an error.
//
// The Document is never nil; the caller asks it where a value stands to report what the
// value means wrongly.
func Decode(data []byte, into any) (*Document, Problems) {
	pace := new(Pace)
	doc, problems := parse(data, pace)
	if doc.root == nil {
		return doc, problems
	}
	d := decoder{problems: problems, pace: pace, fields: make(map[reflect.Type]map[string]int)}
	d.value(doc.root, reflect.ValueOf(into).Elem(), nil)
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return doc, d.problems
}

// decoder walks the syntax tree and the Go value side by side and collects problems.
type decoder struct {
	problems Problems
	pace     *Pace
	fields   map[reflect.Type]map[string]int // see fieldsOf
}

// step is one step of the way from the root to a value. Ways are on the stack, as most values have
// no problem, and are written out for those that have: apps[3].tokens.
type step struct {
	from  *step  // nil: the root
	key   string // of an item: empty
	index int    // of an item; of a key: -1
}

func (s *step) to(key string) *step { return &step{s, key, -1} }

func (s *step) item(index int) *step { return &step{s, "", index} }

// String returns the way to the value; of the root nothing.
func (s *step) String() string {
	switch {
	case s == nil:
		return ""
	case s.index >= 0:
		return s.from.String() + "[" + strconv.Itoa(s.index) + "]"
	}
	if before := s.from.String(); before != "" {
		return before + "." + shownKey(s.key)
	}
	return shownKey(s.key)
}

func (d *decoder) wrong(node *yaml.Node, at *step, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at != nil {
		text = at.String() + ": " + text
	}
	d.problems.Add(position(node), "%s", text)
}

// value decodes node into v. at names the value in problems.
func (d *decoder) value(node *yaml.Node, v reflect.Value, at *step) {
	d.pace.Step()
	if v.Kind() == reflect.Interface {
		if x := d.any(node, at); x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if node.Kind == yaml.ScalarNode && scalarOf(node).kind == nothing {
		d.wrong(node, at, "has no value; give it one or leave the key out")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(node, v.Elem(), at)
		return
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(node, text, at)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(node, v, at)
	case reflect.Map:
		d.mapping(node, v, at)
	case reflect.Slice:
		d.sequence(node, v, at)
	default:
		d.scalar(node, v, at)
	}
}

// each calls do for every key of a mapping and reports keys that come twice; the first
// one counts.
func (d *decoder) each(node *yaml.Node, at *step, do func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.wrong(node, at, "want keys with values, have %s", kindOf(node))
		return
	}
	seen := seenKeys{pairs: node.Content}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if before := seen.before(i); before != nil {
			d.wrong(key, at.to(key.Value), "the key stands twice, first in line %d; keep one", before.Line)
			continue
		}
		do(key, node.Content[i+1])
	}
}

// fewKeys is up to how many keys are compared with each other: most mappings have a handful, for
// which a map each would be more work than all else.
const fewKeys = 16

// seenKeys are the keys of a mapping that came so far.
type seenKeys struct {
	pairs []*yaml.Node
	first map[string]*yaml.Node // nil: there are few
}

// before returns the key that is the same as the one at i and stands before it, nil when there is
// none. It is asked about every key, in order.
func (s *seenKeys) before(i int) *yaml.Node {
	key := s.pairs[i]
	if len(s.pairs) <= 2*fewKeys {
		for k := 0; k < i; k += 2 {
			if s.pairs[k].Value == key.Value {
				return s.pairs[k]
			}
		}
		return nil
	}
	if s.first == nil {
		s.first = make(map[string]*yaml.Node, len(s.pairs)/2)
	}
	first := s.first[key.Value]
	if first == nil {
		s.first[key.Value] = key
	}
	return first
}

func (d *decoder) structure(node *yaml.Node, v reflect.Value, at *step) {
	known := d.fieldsOf(v.Type())
	d.each(node, at, func(key, value *yaml.Node) {
		index, ok := known[key.Value]
		if !ok {
			d.problems.Warn(position(key), "%s", unknown(at.to(key.Value), known))
			return
		}
		d.value(value, v.Field(index), at.to(key.Value))
	})
}

func (d *decoder) mapping(node *yaml.Node, v reflect.Value, at *step) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("BUG: a map with keys of type %s in a YAML struct", v.Type().Key()))
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.each(node, at, func(key, value *yaml.Node) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(value, elem, at.to(key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), elem)
	})
}

func (d *decoder) sequence(node *yaml.Node, v reflect.Value, at *step) {
	if node.Kind != yaml.SequenceNode {
		d.wrong(node, at, "want a list, have %s; write [...] or one - per line", kindOf(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.value(item, list.Index(i), at.item(i))
	}
	v.Set(list)
}

// fieldsOf returns the index of each tagged field by its name in the file.
func (d *decoder) fieldsOf(t reflect.Type) map[string]int {
	if fields := d.fields[t]; fields != nil {
		return fields
	}
	fields := make(map[string]int)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" && t.Field(i).IsExported() {
			fields[name] = i
		}
	}
	d.fields[t] = fields
	return fields
}

// keyName is a key that somebody may have meant as one.
var keyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// shownKey is a key as problems have it: what is no name may be a value, a token even, behind which a
// colon stands by mistake.
func shownKey(key string) string {
	if keyName.MatchString(key) {
		return key
	}
	return "(not a name)"
}
