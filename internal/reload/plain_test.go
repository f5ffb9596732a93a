package reload

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWhatAWordIs: the words on which the versions of YAML and its parsers differ. What a file says
// must not change with a library's version.
func TestWhatAWordIs(t *testing.T) {
	for word, want := range map[string]any{
		"~": nil, "null": nil, "Null": nil, "NULL": nil, "nuLL": "nuLL", "nil": "nil",
		"true": true, "True": true, "TRUE": true, "tRUE": "tRUE", "false": false, "False": false, "FALSE": false,
		"yes": "yes", "Yes": "Yes", "no": "no", "NO": "NO", "on": "on", "Off": "Off", "y": "y", "n": "n", "t": "t",
		"0": uint64(0), "12": uint64(12), "+12": uint64(12), "-12": int64(-12), "-0": int64(0), "1_000": uint64(1000), "1_": uint64(1), "_1": "_1",
		"017": uint64(15), "0o17": uint64(15), "-0o17": int64(-15), "0O17": "0O17", "08": "08", "00": uint64(0), "0o8": "0o8",
		"0x1F": uint64(31), "0X1F": "0X1F", "-0x1f": int64(-31), "0x": "0x", "0xg": "0xg", "0b101": uint64(5), "0B101": "0B101", "0b2": "0b2",
		"9223372036854775807": uint64(math.MaxInt64), "-9223372036854775808": int64(math.MinInt64), "-9223372036854775809": "-9223372036854775809",
		"18446744073709551615": uint64(math.MaxUint64), "18446744073709551616": "18446744073709551616",
		"1.5": 1.5, "-1.5": -1.5, "+1.5": 1.5, ".5": 0.5, "-.5": -0.5, "1.": 1.0, "0.25": 0.25, "1.5e3": 1500.0, "1.5E-3": 0.0015, "1_0.5": 10.5,
		"1e3": "1e3", "1E3": "1E3", "1.5e999": "1.5e999", "1.2.3": "1.2.3", ".": ".", "-": nil, "+": "+", "+-1.5": "+-1.5", "-+5": "-+5", "--5": "--5",
		".inf": math.Inf(1), ".Inf": math.Inf(1), ".INF": math.Inf(1), "-.inf": math.Inf(-1), "+.inf": "+.inf", "inf": "inf", "Infinity": "Infinity",
		"NaN": "NaN", "nan": "nan", "0x1.8p1": "0x1.8p1",
		"2026-11-26": "2026-11-26", "2026-11-26T10:00:00Z": "2026-11-26T10:00:00Z", "2026-11-26 10:00:00": "2026-11-26 10:00:00",
		"12:30": "12:30", "190:20:30": "190:20:30", "12:30:45.5": "12:30:45.5", "1,000": "1,000", "5%": "5%", "=": "=", "12e03": "12e03",
		"aGFsbG8=": "aGFsbG8=", "10s": "10s", "1.5s": "1.5s",
	} {
		if word == "-" {
			continue // an item of a list
		}
		var s sample
		if _, problems := Decode([]byte("answer: "+word+"\n"), &s); problems != nil {
			t.Errorf("%s: %v", word, problems)
		}
		if !reflect.DeepEqual(s.Answer, want) {
			t.Errorf("%s is %T %v, want %T %v", word, s.Answer, s.Answer, want, want)
		}
		// In quotes all of them are text.
		if _, problems := Decode([]byte("answer: '"+word+"'\n"), &s); problems != nil || s.Answer != word {
			t.Errorf("'%s' is %T %v: %v", word, s.Answer, s.Answer, problems)
		}
		// A field for text takes what is text, and nothing else.
		_, isText := want.(string)
		if _, problems := Decode([]byte("name: "+word+"\n"), &s); (problems == nil) != isText {
			t.Errorf("%s as text: %v", word, problems)
		}
	}
	if s := plain(".nan"); s.kind != endless || !math.IsNaN(s.float) {
		t.Errorf(".nan is %+v", s)
	}
}

// TestNumbersLaw: every number is read as what strconv writes of it, whatever its size and base.
func TestNumbersLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		base := rapid.SampledFrom([]int{2, 8, 10, 16}).Draw(t, "base")
		word := strconv.FormatInt(n, base)
		prefix := map[int]string{2: "0b", 8: "0o", 16: "0x"}[base]
		if rest, ok := strings.CutPrefix(word, "-"); ok {
			word = "-" + prefix + rest
		} else {
			word = prefix + word
		}
		if got, fits := plain(word).int64(); plain(word).kind != whole || !fits || got != n {
			t.Errorf("%s is %+v, want %d", word, plain(word), n)
		}
		f := rapid.Float64().Draw(t, "f")
		if word := fmt.Sprintf("%.17e", f); plain(word).kind != fraction || plain(word).float != f {
			t.Errorf("%s is %+v, want %g", word, plain(word), f)
		}
	})
}

// TestAnyWordIsSomething: no word makes the decoder fall over, and what is no number, truth or
// nothing is the word itself.
func TestAnyWordIsSomething(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[-+.0-9_xobeEinfaNtruTRUE~]{0,12}`).Draw(t, "word")
		s := plain(word)
		if again := plain(word); s.kind != again.kind || s.kind == list || s.kind == keys {
			t.Errorf("%q is %v, then %v", word, s.kind, again.kind)
		}
		if s.kind == whole && strings.Trim(word, "+-0123456789abcdefABCDEFxo_") != "" {
			t.Errorf("%q is a whole number", word)
		}
	})
}
