package receive

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// breeder makes new inputs of those of the corpus: it cuts them into lines and puts lines of
// several together, which is how one request comes to say two things.
type breeder struct {
	random *rand.Rand
	whole  [][]byte
	lines  [][]byte
}

func newBreeder(t testing.TB, seed uint64) *breeder {
	b := &breeder{random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // repeatable on purpose
	for _, f := range corpus(t) {
		if len(f.input) <= maxFuzzed {
			b.whole = append(b.whole, f.input)
			b.lines = append(b.lines, bytes.SplitAfter(f.input, []byte("\n"))...)
		}
	}
	return b
}

// oddBytes are what parsers disagree about.
var oddBytes = []byte("\r\n\t \x00\x0b\x7f\xff:;,=+-0179afxA\"%/?#&")

// next returns a new input. It is the caller's.
func (b *breeder) next() []byte {
	input := bytes.Clone(b.whole[b.random.IntN(len(b.whole))])
	for range 1 + b.random.IntN(4) {
		switch b.random.IntN(8) {
		case 0: // a line of another before one of this
			at := b.lineOf(input)
			input = append(input[:at:at], append(bytes.Clone(b.lines[b.random.IntN(len(b.lines))]), input[at:]...)...)
		case 1: // a line twice
			at := b.lineOf(input)
			end := lineEnd(input, at)
			input = append(input[:end:end], append(bytes.Clone(input[at:end]), input[end:]...)...)
		case 2: // a line gone
			at := b.lineOf(input)
			input = append(input[:at:at], input[lineEnd(input, at):]...)
		case 3: // another behind it
			input = append(input, b.whole[b.random.IntN(len(b.whole))]...)
		case 4: // cut
			input = input[:b.random.IntN(len(input)+1)]
		case 5, 6: // an odd byte in the place of another, or before it
			if len(input) > 0 {
				at, odd := b.random.IntN(len(input)), oddBytes[b.random.IntN(len(oddBytes))]
				if b.random.IntN(2) == 0 {
					input[at] = odd
				} else {
					input = append(input[:at:at], append([]byte{odd}, input[at:]...)...)
				}
			}
		default: // a byte gone
			if len(input) > 0 {
				at := b.random.IntN(len(input))
				input = append(input[:at:at], input[at+1:]...)
			}
		}
	}
	return input
}

// lineOf returns where a line of input begins.
func (b *breeder) lineOf(input []byte) int {
	at := b.random.IntN(len(input) + 1)
	return bytes.LastIndexByte(input[:at], '\n') + 1
}

func lineEnd(input []byte, at int) int {
	if n := bytes.IndexByte(input[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(input)
}

// TestCorpusBred does to inputs bred from the corpus what FuzzWire does to its own, many times as
// fast, and compares each twentieth with net/http. TIDEGATE_WIRE is for how long, with others every
// time, instead of a fixed number that is always the same; TIDEGATE_WIRE_SEED the seed.
func TestCorpusBred(t *testing.T) {
	const fixed, compared = 20_000, 20
	duration, _ := time.ParseDuration(os.Getenv("TIDEGATE_WIRE")) // 0 where it is not set
	seed, err := strconv.ParseUint(os.Getenv("TIDEGATE_WIRE_SEED"), 10, 64)
	switch {
	case err == nil:
	case duration > 0:
		seed = uint64(time.Now().UnixNano())
	default:
		seed = 1
	}
	b, g, all := newBreeder(t, seed), newWire(t), newConnections(timeouts{})
	began, inputs, taken := time.Now(), 0, 0
	for ; !t.Failed() && (duration == 0 && inputs < fixed || duration > 0 && time.Since(began) < duration); inputs++ {
		input := b.next()
		piece := 0
		if b.random.IntN(4) == 0 {
			piece = 1 + b.random.IntN(100)
		}
		g.journal.payloads, g.journal.reserves, g.journal.levels = nil, nil, nil
		output := g.inMemory(all, bytes.Clone(input), piece)
		entries := g.journal.entries(t)
		taken += len(entries)
		answers, err := checkWire(input, output, entries)
		if err != nil {
			t.Errorf("%q in pieces of %d: %v\nanswers %v", input, piece, err, answers)
			continue
		}
		if inputs%compared == 0 {
			var bodies [][]byte
			for _, e := range entries {
				bodies = append(bodies, e.Callback.Body)
			}
			if text, lax := difference(answers, bodies, byNetHTTP(input)); lax {
				t.Errorf("%q: %s", input, text)
			}
		}
	}
	if taken == 0 || g.waiting.now.Load() != 0 {
		t.Errorf("%d callbacks taken, %d bytes are still waiting", taken, g.waiting.now.Load())
	}
	t.Logf("wire: %d inputs bred from the corpus in %v, seed %d, %d callbacks taken, each %dth compared with net/http",
		inputs, time.Since(began).Round(time.Second), seed, taken, compared)
}
