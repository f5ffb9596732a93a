package journal

import (
	"sync"
	"sync/atomic"
)

// Waiter is told, by Notify, what became of an entry, so that nobody has to block in Wait for
// it: waking a goroutine for each entry costs more than writing it. It belongs to the caller,
// who leaves it alone from a Notify that returned true until Tell is called, and may use it
// again from then on.
type Waiter struct {
	// Tell gets what Wait would have returned. It is called once per Notify, by a goroutine
	// that tells all waiters of a batch, one after the other: it must not block, and the
	// others wait for what it does. It may call Notify.
	Tell func(err error)

	next *Waiter // in the round's list
}

// decided is the list of a round whose outcome is known: nobody can join it.
var decided Waiter

// waiters are those of one round, the newest first.
type waiters struct {
	newest  atomic.Pointer[Waiter]
	telling *sync.WaitGroup // the goroutines that tell, which Close waits for
}

// join adds w, or returns false where the outcome is known already.
func (s *waiters) join(w *Waiter) bool {
	for {
		newest := s.newest.Load()
		if newest == &decided {
			return false
		}
		w.next = newest
		if s.newest.CompareAndSwap(newest, w) {
			return true
		}
	}
}

// tell tells all who joined. It returns at once: the committer has the next batch to write.
func (s *waiters) tell(err error) {
	newest := s.newest.Swap(&decided)
	if newest == nil {
		return
	}
	s.telling.Go(func() {
		for w := oldestFirst(newest); w != nil; {
			next := w.next
			w.next = nil // or who waits no more would stay in memory with who came after it
			w.Tell(err)  // w may be in another round's list afterwards
			w = next
		}
	})
}

// oldestFirst turns a list round: who has waited longest is told first.
func oldestFirst(w *Waiter) (oldest *Waiter) {
	for w != nil {
		w.next, oldest, w = oldest, w, w.next
	}
	return oldest
}

// Notify has w told when the ticket's entry is durable (level Disk), or that it is not
// confirmed: what Wait at Disk would return, and when. False: that is decided already, w will
// not be told, and Wait does not block. It takes no lock and allocates nothing. Any goroutine
// may call it, and one ticket may have several waiters.
func (j *Journal) Notify(t Ticket, w *Waiter) bool {
	if uint64(t.LSN) <= j.synced.Load() || !t.round.told.join(w) {
		return false
	}
	j.want(t.round)
	return true
}
