package quarantine

import "sync"

// maxIdleBuffer bounds the buffer that is kept when little comes.
const maxIdleBuffer = 256 << 10

// pending is what waits for the next pass: items one after another, in the order in which they
// came.
type pending struct {
	mu     sync.Mutex
	buf    []byte
	share  map[int64]int // bytes in buf of each part
	spare  []byte        // for buf, once that is taken
	closed bool
}

// Offer keeps a refused callback, if there is room for it. It copies what it keeps, waits for
// nobody but others that copy, and allocates only while its buffers grow. What it took is in a
// file soon. false: it is not kept, and counted as skipped.
func (s *Store) Offer(c *Callback) bool {
	if why, ok := s.waiting.add(c, s.partBytes()); !ok {
		s.metrics.skipped[why].Inc()
		return false
	}
	s.wake()
	return true
}

// wake has Run make a pass.
func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default: // it was told already
	}
}

// add takes c, or says why not.
func (p *pending) add(c *Callback, partBytes int64) (skip, bool) {
	size := c.itemBytes()
	if int64(size) > partBytes-segmentHeaderLen || size > maxPartPending {
		return skipSize, false
	}
	part := c.part()
	p.mu.Lock()
	defer p.mu.Unlock()
	share := p.share[part]
	switch {
	case p.closed:
		return skipClosed, false
	case share+size > maxPartPending:
		return skipPart, false
	case len(p.buf)+size > maxPending && (share+size > littlePending || len(p.buf)+size > maxPending+sparePending):
		return skipAll, false
	}
	p.buf = appendItem(p.buf, c)
	p.share[part] = share + size
	return 0, true
}

// take returns what waits. It is the caller's until giveBack.
func (p *pending) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buf
	p.buf, p.spare = p.spare, nil
	clear(p.share)
	return b
}

// giveBack lets a buffer be used again, unless it is much larger than what came.
func (p *pending) giveBack(b []byte) {
	if cap(b) > maxIdleBuffer && len(b) < cap(b)/4 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = b[:0]
}

// large reports whether there is more memory than is kept when little comes.
func (p *pending) large() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(cap(p.buf), cap(p.spare)) > maxIdleBuffer
}

func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}
