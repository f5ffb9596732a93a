package reload

import (
	"encoding"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes node into a string, bool, number or duration.
func (d *decoder) scalar(node ast.Node, v reflect.Value, path string) {
	switch kind := v.Kind(); {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(node, v, path)
	case kind == reflect.String:
		if text, ok := d.wantText(node, path); ok {
			v.SetString(text)
		}
	case kind == reflect.Bool:
		d.bool(node, v, path)
	case v.CanInt():
		d.integer(node, v, path)
	case kind == reflect.Float64:
		d.float(node, v, path)
	default:
		panic("BUG: a field of type " + v.Type().String() + " in a YAML struct")
	}
}

func (d *decoder) bool(node ast.Node, v reflect.Value, path string) {
	b, ok := node.(*ast.BoolNode)
	if !ok {
		d.wrong(node, path, "want true or false, have %s", kind(node))
		return
	}
	v.SetBool(b.Value)
}

func (d *decoder) integer(node ast.Node, v reflect.Value, path string) {
	number, ok := node.(*ast.IntegerNode)
	if !ok {
		d.wrong(node, path, "want a whole number, have %s%s", kind(node), unquote(node))
		return
	}
	var n int64
	switch x := number.Value.(type) {
	case int64:
		n = x
	case uint64:
		if x > math.MaxInt64 {
			d.wrong(node, path, "the number is too large")
			return
		}
		n = int64(x)
	}
	if v.OverflowInt(n) {
		d.wrong(node, path, "the number is too large")
		return
	}
	v.SetInt(n)
}

func (d *decoder) float(node ast.Node, v reflect.Value, path string) {
	switch number := node.(type) {
	case *ast.FloatNode:
		v.SetFloat(number.Value)
	case *ast.IntegerNode:
		switch x := number.Value.(type) {
		case int64:
			v.SetFloat(float64(x))
		case uint64:
			v.SetFloat(float64(x))
		}
	default:
		d.wrong(node, path, "want a number, have %s%s", kind(node), unquote(node))
	}
}

func (d *decoder) duration(node ast.Node, v reflect.Value, path string) {
	text, ok := textOf(node)
	if ok {
		if wait, err := time.ParseDuration(text); err == nil {
			v.SetInt(int64(wait))
			return
		}
	}
	d.wrong(node, path, "want a duration such as 1.5s or 10m, have %s", kind(node))
}

func (d *decoder) text(node ast.Node, into encoding.TextUnmarshaler, path string) {
	text, ok := d.wantText(node, path)
	if !ok {
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		d.wrong(node, path, "%v", err)
	}
}

func (d *decoder) wantText(node ast.Node, path string) (string, bool) {
	text, ok := textOf(node)
	if !ok {
		hint := ""
		switch node.(type) {
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			hint = "; put it in quotes"
		}
		d.wrong(node, path, "want text, have %s%s", kind(node), hint)
	}
	return text, ok
}

func textOf(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	}
	return "", false
}

// any returns node as nil, bool, int64, uint64, float64, string, []any or map[string]any.
func (d *decoder) any(node ast.Node, path string) any {
	switch node := node.(type) {
	case *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		list := make([]any, 0, len(node.Values))
		d.sequence(node, reflect.ValueOf(&list).Elem(), path)
		return list
	case *ast.MappingNode, *ast.MappingValueNode:
		m := make(map[string]any)
		d.mapping(node, reflect.ValueOf(m), path)
		return m
	case *ast.LiteralNode:
		return node.Value.Value
	case ast.ScalarNode:
		return node.GetValue()
	}
	d.wrong(node, path, "cannot be read here")
	return nil
}

// kind names what a node is, for a person. It never shows the value.
func kind(node ast.Node) string {
	switch node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return "a whole number"
	case *ast.FloatNode:
		return "a number with a fraction"
	case *ast.InfinityNode, *ast.NanNode:
		return "infinity or not-a-number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	}
	return "nothing"
}

// unquote is the hint for a number that was written as text.
func unquote(node ast.Node) string {
	if text, ok := textOf(node); ok && text != "" && strings.Trim(text, "0123456789") == "" {
		return "; write it without quotes"
	}
	return ""
}

// unknown is the text for a key that no field has: the nearest known key where there is
// one, else all of them.
func unknown(path, key string, fields map[string]int) string {
	known := slices.Sorted(maps.Keys(fields))
	near, ok := nearest(key, known)
	key = shown(key)
	if ok {
		return join(path, key) + ": unknown key; did you mean " + near + "?"
	}
	return join(path, key) + ": unknown key; known here: " + strings.Join(known, ", ")
}

// nearest returns the known word that is closest to word, if it is close: two letters (one
// swap) away, or a third of a long one.
func nearest(word string, known []string) (string, bool) {
	best, at := "", math.MaxInt
	for _, k := range known {
		far := distance(strings.ToLower(word), k)
		if far < at && far <= closeTo(k) {
			best, at = k, far
		}
	}
	return best, best != ""
}

func closeTo(word string) int {
	if len(word) < 4 {
		return 1
	}
	return max(2, len(word)/3)
}

// distance is Levenshtein's: how many bytes must be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
