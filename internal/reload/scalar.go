package reload

import (
	"encoding"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar decodes node into a string, bool, number or duration.
func (d *decoder) scalar(node *yaml.Node, v reflect.Value, at *step) {
	switch kind := v.Kind(); {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d.duration(node, v, at)
	case kind == reflect.String:
		if text, ok := d.wantText(node, at); ok {
			v.SetString(text)
		}
	case kind == reflect.Bool:
		d.bool(node, v, at)
	case v.CanInt():
		d.integer(node, v, at)
	case kind == reflect.Float64:
		d.float(node, v, at)
	default:
		panic("BUG: a field of type " + v.Type().String() + " in a YAML struct")
	}
}

func (d *decoder) bool(node *yaml.Node, v reflect.Value, at *step) {
	s := scalarOf(node)
	if s.kind != truth {
		d.wrong(node, at, "want true or false, have %s", kindOf(node))
		return
	}
	v.SetBool(s.truth)
}

func (d *decoder) integer(node *yaml.Node, v reflect.Value, at *step) {
	s := scalarOf(node)
	n, fits := s.int64()
	switch {
	case s.kind == text && node.Style == 0 && isDigits(node.Value), s.kind == whole && (!fits || v.OverflowInt(n)):
		d.wrong(node, at, "the number is too large")
	case s.kind != whole:
		d.wrong(node, at, "want a whole number, have %s%s", kindOf(node), unquote(node))
	default:
		v.SetInt(n)
	}
}

func (d *decoder) float(node *yaml.Node, v reflect.Value, at *step) {
	switch s := scalarOf(node); {
	case s.kind == fraction:
		v.SetFloat(s.float)
	case s.kind == whole && s.negative:
		v.SetFloat(-float64(s.whole))
	case s.kind == whole:
		v.SetFloat(float64(s.whole))
	default:
		d.wrong(node, at, "want a number, have %s%s", kindOf(node), unquote(node))
	}
}

func (d *decoder) duration(node *yaml.Node, v reflect.Value, at *step) {
	if kindOf(node) == text {
		if wait, err := time.ParseDuration(node.Value); err == nil {
			v.SetInt(int64(wait))
			return
		}
	}
	d.wrong(node, at, "want a duration such as 1.5s or 10m, have %s", kindOf(node))
}

func (d *decoder) text(node *yaml.Node, into encoding.TextUnmarshaler, at *step) {
	text, ok := d.wantText(node, at)
	if !ok {
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		d.wrong(node, at, "%v", err)
	}
}

func (d *decoder) wantText(node *yaml.Node, at *step) (string, bool) {
	switch k := kindOf(node); k {
	case text:
		return node.Value, true
	case whole, fraction, truth:
		d.wrong(node, at, "want text, have %s; put it in quotes", k)
	default:
		d.wrong(node, at, "want text, have %s", k)
	}
	return "", false
}

// any returns node as nil, bool, int64, uint64, float64, string, []any or map[string]any.
func (d *decoder) any(node *yaml.Node, at *step) any {
	switch kindOf(node) {
	case list:
		list := make([]any, 0, len(node.Content))
		d.sequence(node, reflect.ValueOf(&list).Elem(), at)
		return list
	case keys:
		m := make(map[string]any)
		d.mapping(node, reflect.ValueOf(m), at)
		return m
	case text:
		return node.Value
	case whole, fraction, endless, truth, nothing:
	}
	return scalarOf(node).any()
}

// unquote is the hint for a number that was written as text.
func unquote(node *yaml.Node) string {
	if node.Kind == yaml.ScalarNode && node.Style != 0 && isDigits(node.Value) {
		return "; write it without quotes"
	}
	return ""
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// unknown is the text for a key that no field has: the nearest known key where there is
// one, else all of them.
func unknown(at *step, fields map[string]int) string {
	known := slices.Sorted(maps.Keys(fields))
	if near, ok := nearest(at.key, known); ok {
		return at.String() + ": unknown key; did you mean " + near + "?"
	}
	return at.String() + ": unknown key; known here: " + strings.Join(known, ", ")
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
