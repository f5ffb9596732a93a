package reload

import (
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is what a value of a file is.
type kind int

const (
	text kind = iota
	whole
	fraction
	endless // infinity or not-a-number
	truth
	nothing
	list
	keys
)

// String names the kind for a person.
func (k kind) String() string {
	return [...]string{
		"text", "a whole number", "a number with a fraction", "infinity or not-a-number", "true or false", "nothing", "a list", "keys with values",
	}[k]
}

// scalar is a value that is neither a list nor keys with values.
type scalar struct {
	kind     kind
	negative bool
	whole    uint64  // without its sign
	float    float64 // of fraction and endless
	truth    bool
}

func kindOf(node *yaml.Node) kind {
	if node.Kind == yaml.SequenceNode {
		return list
	}
	if node.Kind == yaml.MappingNode {
		return keys
	}
	return scalarOf(node).kind
}

// scalarOf returns what node is, nothing for a list and for keys with values. We do not ask the
// parser: it takes a date for a time and 1e3 for a number, and takes yes, on and off for text as we
// do, which all may change with its version.
func scalarOf(node *yaml.Node) scalar {
	switch {
	case node.Kind != yaml.ScalarNode:
		return scalar{kind: nothing}
	case node.Style != 0: // in quotes, or a block of text
		return scalar{kind: text}
	}
	return plain(node.Value)
}

// plain returns what a word without quotes is:
//
//	nothing  nothing, ~, null, Null, NULL
//	truth    true, True, TRUE, false, False, FALSE; not yes, no, on and off
//	whole    12, -12, +12, 1_000, 0x1f, 0o17, 017 (of base 8), 0b101
//	fraction 1.5, -1.5, .5, 1., 1.5e3
//	endless  .inf, -.inf, .nan and their other cases
//	text     all else, as are dates, 12:30, 1e3, 08, and numbers that 64 bits do not hold
func plain(word string) scalar {
	switch word {
	case "", "~", "null", "Null", "NULL":
		return scalar{kind: nothing}
	case "true", "True", "TRUE":
		return scalar{kind: truth, truth: true}
	case "false", "False", "FALSE":
		return scalar{kind: truth}
	case ".inf", ".Inf", ".INF":
		return scalar{kind: endless, float: math.Inf(1)}
	case "-.inf", "-.Inf", "-.INF":
		return scalar{kind: endless, float: math.Inf(-1)}
	case ".nan", ".NaN", ".NAN":
		return scalar{kind: endless, float: math.NaN()}
	}
	return number(word)
}

// number returns the number that a word is, else that it is text.
func number(word string) scalar {
	negative, digits := word[0] == '-', word
	if negative || word[0] == '+' {
		digits = word[1:]
	}
	if digits == "" || (digits[0] < '0' || digits[0] > '9') && digits[0] != '.' {
		return scalar{kind: text}
	}
	if strings.IndexByte(digits, '_') > 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	digits, base := baseOf(digits)
	if base == 0 {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return scalar{kind: text}
		}
		if negative {
			f = -f
		}
		return scalar{kind: fraction, float: f}
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil || negative && n > 1<<63 {
		return scalar{kind: text}
	}
	return scalar{kind: whole, negative: negative, whole: n}
}

// baseOf returns digits without their prefix, and their base: 0 where they have a fraction.
func baseOf(digits string) (string, int) {
	if len(digits) > 1 && digits[0] == '0' {
		switch digits[1] {
		case 'x':
			return digits[2:], 16
		case 'o':
			return digits[2:], 8
		case 'b':
			return digits[2:], 2
		}
	}
	switch {
	case strings.IndexByte(digits, '.') >= 0:
		return digits, 0
	case len(digits) > 1 && digits[0] == '0':
		return digits, 8
	}
	return digits, 10
}

// int64 returns a whole number; ok is false when it is too large.
func (s scalar) int64() (n int64, ok bool) {
	if s.negative {
		return -int64(s.whole), true // -(1<<63) is itself
	}
	return int64(s.whole), s.whole <= math.MaxInt64
}

// any returns the value as nil, bool, int64 where it is negative, else uint64, or float64; nil of
// text.
func (s scalar) any() any {
	switch s.kind {
	case whole:
		if n, _ := s.int64(); s.negative {
			return n
		}
		return s.whole
	case fraction, endless:
		return s.float
	case truth:
		return s.truth
	case text, nothing, list, keys:
	}
	return nil
}
