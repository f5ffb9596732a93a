package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes as people write it: 262144, 512MiB, 64GiB.
type size int64

var errSize = errors.New("want a number of bytes, such as 262144, 512MiB or 64GiB")

// UnmarshalText reads a number, alone or with KiB, MiB, GiB or TiB behind it.
func (s *size) UnmarshalText(text []byte) error {
	digits, shift := string(text), 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = strings.TrimRight(rest, " "), 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return errSize
	}
	*s = size(n << shift)
	return nil
}

// String writes the size in the largest unit that leaves a whole number, the inverse of
// UnmarshalText.
func (s size) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if one := int64(1) << (10 * (4 - i)); s != 0 && int64(s)%one == 0 {
			return strconv.FormatInt(int64(s)/one, 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// about writes a size for a person, rounded to a tenth of its unit.
func about(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(value) < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}
