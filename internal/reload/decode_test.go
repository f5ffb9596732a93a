package reload

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type color string

func (c *color) UnmarshalText(text []byte) error {
	if string(text) != "red" {
		return errors.New("want red")
	}
	*c = color(text)
	return nil
}

type inner struct {
	Burst int     `yaml:"burst"`
	Rate  float64 `yaml:"per_second"`
}

type sample struct {
	Name   string         `yaml:"name"`
	On     bool           `yaml:"on"`
	ID     int64          `yaml:"sdk_app_id"`
	Small  int8           `yaml:"small"`
	Wait   time.Duration  `yaml:"wait"`
	Paint  color          `yaml:"paint"`
	Limit  *inner         `yaml:"limit"`
	Items  []inner        `yaml:"items"`
	Words  []string       `yaml:"words"`
	Counts map[string]int `yaml:"counts"`
	Answer any            `yaml:"answer"`
	hidden string         //nolint:unused // shows that untagged fields are no keys
}

func TestDecodeGood(t *testing.T) {
	for name, row := range map[string]struct {
		in   string
		want sample
	}{
		"empty":             {"", sample{}},
		"only comments":     {"# nothing\n", sample{}},
		"one document mark": {"---\nname: x\n", sample{Name: "x"}},
		"scalars":           {"name: Harbor Chat\non: true\nsdk_app_id: 1400000001\nsmall: -3\n", sample{Name: "Harbor Chat", On: true, ID: 1400000001, Small: -3}},
		"yes is text":       {"name: yes\n", sample{Name: "yes"}},
		"byte order mark":   {"\xef\xbb\xbfname: x\n", sample{Name: "x"}},
		"marks are text":    {"name: what? yes! <<\nwords: [a!, \"!!str\", '? b', \"*a\"]\n", sample{Name: "what? yes! <<", Words: []string{"a!", "!!str", "? b", "*a"}}},
		"<< as a value":     {"name: <<\n", sample{Name: "<<"}},
		"<< in quotes":      {"counts: {\"<<\": 1}\n", sample{Counts: map[string]int{"<<": 1}}},
		"empty documents":   {"---\n---\nname: x\n", sample{Name: "x"}},
		"quoted number":     {"name: \"12\"\n", sample{Name: "12"}},
		"block text":        {"name: |\n  two\n  lines\n", sample{Name: "two\nlines\n"}},
		"duration":          {"wait: 1.5s\n", sample{Wait: 1500 * time.Millisecond}},
		"own type":          {"paint: red\n", sample{Paint: "red"}},
		"pointer":           {"limit: {burst: 5, per_second: 2.5}\n", sample{Limit: &inner{5, 2.5}}},
		"whole as float":    {"limit: {per_second: 200}\n", sample{Limit: &inner{Rate: 200}}},
		"lists":             {"items:\n  - burst: 1\n  - {burst: 2}\nwords: [a, b]\n", sample{Items: []inner{{Burst: 1}, {Burst: 2}}, Words: []string{"a", "b"}}},
		"empty list":        {"items: []\n", sample{Items: []inner{}}},
		"map":               {"counts: {a: 1, b: 2}\n", sample{Counts: map[string]int{"a": 1, "b": 2}}},
		"any": {"answer: {ActionStatus: OK, ErrorCode: 0, List: [true, 1.5, null]}\n",
			sample{Answer: map[string]any{"ActionStatus": "OK", "ErrorCode": uint64(0), "List": []any{true, 1.5, nil}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got sample
			if _, problems := Decode([]byte(row.in), &got); problems != nil {
				t.Fatalf("problems:\n%v", problems)
			}
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %#v\nwant %#v", got, row.want)
			}
		})
	}
}

