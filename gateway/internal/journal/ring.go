package journal

import "sync"

// ringSlots bounds how many batches are remembered, however small they are.
const ringSlots = 4096

// ring holds copies of the batches that were synced last, for readers near the tail.
// The committer puts, readers copy out; appenders never come here.
type ring struct {
	mu    sync.RWMutex
	buf   []byte
	pos   int // in buf, of the next put
	slots []ringSlot
	head  int // of the oldest slot, not reduced by len(slots)
	tail  int // after the newest slot, not reduced by len(slots)
}

// ringSlot is one batch in the ring and its place on disk.
type ringSlot struct {
	head       batchHeader
	start, end int // in buf
	seg        *segment
}

func newRing(size int64) *ring {
	return &ring{buf: make([]byte, size), slots: make([]ringSlot, min(ringSlots, size/batchHeaderLen+1))}
}

// put copies a synced batch into the ring, over the oldest ones.
func (r *ring) put(batch []byte, head batchHeader, seg *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	start := r.pos
	if start+len(batch) > len(r.buf) {
		r.evict(start, len(r.buf))
		start = 0
	}
	if len(batch) > len(r.buf) {
		r.head = r.tail // readers find it on disk
		return
	}
	end := start + len(batch)
	r.evict(start, end)
	if r.tail-r.head == len(r.slots) {
		r.drop()
	}
	copy(r.buf[start:end], batch)
	r.slots[r.tail%len(r.slots)] = ringSlot{head, start, end, seg}
	r.tail++
	r.pos = end
}

// evict forgets the oldest slots as long as they are in the way of [start, end).
func (r *ring) evict(start, end int) {
	for r.head < r.tail {
		if s := &r.slots[r.head%len(r.slots)]; s.start >= end || s.end <= start {
			return
		}
		r.drop()
	}
}

func (r *ring) drop() {
	r.slots[r.head%len(r.slots)] = ringSlot{}
	r.head++
}

// get copies the batch that holds lsn into dst, which grows as needed. False: not here.
func (r *ring) get(lsn LSN, dst []byte) ([]byte, ringSlot, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	lo, hi := r.head, r.tail
	for lo < hi { // the first slot whose last LSN is not below lsn
		mid := lo + (hi-lo)/2
		if r.slots[mid%len(r.slots)].head.last() < lsn {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == r.tail || r.slots[lo%len(r.slots)].head.first > lsn {
		return dst, ringSlot{}, false
	}
	s := r.slots[lo%len(r.slots)]
	return append(dst[:0], r.buf[s.start:s.end]...), s, true
}
