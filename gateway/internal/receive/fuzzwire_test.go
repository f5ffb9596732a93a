package receive

import (
	"testing"
	"time"
)

// maxFuzzed bounds the inputs: what is longer says little more, and is slow.
const maxFuzzed = 2000

// FuzzWire gives any bytes to the server as a connection brings them, in pieces of any size. It
// does not hang or panic, what it answers parses, and every 200 is permitted by a reader that
// knows nothing of it, and is one entry. `make fuzz` runs it and says how many inputs there were.
func FuzzWire(f *testing.F) {
	for _, file := range corpus(f) {
		if len(file.input) <= maxFuzzed {
			f.Add(file.input, uint16(0))
			f.Add(file.input, uint16(7))
		}
	}
	g := newWire(f)
	all := newConnections(timeouts{})
	f.Fuzz(func(t *testing.T, input []byte, piece uint16) {
		if len(input) > maxFuzzed {
			return
		}
		g.journal.payloads, g.journal.reserves, g.journal.levels = nil, nil, nil
		began := time.Now()
		output := g.inMemory(all, append([]byte(nil), input...), int(piece))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if answers, err := checkWire(input, output, g.journal.entries(t)); err != nil {
			t.Errorf("%v\nanswers %v", err, answers)
		}
		if now := g.waiting.now.Load(); now != 0 || len(all.open) != 0 {
			t.Errorf("%d bytes are still waiting, %d connections open", now, len(all.open))
		}
	})
}
