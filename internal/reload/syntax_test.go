package reload

import (
	"fmt"
	"strings"
	"testing"
)

// TestBrokenFilesSayWhere: the line of the mistake, or the one where what is not ended begins, in a
// long file as in a short one.
func TestBrokenFilesSayWhere(t *testing.T) {
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "  - {burst: %d}\n", i)
	}
	for name, row := range map[string]struct {
		in   string
		line int
	}{
		"quotes":                         {"name: \"s3cr3t\n", 1},
		"quotes, later":                  {"on: true\nname: 's3cr3t\n\n\nsmall: 1\n", 2},
		"list":                           {"on: true\nwords: [s3cr3t, b\nsmall: 1\n", 2},
		"list to the end":                {"on: true\nwords: [s3cr3t, b\n\n\n", 2},
		"list without an item":           {"words: [\n\n", 1},
		"braces":                         {"on: true\nlimit: {burst: 1\n", 2},
		"key without colon":              {"on: true\ns3cr3t\nsmall: 1\n", 2},
		"key without colon, a gap":       {"on: true\ns3cr3t\n\n\nsmall: 1\n", 2},
		"two values":                     {"on: true\nname: \"a\" s3cr3t\nsmall: 1\n", 2},
		"two colons":                     {"name: a: s3cr3t\n", 1},
		"indented wrongly":               {"items:\n  - burst: 1\n   per_second: 1\n", 3},
		"indented less":                  {"items:\n  - burst: 1\n s3cr3t: 1\non: true\n", 3},
		"indented wrongly, far down":     {"items:\n" + many.String() + "  - burst: 1\n   per_second: 1\n" + many.String(), 503},
		"tab":                            {"limit:\n\tburst: 1\n", 2},
		"control character":              {"on: true\nname: a\x01b\n", 2},
		"not UTF-8":                      {"on: true\nname: s3cr3t\xff\n", 2},
		"escape":                         {"on: true\nname: \"\\q s3cr3t\"\n", 2},
		"alias of nothing":               {"on: true\nname: *s3cr3t\nsmall: 1\n", 2},
		"alias of nothing, first":        {"name: *s3cr3t\nsmall: 1\n", 1},
		"alias with quotes":              {"name: *s'3'cr3t\nsmall: 1\n", 1},
		"directive":                      {"%s3cr3t\nname: a\n", 1},
		"undefined handle":               {"name: !s3cr3t!x y\n", 1},
		"behind a mark, DOS lines":       {"\xef\xbb\xbfon: true\r\nname: \"s3cr3t\r\nsmall: 1\r\n", 2},
		"in the second document":         {"on: true\n---\nname: \"s3cr3t\n", 3},
		"text beside keys":               {"s3cr3t\non: true\n", 2},
		"reserved":                       {"on: true\nname: @s3cr3t\n", 2},
		"comma":                          {"words: [a,, s3cr3t]\n", 1},
		"bracket too many":               {"on: true\nwords: [a]]\nsmall: 1\n", 2},
		"brace too many, further behind": {"items:\n" + many.String() + "  - {burst: 1}}\n" + many.String(), 502},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Decode([]byte(row.in), new(sample))
			if len(problems) != 1 || problems[0].Line != row.line {
				t.Errorf("problems %v, want one in line %d", problems, row.line)
			}
			if strings.Contains(problems.Error(), "s3cr3t") {
				t.Errorf("what the file holds is in the problem: %v", problems)
			}
		})
	}
}

func TestParsersTextIsShownUnlessItQuotes(t *testing.T) {
	for why, want := range map[string]string{
		"did not find expected ',' or ']'":        "not YAML: did not find expected ',' or ']'",
		"could not find expected ':'":             "not YAML: could not find expected ':'",
		"unknown anchor 's3cr3t' referenced":      noAliases,
		"cannot decode !!str `s3cr3t` as a !!int": "not YAML",
		"found 's3cr3t', want ':'":                "not YAML",
		"found 's3cr3t' in \"s3cr3t\"":            "not YAML",
	} {
		if got := shown(why); got != want {
			t.Errorf("%s: %q, want %q", why, got, want)
		}
	}
}

// TestDeepFilesEnd: what is nested deeply, or long, is refused or read, and soon: were the work the
// square of it, this would take longer than a test may.
func TestDeepFilesEnd(t *testing.T) {
	for name, row := range map[string]struct {
		in   string
		good bool
	}{
		"lists":      {"answer: " + strings.Repeat("[", 20_000), false},
		"braces":     {"answer: " + strings.Repeat("{a: ", 20_000), false},
		"items":      {strings.Repeat("- ", 20_000), false},
		"closed":     {"answer: " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000), true},
		"questions":  {strings.Repeat("? ", 20_000), false},
		"comments":   {strings.Repeat("# a\n", 50_000) + "name: x\n", true},
		"empty":      {strings.Repeat("\n", 200_000), true},
		"long words": {"name: " + strings.Repeat("a ", 200_000), true},
	} {
		if _, problems := Decode([]byte(row.in), new(sample)); (problems == nil) != row.good {
			t.Errorf("%s: problems %v", name, problems)
		}
	}
}
