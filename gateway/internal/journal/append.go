package journal

import (
	"fmt"
	"sync/atomic"
	"time"
)

// batch is the buffer that appenders fill and the committer writes. There are two, and
// they change places.
type batch struct {
	buf    []byte // room for the largest batch
	end    int    // bytes used, header included
	count  int    // entries
	first  LSN    // of the first entry
	oldest int64  // Unix milliseconds of the first entry
	round  *round // its waiters
}

func newBatch(size int64) *batch { return &batch{buf: make([]byte, size), end: batchHeaderLen} }

// round is what the waiters of one batch share: one channel, one deadline.
type round struct {
	done  chan struct{} // closed when state leaves roundOpen
	state atomic.Uint32
	born  time.Time // when the first entry came; written before any waiter can have it
}

const (
	roundOpen uint32 = iota
	roundDurable
	roundLate
)

func newRound() *round { return &round{done: make(chan struct{})} }

// resolve wakes the waiters; only the first call counts.
func (r *round) resolve(state uint32) bool {
	if !r.state.CompareAndSwap(roundOpen, state) {
		return false
	}
	close(r.done)
	return true
}

// Ticket is the receipt of an Append. It is a value, may be copied, and holds a batch's
// waiting list in memory as long as it lives.
type Ticket struct {
	LSN   LSN
	round *round
}

// room is what Append may take, decided before anything is taken. Guarded by Journal.mu.
type room struct {
	active   int64 // bytes left in the active segment behind the batch being written
	segments int64 // further segments that can be had
	payload  int64 // bytes of batches in one of them
	keep     int64 // the last tenth of the budget: for reserve only
	stuck    bool  // the device takes no writes
}

// fits reports whether a batch of end bytes has a place. A batch lies in one segment,
// so what is left in the active one may be lost.
func (r *room) fits(end int64, reserve bool) bool {
	size := roundUp(end)
	left := r.active + r.segments*r.payload - size
	if size > r.active {
		left -= r.active
	}
	if r.stuck || left < 0 {
		return false
	}
	return reserve || left >= r.keep
}

// take moves the room on behind a batch that is about to be written.
func (r *room) take(size int64) {
	if size > r.active {
		r.active, r.segments = r.payload, r.segments-1
	}
	r.active -= size
}

// Append adds one entry to the batch that is being filled. On return the entry has its
// LSN and its place in the order, and is in memory only: Wait says when it is durable.
// It may be called from any number of goroutines, does not block on the device, and
// allocates nothing.
//
// fill appends the payload to dst, which is empty and has room for Options.MaxPayload
// bytes, and returns the result; it runs inside the critical section, must not keep dst,
// call the journal or fail. A payload may be empty. reserve lets the entry use the last
// tenth of the budget and of the batch.
//
// Errors, after each of which nothing was taken: ErrFull (503, Retry-After; errors.Is
// also finds ErrBusy in some), ErrTooLarge (413), ErrClosed (503).
func (j *Journal) Append(reserve bool, fill func(dst []byte) []byte) (Ticket, error) {
	now := j.now().UnixMilli()
	t, first, err := j.append(reserve, now, fill)
	if first {
		select {
		case j.wake <- struct{}{}:
		default: // the committer was told already
		}
	}
	return t, err
}

// HasRoom reports whether Append would find room for one more entry, were it empty. The answer
// is of the moment: others append too. It may be called from any goroutine.
func (j *Journal) HasRoom(reserve bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.room.fits(int64(j.cur.end+entryHeaderLen), reserve)
}

// append is the critical section; first is true when the batch was empty before.
func (j *Journal) append(reserve bool, now int64, fill func(dst []byte) []byte) (t Ticket, first bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock() // deferred: a panic in fill must not stop all other appenders
	b := j.cur
	if err := j.admit(b, reserve); err != nil {
		return t, false, err
	}
	from := b.end + entryHeaderLen
	payload := fill(b.buf[from : from : from+j.maxPayload])
	if len(payload) > j.maxPayload {
		return t, false, fmt.Errorf("%d bytes, at most %d: %w", len(payload), j.maxPayload, ErrTooLarge)
	}
	to := from + len(payload)
	end := align8(to)
	if !j.room.fits(int64(end), reserve) {
		return t, false, ErrFull
	}
	if len(payload) > 0 && &payload[0] != &b.buf[from] {
		copy(b.buf[from:to], payload) // fill returned a slice of its own
	}
	clear(b.buf[to:end])
	putEntryHeader(b.buf[b.end:], len(payload), b.count, now)
	if b.count == 0 {
		b.round.born, b.oldest, first = time.Now(), now, true
	}
	t = Ticket{LSN: b.first + LSN(b.count), round: b.round}
	b.end = end
	b.count++
	j.appended.Store(uint64(t.LSN))
	return t, first, nil
}

// admits reports whether the batch takes one more entry. As of the budget, its last tenth is for
// reserve: a stall must not cost an alarm because other callbacks filled the batch.
func (b *batch) admits(maxPayload int, reserve bool) bool {
	if b.count == 0 {
		return true
	}
	entries, bytes := maxBatchEntries, len(b.buf)
	if !reserve {
		entries, bytes = entries-entries/10, bytes-bytes/10
	}
	return b.count < entries && b.end+entryHeaderLen+maxPayload+7 <= bytes
}

// admit refuses what cannot fit, before fill is called.
func (j *Journal) admit(b *batch, reserve bool) error {
	switch {
	case j.closed:
		return ErrClosed
	case !j.room.fits(int64(b.end+entryHeaderLen), reserve):
		return ErrFull
	case !b.admits(j.maxPayload, reserve),
		b.round.state.Load() != roundOpen: // its waiters were sent away: the device stalls
		return ErrBusy
	}
	return nil
}

// Wait returns when the ticket's entry reached the level. nil: it did. At Disk that
// means it survives a power loss (J1); at Broker that Settle said it was delivered; at
// Memory it returns at once. ErrNotConfirmed: not by the deadline, which runs from the
// first entry of its batch, or not before Close. ErrParked: at Broker, kept aside.
// Any goroutine may wait, also several for one ticket; an entry that is synced already
// costs one atomic load.
func (j *Journal) Wait(t Ticket, level Level) error {
	if level == Memory {
		return nil
	}
	if level == Broker {
		return j.settlements.wait(t)
	}
	if uint64(t.LSN) <= j.synced.Load() {
		return nil
	}
	<-t.round.done
	if t.round.state.Load() == roundDurable || uint64(t.LSN) <= j.synced.Load() {
		return nil
	}
	return ErrNotConfirmed
}

// watch sends the waiters of a batch away at its deadline. One goroutine, one ticker:
// deadlines are kept to a sixteenth.
func (j *Journal) watch() {
	tick := time.NewTicker(max(j.opt.AckDeadline/16, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-j.stopped:
			return
		case <-tick.C:
		}
		overdue := time.Now().Add(-j.opt.AckDeadline)
		j.mu.Lock()
		cur, used := j.cur.round, j.cur.count > 0
		j.mu.Unlock()
		if used {
			j.expire(cur, overdue)
		}
		if r := j.flying.Load(); r != nil {
			j.expire(r, overdue)
		}
		j.settlements.expire(overdue)
	}
}

func (j *Journal) expire(r *round, overdue time.Time) {
	if r.born.Before(overdue) && r.resolve(roundLate) {
		j.metrics.late.Inc()
		j.log.Warn("batch not durable by the deadline, its waiters were released",
			zapDuration("deadline", j.opt.AckDeadline), zapLSN("synced", LSN(j.synced.Load())), zapLSN("appended", LSN(j.appended.Load())))
	}
}
