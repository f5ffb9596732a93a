package journal

import (
	"errors"
	"time"
)

// queue is who waits in Append for room in a batch. Guarded by Journal.mu.
//
// The batch being filled takes nobody who is in it: it takes no more of their class, or its
// waiters were sent away, and neither changes until the next batch takes its place. So who
// comes later cannot pass them, and Append looks only at the batch. The committer fills the
// next batch from the queue, in order, before anybody else sees it, and wakes those that
// found a place: nobody is woken in vain.
type queue struct{ reserve, others line }

// line is a queue of one class, in the order in which they came.
type line struct{ head, tail *queued }

// queued is an append that waits.
type queued struct {
	fill  func(dst []byte) []byte
	since time.Time
	next  *queued

	done     chan struct{} // closed when what follows is set
	ticket   Ticket
	err      error
	panicked any // what fill panicked with: it belongs to the appender, not the committer
}

func (q *queue) empty() bool { return q.reserve.head == nil && q.others.head == nil }

func (q *queue) line(reserve bool) *line {
	if reserve {
		return &q.reserve
	}
	return &q.others
}

func (l *line) push(w *queued) {
	if l.head == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

// pop takes out the first one, whose result is set, and wakes it.
func (l *line) pop() {
	w := l.head
	l.head, w.next = w.next, nil
	close(w.done)
}

// refuse sends all away.
func (l *line) refuse(err error) {
	for l.head != nil {
		l.head.err = err
		l.pop()
	}
}

// expire sends away who has waited since before overdue.
func (l *line) expire(overdue time.Time) {
	for l.head != nil && l.head.since.Before(overdue) {
		l.head.err = ErrBusy
		l.pop()
	}
}

// await is Append for whom the batch has no room at present: the last of its class until
// the committer, the watchdog, the budget or Close says what became of it.
func (j *Journal) await(reserve bool, fill func(dst []byte) []byte) (Ticket, error) {
	w, t, err := j.enqueue(reserve, fill)
	if w == nil {
		return t, err
	}
	j.metrics.delayed.Inc()
	kick(j.wake) // the batch is not left to fill any longer
	<-w.done
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.ticket, w.err
}

// enqueue tries once more, as the batch may be another one by now; w is nil when that
// gave a result.
func (j *Journal) enqueue(reserve bool, fill func(dst []byte) []byte) (w *queued, t Ticket, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, tell, err := j.place(reserve, fill)
	if tell {
		kick(j.wake)
	}
	if !errors.Is(err, ErrBusy) {
		return nil, t, err
	}
	w = &queued{fill: fill, since: time.Now(), done: make(chan struct{})}
	j.queue.line(reserve).push(w)
	return w, Ticket{}, nil
}

// takeQueued fills the batch that has just become the current one from the queue, reserve
// first. Called with mu held.
func (j *Journal) takeQueued() {
	if j.queue.empty() {
		return
	}
	overdue := time.Now().Add(-j.opt.AckDeadline)
	for _, reserve := range []bool{true, false} {
		l := j.queue.line(reserve)
		l.expire(overdue)
		for l.head != nil {
			if j.placeQueued(l.head, reserve); errors.Is(l.head.err, ErrBusy) {
				break // it stays for the next batch, and so do those behind it
			}
			l.pop()
		}
	}
	// They have waited: it is written at once.
	j.cur.round.wanted.Store(true)
}

func (j *Journal) placeQueued(w *queued, reserve bool) {
	defer func() { w.panicked = recover() }()
	w.err = nil // of the batch before, where fill panics now
	w.ticket, _, w.err = j.place(reserve, w.fill)
	if w.err == nil {
		w.ticket.round = j.cur.round.elderOf(w.since, j.opt.AckDeadline/deadlineParts)
	}
}

// refuseQueued sends away whom the journal takes no more: it is closed, or full. Called
// with mu held.
func (j *Journal) refuseQueued() {
	if j.queue.empty() {
		return
	}
	for _, reserve := range []bool{true, false} {
		if err := j.admit(j.cur, reserve); err != nil && !errors.Is(err, ErrBusy) {
			j.queue.line(reserve).refuse(err)
		}
	}
}

// expireQueued is expire of both lines.
func (j *Journal) expireQueued(overdue time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue.reserve.expire(overdue)
	j.queue.others.expire(overdue)
}
