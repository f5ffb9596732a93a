package schema

import "time"

// TimeLayout is the form of every time in the contract, in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// DateLayout is the form of every date in the contract.
const DateLayout = "2006-01-02"

// FormatTime returns t in the contract's form: UTC, cut to whole milliseconds. Years
// outside 0 to 9999 have no such form; callers keep them out.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }

// AppendTime appends FormatTime's text to dst and returns it. It allocates only where
// dst has no room.
func AppendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, TimeLayout)
}

// ParseTime reads what FormatTime writes and nothing else, so that equal times have
// equal texts: time.Parse would also take a comma for the point and an hour of one
// digit. It says whether text is such a time, and does not allocate.
func ParseTime(text []byte) (time.Time, bool) {
	if len(text) != len(TimeLayout) {
		return time.Time{}, false
	}
	number := func(from, to int) int {
		n := 0
		for _, b := range text[from:to] {
			n = n*10 + int(b) - '0'
		}
		return n
	}
	t := time.Date(number(0, 4), time.Month(number(5, 7)), number(8, 10),
		number(11, 13), number(14, 16), number(17, 19), number(20, 23)*int(time.Millisecond), time.UTC)

	// Writing it again settles at once every byte that is not as it should be:
	// separators, non-digits, and dates that time.Date moved into range.
	var again [len(TimeLayout) + 8]byte
	if string(AppendTime(again[:0], t)) != string(text) {
		return time.Time{}, false
	}
	return t, true
}
