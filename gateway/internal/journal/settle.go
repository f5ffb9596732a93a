package journal

import (
	"sync"
	"sync/atomic"
	"time"
)

// rememberedSettlements is how many settlements a late Broker waiter can still find. It is
// more than two batches, so an entry whose request is still being answered is among them
// unless that request was delayed by a whole batch.
const rememberedSettlements = 1 << 15

// settlements brings Settle and the waiters of level Broker together.
//
// Settle stores the result and then looks for waiters; wait registers and then looks for
// the result. Both are sequentially consistent atomics, so one of them sees the other.
type settlements struct {
	recent  [rememberedSettlements]atomic.Uint64 // LSN<<1, plus 1 when delivered, by LSN
	waiting atomic.Int64                         // waiters registered; Settle takes no lock at 0
	mu      sync.Mutex
	waiters map[LSN]*settleWaiter
	closed  bool
}

type settleWaiter struct {
	done chan struct{}
	err  error // set before done is closed
	born time.Time
	next *settleWaiter // another one for the same entry
}

// result is what is remembered of an entry. ok: it was settled.
func (s *settlements) result(lsn LSN) (err error, ok bool) {
	v := s.recent[lsn%rememberedSettlements].Load()
	if v>>1 != uint64(lsn) {
		return nil, false
	}
	if v&1 == 1 {
		return nil, true
	}
	return ErrParked, true
}

func (s *settlements) settle(lsn LSN, delivered bool) {
	v := uint64(lsn) << 1
	err := ErrParked
	if delivered {
		v, err = v|1, nil
	}
	s.recent[lsn%rememberedSettlements].Store(v)
	if s.waiting.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(lsn, err)
}

// release wakes the waiters of one entry, under mu.
func (s *settlements) release(lsn LSN, err error) {
	for w := s.waiters[lsn]; w != nil; w = w.next {
		w.err = err
		close(w.done)
		s.waiting.Add(-1)
	}
	delete(s.waiters, lsn)
}

func (s *settlements) wait(t Ticket) error {
	if err, ok := s.result(t.LSN); ok {
		return err
	}
	w := &settleWaiter{done: make(chan struct{}), born: time.Now()}
	if r := t.round; r != nil {
		w.born = r.born
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrNotConfirmed
	}
	w.next = s.waiters[t.LSN]
	s.waiters[t.LSN] = w
	s.waiting.Add(1)
	if err, ok := s.result(t.LSN); ok {
		s.release(t.LSN, err)
	}
	s.mu.Unlock()
	<-w.done
	return w.err
}

// expire sends away who has waited since before overdue.
func (s *settlements) expire(overdue time.Time) {
	if s.waiting.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for lsn, w := range s.waiters {
		if w.born.Before(overdue) {
			s.release(lsn, ErrNotConfirmed)
		}
	}
}

// close sends everybody away, also who comes later.
func (s *settlements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for lsn := range s.waiters {
		s.release(lsn, ErrNotConfirmed)
	}
}

// Settle says what became of an entry: delivered, or parked. It wakes who waits for that
// entry at level Broker, with nil or ErrParked. It may be called from any goroutine, in any
// order of LSNs, and takes no lock unless somebody waits. It does not move the settled
// watermark: that is Checkpoint.
func (j *Journal) Settle(lsn LSN, delivered bool) { j.settlements.settle(lsn, delivered) }

// Awaited reports whether somebody waits for the delivery of an entry, in Wait at level Broker.
// It costs one atomic load.
func (j *Journal) Awaited() bool { return j.settlements.waiting.Load() > 0 }
