package store

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPostgresText(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"any text", "Harbor 港口 '\"\\%_\U0001F30A\ufffd", "Harbor 港口 '\"\\%_\U0001F30A\ufffd"},
		{"a NUL", "a\x00b", "a␀0b"},
		{"two", "\x00\x00", "␀0␀0"},
		{"the mark", "␀", "␀␀"},
		{"the mark and what looks like a NUL", "␀0", "␀␀0"},
		{"a byte that is not UTF-8", "a\xffb", "a␀xffb"},
	} {
		if got := postgresText(test.text); got != test.want {
			t.Errorf("%s: %q is written %q, want %q", test.name, test.text, got, test.want)
		}
	}
	for written, want := range map[string]string{"␀": "␀", "␀x": "␀x", "␀xzz": "␀xzz", "␀1": "␀1"} {
		if got := originalText(written); got != want {
			t.Errorf("%q, which is never written, is read as %q, want %q", written, got, want)
		}
	}
}

// Law: any text can be written, is read back as it was, and no two are written alike.
func TestPostgresTextLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(),
			rapid.SampledFrom([]string{"\x00", "\xff", "\xe2\x90", "\x80", "␀", "0", "x", "xff", "ff"})))
		text := ""
		for _, part := range parts.Draw(t, "text") {
			text += part
		}
		written := postgresText(text)
		if !utf8.ValidString(written) {
			t.Fatalf("%q is written %q, which is not UTF-8", text, written)
		}
		for _, r := range written {
			if r == 0 {
				t.Fatalf("%q is written with a NUL", text)
			}
		}
		if got := originalText(written); got != text {
			t.Fatalf("%q is written %q and read as %q", text, written, got)
		}
	})
}