func TestDecodeProblems(t *testing.T) {
	for name, row := range map[string]struct{ in, want string }{
		"unknown key, near":             {"naame: x\n", "f:1:1: naame: unknown key; did you mean name?"},
		"unknown key, far":              {"limit: {zzz: 1}\n", "f:1:9: limit.zzz: unknown key; known here: burst, per_second"},
		"case differs":                  {"SDK_APP_ID: 5\n", "f:1:1: SDK_APP_ID: unknown key; did you mean sdk_app_id?"},
		"a value as a key":              {"name plain:sup3r: x\n", "f:1:1: (not a name): unknown key; known here: answer, counts, items, limit, name, on, paint, sdk_app_id, small, wait, words"},
		"what the parser quotes":        {"name: |plain:sup3r\n", "f:1: not YAML: did not find expected comment or line break"},
		"doubled key":                   {"name: a\non: true\nname: b\n", "f:3:1: name: the key stands twice, first in line 1; keep one"},
		"doubled in flow":               {"limit: {burst: 1, burst: 2}\n", "f:1:19: limit.burst: the key stands twice, first in line 1; keep one"},
		"number for text":               {"name: 12\n", "f:1:7: name: want text, have a whole number; put it in quotes"},
		"list for text":                 {"name: [a]\n", "f:1:7: name: want text, have a list"},
		"text for number":               {"sdk_app_id: \"1400000001\"\n", "f:1:13: sdk_app_id: want a whole number, have text; write it without quotes"},
		"word for number":               {"sdk_app_id: abc\n", "f:1:13: sdk_app_id: want a whole number, have text"},
		"fraction for number":           {"sdk_app_id: 1.5\n", "f:1:13: sdk_app_id: want a whole number, have a number with a fraction"},
		"number too large":              {"small: 300\n", "f:1:8: small: the number is too large"},
		"beyond all bits":               {"sdk_app_id: 99999999999999999999\n", "f:1:13: sdk_app_id: the number is too large"},
		"beyond 64 bits":                {"sdk_app_id: 18446744073709551615\n", "f:1:13: sdk_app_id: the number is too large"},
		"text for bool":                 {"on: yes\n", "f:1:5: on: want true or false, have text"},
		"number for duration":           {"wait: 5\n", "f:1:7: wait: want a duration such as 1.5s or 10m, have a whole number"},
		"own type refuses":              {"paint: blue\n", "f:1:8: paint: want red"},
		"text for list":                 {"words: a\n", "f:1:8: words: want a list, have text; write [...] or one - per line"},
		"text for keys":                 {"limit: a\n", "f:1:8: limit: want keys with values, have text"},
		"list for the file":             {"- a\n", "f:1:1: want keys with values, have a list"},
		"no value":                      {"name:\non: true\n", "f:1:6: name: has no value; give it one or leave the key out"},
		"anchor":                        {"limit: &a {burst: 1}\n", "f:1:8: anchors (&) are not taken; write the value out where it is needed"},
		"tag":                           {"name: !!str 5\n", "f:1:7: tags (!) are not taken; put text in quotes, numbers not"},
		"tag without a name":            {"name: ! 5\n", "f:1:7: tags (!) are not taken; put text in quotes, numbers not"},
		"tag of a list's item":          {"words: [a, !!str b]\n", "f:1:12: tags (!) are not taken; put text in quotes, numbers not"},
		"anchor of a key":               {"&a name: x\n", "f:1:1: anchors (&) are not taken; write the value out where it is needed"},
		"anchor of nothing":             {"name: &a\n", "f:1:7: anchors (&) are not taken; write the value out where it is needed"},
		"anchor and its alias":          {"name: &a x\nwords: [*a]\n", "f:1:7: anchors (&) are not taken; write the value out where it is needed\nf:2:9: aliases (*) are not taken; write the value out"},
		"alias of nothing":              {"on: true\nname: *s3cr3t\nwords: [a]\n", "f:2: aliases (*) are not taken; write the value out"},
		"merge key":                     {"limit: {<<: {burst: 1}}\n", "f:1:9: merge keys (<<) are not taken; write the keys out"},
		"complex key":                   {"? name\n: x\n", "f:1:3: complex keys (?) are not taken; write key: value"},
		"complex key, a later one":      {"on: true\n? name\n: x\n", "f:2:3: complex keys (?) are not taken; write key: value"},
		"complex key in braces":         {"limit: {per_second: 1, ? burst : 1}\n", "f:1:26: complex keys (?) are not taken; write key: value"},
		"a list as a key":               {"[a]: x\n", "f:1:1: complex keys (?) are not taken; write key: value"},
		"UTF-16":                        {"\xff\xfen\x00:\x00", "f:1:1: not UTF-8; save the file as UTF-8"},
		"second document":               {"name: a\n---\nname: b\n", "f:3:1: a second document; write one document and no --- between"},
		"broken quote":                  {"name: \"a\n", "f:1: not YAML: found unexpected end of stream"},
		"item of a list":                {"items:\n  - burst: 1\n  - burst: x\n", "f:3:12: items[1].burst: want a whole number, have text"},
		"block keys at their first key": {"words:\n  a: 1\n", "f:2:3: words: want a list, have keys with values; write [...] or one - per line"},
		"all at once, in order of the file": {"sdk_app_id: x\nname: 1\nfoo: 1\nitems: [{burst: y}]\n",
			"f:1:13: sdk_app_id: want a whole number, have text\n" +
				"f:2:7: name: want text, have a whole number; put it in quotes\n" +
				"f:3:1: foo: unknown key; known here: answer, counts, items, limit, name, on, paint, sdk_app_id, small, wait, words\n" +
				"f:4:17: items[0].burst: want a whole number, have text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Decode([]byte(row.in), new(sample))
			if got := strings.Join(problems.Lines("f"), "\n"); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

func TestOnlyUnknownKeysAreWarnings(t *testing.T) {
	_, problems := Decode([]byte("naame: x\nname: 1\nname: 2\n"), new(sample))
	if len(problems.Warnings()) != 1 || problems.Warnings()[0].Line != 1 {
		t.Errorf("warnings: %v", problems.Warnings())
	}
	if len(problems.Errors()) != 2 {
		t.Errorf("errors: %v", problems.Errors())
	}
}

func TestDecodeNeverQuotesValues(t *testing.T) {
	for _, in := range []string{
		"sdk_app_id: s3cr3t\n", "on: s3cr3t\n", "wait: s3cr3t\n", "words: s3cr3t\n", "limit: s3cr3t\n",
		"items: [s3cr3t]\n", "counts: s3cr3t\n", "paint: s3cr3t\n",
	} {
		_, problems := Decode([]byte(in), new(sample))
		if len(problems) == 0 {
			t.Errorf("%q has no problem", in)
		}
		if strings.Contains(problems.Error(), "s3cr3t") {
			t.Errorf("%q: the value is in the problem: %v", in, problems)
		}
	}
}

func TestAt(t *testing.T) {
	doc, problems := Decode([]byte("name: x\nitems:\n  - burst: 1\n  - per_second: 2\n    burst: 7\nwords: [a, bc]\n"), new(sample))
	if problems != nil {
		t.Fatal(problems)
	}
	for name, row := range map[string]struct {
		path []any
		want Pos
	}{
		"the file":                       {nil, Pos{1, 1}},
		"a value":                        {[]any{"name"}, Pos{1, 7}},
		"an item":                        {[]any{"items", 1}, Pos{4, 5}},
		"a value in an item":             {[]any{"items", 1, "burst"}, Pos{5, 12}},
		"a missing key: its item":        {[]any{"items", 0, "per_second"}, Pos{3, 5}},
		"beyond the list: its beginning": {[]any{"words", 9}, Pos{6, 8}},
		"in a flow list":                 {[]any{"words", 1}, Pos{6, 12}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := doc.At(row.path...); got != row.want {
				t.Errorf("At%v = %v, want %v", row.path, got, row.want)
			}
		})
	}
	empty, _ := Decode(nil, new(sample))
	if got := empty.At("name"); got != (Pos{1, 1}) {
		t.Errorf("in an empty document: %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "name: x\non: true\n", "items: [{burst: 1}, {burst: x}]", "limit: &a {burst: 1}\nother: *a", "a: [", "? a\n: b", "<<: {a: 1}",
		"name: |\n  x\n", "answer: {a: [1, {b: .inf}]}", "- - - a", "---\n---\n", "!!map {a: b}", "\x00", "name: \"\\u0000\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sample
		doc, problems := Decode(data, &s)
		if doc == nil {
			t.Fatal("no document")
		}
		for _, p := range problems {
			if p.Text == "" || p.Line < 0 || p.Column < 0 {
				t.Errorf("problem %+v", p)
			}
		}
		doc.At("items", 0, "burst")
	})
}
