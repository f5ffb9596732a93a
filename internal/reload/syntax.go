package reload

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// errParser is what is known when the parser itself fell over.
var errParser = errors.New("cannot be read")

// unclosed are the parser's texts about something that was begun and is not ended; its line is that
// of the beginning.
var unclosed = []string{"found unexpected end of stream", "did not find expected ',' or ']'", "did not find expected ',' or '}'"}

// belated are the beginnings of the parser's texts that come when it has read beyond what is wrong.
var belated = []string{
	"did not find expected key", "did not find expected '-' indicator", "could not find expected ':'",
	"did not find expected <document start>", unknownAnchor,
}

// noContent is the parser's text about a list that ends with the file, and about one with [::/0] in
// it: a colon that begins text there is one for YAML 1.1, which the parser keeps to, and not for 1.2.
const noContent = "did not find expected node content"

// unknownAnchor is the beginning of the one text of the parser that quotes the file.
const unknownAnchor = "unknown anchor "

// belatedLines bounds how far back is looked for what is wrong. Empty lines do not count.
const belatedLines = 4

// syntax returns where in data the parser gave up with err, and why. The parser names a line, but
// that is the first one of the file when an item somewhere in it is indented wrongly, and none at
// all where the first line is wrong. So the text is read once more, byte by byte: where the parser
// stops reading is where it stumbled.
func syntax(data []byte, err error, pace *Pace) (at Pos, format, text string) {
	why, _ := reason(err)
	r := &paced{data: data, piece: 1, pace: pace}
	_, _ = trees(r)
	read := data[:r.read]
	line := lastLine(read)
	switch {
	case slices.Contains(unclosed, why) && r.read == len(data):
		// Behind an empty line, as it forgets the line of what begins in the first one.
		_, again := trees(&paced{data: slices.Concat([]byte("\n"), data), pace: pace})
		if _, begun := reason(again); begun > 0 {
			line = min(line, begun)
			if why == unclosed[0] {
				line = begun - 1 // of text in quotes it counts from 1, of all else from 0
			}
		}
	case slices.ContainsFunc(belated, func(begin string) bool { return strings.HasPrefix(why, begin) }):
		for range belatedLines {
			before := read[:bytes.LastIndexByte(bytes.TrimRight(read, "\r\n"), '\n')+1]
			if _, err := trees(&paced{data: before, pace: pace}); err == nil || !same(err, why) {
				break
			}
			read = before
			line = lastLine(read)
		}
	}
	return Pos{Line: line}, "%s", shown(why)
}

func same(err error, why string) bool {
	other, _ := reason(err)
	return other == why
}

// reason returns the parser's error without what stands before it, and the line that stood there, 0
// where none did.
func reason(err error) (why string, line int) {
	why = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(why, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				return text, line
			}
		}
	}
	return why, 0
}

// shown returns the text for a person. The parser's texts are fixed, but for the name of an alias
// that it does not know. What it quotes is a single character, unless it is of the file: that
// is not shown, as it may be a token.
func shown(why string) string {
	if strings.HasPrefix(why, unknownAnchor) {
		return noAliases
	}
	for i, part := range strings.Split(why, "'") {
		if i%2 == 1 && len(part) > 1 || strings.ContainsAny(part, "`\"") {
			return "not YAML"
		}
	}
	if why == noContent {
		why += "; is a list or are braces not closed, or does text begin with a colon, comma or bracket? Put such text in quotes"
	}
	return "not YAML: " + why
}

// lastLine returns the number of the last line of text that is not empty, at least 1.
func lastLine(text []byte) int {
	return len(lineStarts(bytes.TrimRight(text, " \t\r\n")))
}
