package reload

import (
	"io"
	"sync/atomic"
	"time"
)

// stride is for how long work goes on before it rests, and for how long it rests then.
const stride = 200 * time.Microsecond

// stepsPerLook is how many steps are made between two looks at the clock.
const stepsPerLook = 8

// Pace has long work let go of its processor every now and then, as everything does that a reload
// is made of. Go lets a goroutine run for 10 ms before it takes the processor away, and a file of
// thousands of apps is worth several of these: on two processors, the callbacks that came meanwhile
// would wait for them.
//
// Work that rests is asleep. runtime.Gosched is not enough: it puts the goroutine where a processor
// looks before it asks for connections that have something to read, and before it takes over what
// waits for another processor, so that one that has nothing else at hand goes on with the work.
// So a reload takes twice as long as its work at least, and leaves each processor half of the time.
//
// The zero value is ready. A Pace belongs to one goroutine.
type Pace struct {
	since time.Time // when the work went on last; zero: it has not begun
	steps int
}

// opening counts the files that are being opened. The process that opens them serves nobody yet,
// and whoever restarted it waits: then nothing rests.
var opening atomic.Int32

// Step is called between two small pieces of the work, of 25 microseconds at most. No lock that the
// hot path takes may be held.
func (p *Pace) Step() {
	if p.steps++; p.steps%stepsPerLook != 0 {
		return
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	if now.Sub(p.since) < stride || opening.Load() > 0 {
		return
	}
	time.Sleep(stride)
	p.since = time.Now()
}

// paced reads data in pieces that are a step each, and knows how much of it was read.
type paced struct {
	data  []byte
	read  int
	piece int // bytes at a time; 0: as many as there is room for
	pace  *Pace
}

// Read is io.Reader's.
func (r *paced) Read(into []byte) (int, error) {
	r.pace.Step()
	if r.read == len(r.data) {
		return 0, io.EOF
	}
	if r.piece > 0 && len(into) > r.piece {
		into = into[:r.piece]
	}
	n := copy(into, r.data[r.read:])
	r.read += n
	return n, nil
}
