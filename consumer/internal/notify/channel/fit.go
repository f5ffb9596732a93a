package channel

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// fit returns as much of a message's lines, joined by separator, as fits says has room, and
// ends it with a mark of how much is missing. fits must say yes to all that is shorter
// than something that it says yes to.
func fit(m *Message, separator string, fits func(text string) bool) string {
	text := strings.Join(m.Lines, separator)
	if fits(text) {
		return text
	}
	mark := func(missing int) string { return fmt.Sprintf(wordsOf(m.Language).cut, missing) }
	kept := func(n int) string {
		return strings.Join(append(m.Lines[:n:n], mark(len(m.Lines)-n)), separator)
	}
	// The first n that is too much, so n-1 lines have room.
	n := sort.Search(len(m.Lines), func(n int) bool { return !fits(kept(n)) })
	if n > 1 {
		return kept(n - 1)
	}
	// Not one line has room: as much of it as there is.
	line := m.Lines[0]
	bytes := sort.Search(len(line), func(n int) bool { return !fits(line[:n] + separator + mark(len(m.Lines))) })
	return cutRunes(line, bytes-1) + separator + mark(len(m.Lines))
}

// cutRunes returns at most n bytes of text, in whole characters.
func cutRunes(text string, n int) string {
	n = max(0, min(n, len(text)))
	for n > 0 && n < len(text) && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
