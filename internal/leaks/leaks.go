// Package leaks finds secrets in what a process printed and served: tokens, passwords, and every
// Sign that could have been made of a token. It is for the tests of both binaries, which hand
// over everything that came out of a process when it ends.
package leaks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const (
	// shortest is the least length of a secret: a shorter one would be found by chance.
	shortest = 8

	signDigits = 2 * sha256.Size
)

// Finder knows the secrets of one test. It belongs to one goroutine.
type Finder struct {
	secrets map[string]string // the secret, and what it is
	tokens  []string
	since   time.Time         // of the first Sign that could be found
	until   time.Time         // up to where signs reaches
	signs   map[string]string // lower-case hex, and whose
}

// New returns a Finder for Signs that were made from a minute before now on.
func New() *Finder {
	start := time.Now().Add(-time.Minute)
	return &Finder{secrets: map[string]string{}, since: start, until: start, signs: map[string]string{}}
}

// Add adds a secret that is no token. One that is too short to be told from other text is a
// mistake of the test, and panics.
func (f *Finder) Add(what, secret string) {
	if len(secret) < shortest {
		panic(fmt.Sprintf("BUG: %s has %d bytes: a secret of a test has at least %d", what, len(secret), shortest))
	}
	f.secrets[secret] = what
}

// AddToken adds a token, and with it every Sign of it.
func (f *Finder) AddToken(what, token string) {
	if _, known := f.secrets[token]; known {
		return
	}
	f.Add(what, token)
	f.tokens = append(f.tokens, token)
	f.until, f.signs = f.since, map[string]string{} // with the others of its time
}

// sums are hex digits that may hold a Sign, with more before it or behind it: %3D and \u003d, which
// stand for an equals sign, end with some.
var sums = regexp.MustCompile(`(?i)[0-9a-f]{64,}`)

// In returns what leaked into text, a line for each secret, with where, and one for all Signs. Of
// the secret itself it says nothing.
func (f *Finder) In(text []byte) (found []string) {
	for secret, what := range f.secrets {
		if at := bytes.Index(text, []byte(secret)); at >= 0 {
			found = append(found, fmt.Sprintf("%s is in it, behind %q", what, before(text, at)))
		}
	}
	places := sums.FindAllIndex(text, -1)
	if len(places) > 0 {
		f.sign(time.Now().Add(time.Minute))
	}
	for _, place := range places {
		digits := bytes.ToLower(text[place[0]:place[1]])
		for at := 0; at+signDigits <= len(digits); at++ {
			if what, ok := f.signs[string(digits[at:at+signDigits])]; ok {
				return append(found, fmt.Sprintf("a Sign of %s is in it, behind %q", what, before(text, place[0]+at)))
			}
		}
	}
	return found
}

// sign makes every Sign up to a time.
func (f *Finder) sign(until time.Time) {
	for ; f.until.Before(until); f.until = f.until.Add(time.Second) {
		at := strconv.FormatInt(f.until.Unix(), 10)
		for _, token := range f.tokens {
			digest := sha256.Sum256([]byte(token + at))
			f.signs[hex.EncodeToString(digest[:])] = f.secrets[token]
		}
	}
}

// before is the text in front of a place: enough to see where it was printed.
func before(text []byte, at int) []byte { return text[max(0, at-120):at] }
