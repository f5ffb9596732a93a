package receive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"testing"
)

// TestRemembered: of the last right Sign, that and nothing else matches.
func TestRemembered(t *testing.T) {
	words := func(text string) [2]uint64 {
		w, ok := timeWords([]byte(text))
		if !ok {
			t.Fatalf("%q is no RequestTime", text)
		}
		return w
	}
	right, wrong := sha256.Sum256([]byte("right")), sha256.Sum256([]byte("wrong"))
	var m remembered
	text := func(sum [sha256.Size]byte) []byte { return hex.AppendEncode(nil, sum[:]) }
	if _, known := m.matches(words(""), make([]byte, signSize)); known {
		t.Error("something is known before anything was kept")
	}
	m.keep(words("1669872112"), &right)
	for _, tt := range []struct {
		name, time   string
		sign         []byte
		match, known bool
	}{
		{"the same", "1669872112", text(right), true, true},
		{"in capital letters", "1669872112", bytes.ToUpper(text(right)), true, true},
		{"another Sign", "1669872112", text(wrong), false, true},
		{"another time", "1669872113", text(right), false, false},
		{"the same time, written otherwise", "01669872112", text(right), false, false},
		{"its beginning", "166987211", text(right), false, false},
		{"with a NUL behind it", "1669872112\x00", text(right), false, false},
	} {
		if match, known := m.matches(words(tt.time), tt.sign); match != tt.match || known != tt.known {
			t.Errorf("%s: match %t, known %t", tt.name, match, known)
		}
	}
	// Any other byte, anywhere, is another Sign: of a letter the other case is the same, of a digit nothing is.
	for at := range signSize {
		for c := range 256 {
			sign := text(right)
			same := bytes.EqualFold([]byte{byte(c)}, sign[at:at+1])
			sign[at] = byte(c)
			if match, known := m.matches(words("1669872112"), sign); match != same || !known {
				t.Errorf("%q for byte %d of %s: match %t, known %t", byte(c), at, text(right), match, known)
			}
		}
	}
	if _, ok := timeWords([]byte("166987211200")); ok {
		t.Error("what is too long for a RequestTime has words")
	}
}

// TestRememberedIsNeverHalf: while it changes, a time never matches the sum of another.
func TestRememberedIsNeverHalf(t *testing.T) {
	var m remembered
	times := make([][2]uint64, 4)
	sums, signs := make([][sha256.Size]byte, len(times)), make([][]byte, len(times))
	for i := range times {
		times[i], _ = timeWords([]byte(strconv.Itoa(i)))
		sums[i] = sha256.Sum256([]byte{byte(i)})
		signs[i] = hex.AppendEncode(nil, sums[i][:])
	}
	var wait sync.WaitGroup
	for from := range 2 {
		wait.Go(func() {
			for n := range 100_000 {
				i := (from + n) % len(times)
				m.keep(times[i], &sums[i])
			}
		})
		wait.Go(func() {
			for n := range 100_000 {
				i := n % len(times)
				if match, known := m.matches(times[i], signs[i]); known && !match {
					t.Error("the sum of another time")
					return
				}
			}
		})
	}
	wait.Wait()
}
