package journal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// batch is the buffer that appenders fill and the committer writes. There are two, and
// they change places.
type batch struct {
	buf   []byte // room for the largest batch
	end   int    // bytes used, header included
	count int    // entries
	first LSN    // of the first entry
	began int64  // when the first entry came, Unix milliseconds: the time of them all
	round *round // its waiters
}

func newBatch(size int64) *batch { return &batch{buf: make([]byte, size), end: batchHeaderLen} }

// round is what the waiters of one batch share: one channel, one deadline. Those who had
// waited for room have rounds of their own, as their time began before the batch's.
type round struct {
	done   chan struct{} // closed when state leaves roundOpen
	state  atomic.Uint32
	wanted atomic.Bool // somebody waits for the sync, or need not ask for it any more
	born   time.Time   // when the first entry came; written before any waiter can have it
	elder  *round      // of the same batch, of those who had waited; nil: no more; fixed before the batch fills
	told   waiters     // those of Notify
	warned bool        // that waiters were released; owned by the watchdog
}

// deadlineParts is how exactly deadlines are kept: to a sixteenth.
const deadlineParts = 16

const (
	roundOpen uint32 = iota
	roundDurable
	roundLate
)

func newRound(telling *sync.WaitGroup) *round {
	return &round{done: make(chan struct{}), told: waiters{telling: telling}}
}

// elderOf is the round of who has waited since then: one for all whose times are within
// part of each other.
func (r *round) elderOf(since time.Time, part time.Duration) *round {
	if e := r.elder; e != nil && !since.Before(e.born) && since.Sub(e.born) < part {
		return e
	}
	e := newRound(r.told.telling)
	e.born, e.elder = since, r.elder
	e.wanted.Store(true)
	r.elder = e
	return e
}

// resolveAll wakes the waiters of the whole batch.
func (r *round) resolveAll(state uint32) {
	for ; r != nil; r = r.elder {
		r.resolve(state)
	}
}

// resolve wakes the waiters; only the first call counts.
func (r *round) resolve(state uint32) bool {
	if !r.state.CompareAndSwap(roundOpen, state) {
		return false
	}
	close(r.done)
	var err error
	if state != roundDurable {
		err = ErrNotConfirmed
	}
	r.told.tell(err)
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
// It may be called from any number of goroutines, and allocates nothing unless it waits.
//
// When the batch has no room, because the device is slower than the appenders, it waits for
// the next one, for at most Options.AckDeadline, to a sixteenth; Wait's deadline then runs
// from the beginning of that. Who waits gets a place in the order in which they came, but
// reserve first.
//
// fill appends the payload to dst, which is empty and has room for Options.MaxPayload
// bytes, and returns the result; it runs inside the critical section, must not keep dst,
// call the journal or fail. The committer may be who runs it. A payload may be empty. reserve
// lets the entry use the last tenth of the budget and of the batch.
//
// Errors, after each of which nothing was taken: ErrFull (503, Retry-After; errors.Is
// also finds ErrBusy in some), ErrTooLarge (413), ErrClosed (503).
func (j *Journal) Append(reserve bool, fill func(dst []byte) []byte) (Ticket, error) {
	t, err := j.TryAppend(reserve, fill)
	if errors.Is(err, ErrBusy) {
		return j.await(reserve, fill)
	}
	return t, err
}

// TryAppend is Append without waiting: ErrBusy at once when the batch has no room.
func (j *Journal) TryAppend(reserve bool, fill func(dst []byte) []byte) (Ticket, error) {
	t, tell, err := j.append(reserve, fill)
	if tell {
		kick(j.wake)
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

// append is the critical section.
func (j *Journal) append(reserve bool, fill func(dst []byte) []byte) (t Ticket, tell bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock() // deferred: a panic in fill must not stop all other appenders
	return j.place(reserve, fill)
}

// place puts an entry into the batch. tell: the committer is to know, as the batch is no
// longer empty, or has filled enough. Called with mu held.
func (j *Journal) place(reserve bool, fill func(dst []byte) []byte) (t Ticket, tell bool, err error) {
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
	if b.count == 0 {
		// One look at the clocks for the whole batch.
		b.round.born, b.began, tell = time.Now(), j.now().UnixMilli(), true
	}
	putEntryHeader(b.buf[b.end:], len(payload), b.count, b.began)
	t = Ticket{LSN: b.first + LSN(b.count), round: b.round}
	tell = tell || b.end < j.fillBytes && end >= j.fillBytes
	b.end = end
	b.count++
	j.appended.Store(uint64(t.LSN))
	return t, tell, nil
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
// first entry of its batch, or from when Append began to wait, or not before Close.
// ErrParked: at Broker, kept aside. Any goroutine may wait, also several for one ticket;
// an entry that is synced already costs one atomic load. Notify is Wait at Disk without a
// goroutine that waits.
func (j *Journal) Wait(t Ticket, level Level) error {
	if level == Memory {
		return nil
	}
	if level == Broker {
		j.want(t.round)
		return j.settlements.wait(t)
	}
	if uint64(t.LSN) <= j.synced.Load() {
		return nil
	}
	j.want(t.round)
	<-t.round.done
	if t.round.state.Load() == roundDurable || uint64(t.LSN) <= j.synced.Load() {
		return nil
	}
	return ErrNotConfirmed
}

// want says that somebody waits for the sync of a round: the committer leaves its batch no
// more time to fill. Delivery waits for the sync too, so Broker wants it as Disk does.
func (j *Journal) want(r *round) {
	if r != nil && !r.wanted.Load() && r.wanted.CompareAndSwap(false, true) {
		kick(j.wake)
	}
}

// watch sends the waiters of a batch away at its deadline, and who waits for room at theirs.
// One goroutine, one ticker: deadlines are kept to a sixteenth.
func (j *Journal) watch() {
	tick := time.NewTicker(max(j.opt.AckDeadline/deadlineParts, time.Millisecond))
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
		j.expireQueued(overdue)
		j.settlements.expire(overdue)
	}
}

// expire releases the waiters of a batch whose time is over, and says so once.
func (j *Journal) expire(r *round, overdue time.Time) {
	late := false
	for e := r; e != nil; e = e.elder {
		late = e.born.Before(overdue) && e.resolve(roundLate) || late
	}
	if late && !r.warned {
		r.warned = true
		j.metrics.late.Inc()
		j.log.Warn("batch not durable by the deadline, its waiters were released",
			zapDuration("deadline", j.opt.AckDeadline), zapLSN("synced", LSN(j.synced.Load())), zapLSN("appended", LSN(j.appended.Load())))
	}
}
