package schema

import "time"

// TimeLayout is the form of every time in the contract, in UTC.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// DateLayout is the form of every date in the contract.
const DateLayout = "2006-01-02"

// FormatTime returns t in the contract's form: UTC, cut to whole milliseconds. Years
// outside 0 to 9999 have no such form; callers keep them out.
func FormatTime(t time.Time) string {
	var room [len(TimeLayout) + 8]byte
	return string(AppendTime(room[:0], t))
}

// AppendTime appends FormatTime's text to dst and returns it. It allocates only where
// dst has no room. It costs a third of what time.Format does, which reads the layout each
// time.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > maxYear {
		return t.AppendFormat(dst, TimeLayout)
	}
	hour, minute, second := t.Clock()
	dst = append(appendDate(dst, year, month, day), 'T')
	dst = append(appendTwo(dst, hour), ':')
	dst = append(appendTwo(dst, minute), ':')
	dst = append(appendTwo(dst, second), '.')
	milliseconds := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst, digit(milliseconds/100))
	return append(appendTwo(dst, milliseconds%100), 'Z')
}

// FormatDate returns t's date, in t's own location, in the contract's form. Years outside 0
// to 9999 have no such form; callers keep them out.
func FormatDate(t time.Time) string {
	year, month, day := t.Date()
	if year < 0 || year > maxYear {
		return t.Format(DateLayout)
	}
	var room [len(DateLayout)]byte
	return string(appendDate(room[:0], year, month, day))
}

// maxYear is the last year that four digits hold.
const maxYear = 9999

func appendDate(dst []byte, year int, month time.Month, day int) []byte {
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	return appendTwo(append(dst, '-'), day)
}

// appendTwo appends n, 0 to 99, in two digits.
func appendTwo(dst []byte, n int) []byte { return append(dst, digit(n/10), digit(n%10)) }

func digit(n int) byte { return byte('0' + n) }

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
