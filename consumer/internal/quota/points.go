package quota

import (
	"fmt"
	"strconv"
	"strings"
)

// Point is what an alarm said at a time: one point of a rate.
type Point struct {
	At   int64 // milliseconds since 1970
	Used int64 // groups
}

// Points are the points of a period that a rate is computed from, in order of time, at
// most 60. A Points value is never changed in place.
//
// Its text form is "at used", points apart by commas, the time of every point but the
// first as milliseconds since the one before: "1670574414123 7321,30250 7390". A row
// holds a few hundred bytes instead of thousands, and it is read and written with every
// batch that has an alarm of the app.
type Points []Point

// AppendText appends the text form. It never fails.
func (p Points) AppendText(dst []byte) ([]byte, error) {
	before := int64(0)
	for i, point := range p {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, point.At-before, 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, point.Used, 10)
		before = point.At
	}
	return dst, nil
}

// MarshalText returns the text form. It never fails.
func (p Points) MarshalText() ([]byte, error) { return p.AppendText(nil) }

// maxPointAt bounds a point's time: the last millisecond of year 9999, beyond which no
// time of the contract has a text form.
const maxPointAt = 253402300799999

// UnmarshalText reads the text form. The error names the point at fault: the row was
// written by something else, and the caller gives up on it.
func (p *Points) UnmarshalText(text []byte) error {
	*p = nil
	if len(text) == 0 {
		return nil
	}
	before := int64(0)
	for part := range strings.SplitSeq(string(text), ",") {
		point, err := parsePoint(part, before)
		if err != nil {
			return fmt.Errorf("read point %d %q: %w", len(*p)+1, part, err)
		}
		if len(*p) > 0 && point.At <= before {
			return fmt.Errorf("read point %d %q: not after the one before", len(*p)+1, part)
		}
		*p = append(*p, point)
		before = point.At
	}
	if len(*p) > maxPoints {
		return fmt.Errorf("read %d points: more than %d", len(*p), maxPoints)
	}
	return nil
}

// parsePoint reads one point whose time counts from before.
func parsePoint(text string, before int64) (Point, error) {
	at, used, _ := strings.Cut(text, " ")
	since, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return Point{}, fmt.Errorf("time: %w", err)
	}
	if since < 0 || since > maxPointAt-before {
		return Point{}, fmt.Errorf("time of %d ms is out of range", since)
	}
	groups, err := strconv.ParseInt(used, 10, 64)
	if err != nil {
		return Point{}, fmt.Errorf("use: %w", err)
	}
	if groups < 0 {
		return Point{}, fmt.Errorf("use of %d is negative", groups)
	}
	return Point{At: before + since, Used: groups}, nil
}
