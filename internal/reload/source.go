package reload

import (
	"bytes"
	"unicode/utf8"
)

// source is a file's text. It is asked for what the syntax tree leaves out.
type source struct {
	data  []byte // without a byte order mark
	lines []int  // where each line begins; made when it is needed, which is seldom
	bang  bool   // there is a ! somewhere
	mark  bool   // there is a ? somewhere
}

func newSource(data []byte) *source {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	return &source{data: data, bang: bytes.IndexByte(data, '!') >= 0, mark: bytes.IndexByte(data, '?') >= 0}
}

// utf16 says whether the file is in an encoding that the parser reads, but no place in it would be
// found.
func (s *source) utf16() bool {
	return bytes.HasPrefix(s.data, []byte("\xfe\xff")) || bytes.HasPrefix(s.data, []byte("\xff\xfe"))
}

// tagged says whether a tag stands at that place. The tree has every tag but the one that has no
// name: ! 5 is text.
func (s *source) tagged(at Pos) bool {
	return s.bang && bytes.HasPrefix(s.data[s.offset(at):], []byte("!"))
}

// marked says whether a question mark stands before that place, in its line.
func (s *source) marked(at Pos) bool {
	if !s.mark {
		return false
	}
	offset := s.offset(at)
	line := s.data[s.offset(Pos{at.Line, 1}):offset]
	return bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte("?"))
}

// offset returns where the place is in data, counted in bytes; a place's column counts runes.
func (s *source) offset(at Pos) int {
	if s.lines == nil {
		s.lines = lineStarts(s.data)
	}
	if at.Line < 1 || at.Line > len(s.lines) {
		return len(s.data)
	}
	offset := s.lines[at.Line-1]
	for column := 1; column < at.Column && offset < len(s.data); column++ {
		_, size := utf8.DecodeRune(s.data[offset:])
		offset += size
	}
	return offset
}

// lineStarts returns where each line begins, by the line breaks that the parser counts: those of
// YAML 1.1.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for i := 0; i < len(data); i++ {
		switch rest := data[i:]; {
		case data[i] == '\n', data[i] == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
			starts = append(starts, i+1)
		case data[i] < utf8.RuneSelf:
		case bytes.HasPrefix(rest, []byte("\u0085")):
			starts = append(starts, i+2)
		case bytes.HasPrefix(rest, []byte("\u2028")), bytes.HasPrefix(rest, []byte("\u2029")):
			starts = append(starts, i+3)
		}
	}
	return starts
}
