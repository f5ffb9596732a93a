package reload

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
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
	doc, problems := parse(data)
	if doc.root == nil {
		return doc, problems
	}
	d := decoder{problems: problems}
	d.value(doc.root, reflect.ValueOf(into).Elem(), "")
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
}

func (d *decoder) wrong(node ast.Node, path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	d.problems.Add(position(node), "%s", text)
}

// value decodes node into v. path names the value in problems: apps[3].tokens.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	if v.Kind() == reflect.Interface {
		if x := d.any(node, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if node.Type() == ast.NullType {
		d.wrong(node, path, "has no value; give it one or leave the key out")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(node, v.Elem(), path)
		return
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(node, text, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(node, v, path)
	case reflect.Map:
		d.mapping(node, v, path)
	case reflect.Slice:
		d.sequence(node, v, path)
	default:
		d.scalar(node, v, path)
	}
}

// each calls do for every key of a mapping and reports keys that come twice; the first
// one counts.
func (d *decoder) each(node ast.Node, path string, do func(key string, pair *ast.MappingValueNode)) {
	if t := node.Type(); t != ast.MappingType && t != ast.MappingValueType {
		d.wrong(node, path, "want keys with values, have %s", kind(node))
		return
	}
	first := make(map[string]Pos)
	for _, pair := range pairs(node) {
		key, at := keyText(pair.Key), tokenPos(pair.Key.GetToken())
		if before, twice := first[key]; twice {
			d.problems.Add(at, "%s: the key stands twice, first in line %d; keep one", join(path, shown(key)), before.Line)
			continue
		}
		first[key] = at
		do(key, pair)
	}
}

func (d *decoder) structure(node ast.Node, v reflect.Value, path string) {
	known := fieldsOf(v.Type())
	d.each(node, path, func(key string, pair *ast.MappingValueNode) {
		index, ok := known[key]
		if !ok {
			d.problems.Warn(tokenPos(pair.Key.GetToken()), "%s", unknown(path, key, known))
			return
		}
		d.value(pair.Value, v.Field(index), join(path, key))
	})
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, path string) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("BUG: a map with keys of type %s in a YAML struct", v.Type().Key()))
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.each(node, path, func(key string, pair *ast.MappingValueNode) {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.Value, elem, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), elem)
	})
}

func (d *decoder) sequence(node ast.Node, v reflect.Value, path string) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.wrong(node, path, "want a list, have %s; write [...] or one - per line", kind(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

// fieldsOf returns the index of each tagged field by its name in the file.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" && t.Field(i).IsExported() {
			fields[name] = i
		}
	}
	return fields
}

// keyName is a key that somebody may have meant as one.
var keyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// shown is a key as problems have it: what is no name may be a value, a token even, behind which a
// colon stands by mistake.
func shown(key string) string {
	if keyName.MatchString(key) {
		return key
	}
	return "(not a name)"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
