package journal

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// idleProof is how long after the last batch its proof is written.
const idleProof = 100 * time.Millisecond

// A batch for whose sync nobody waits is left to fill, so that at Memory a sync is shared by
// many: until lingerTime after its first entry, or until it has lingerBytes, or a quarter of
// the largest batch where that is less.
const (
	lingerTime  = 5 * time.Millisecond
	lingerBytes = 256 << 10
)

// retry delays of a batch that cannot be written.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = time.Second
)

// commitLoop is the one goroutine that writes segments: it takes the filled batch,
// writes and syncs it while the next one fills, publishes, and so on. It ends when the
// journal is closed and nothing is left, or when Close gives up on a device.
func (j *Journal) commitLoop() {
	timer := time.NewTimer(idleProof)
	defer timer.Stop()
	for {
		b, linger, closed := j.swap()
		if b != nil {
			if !j.commit(b) {
				return
			}
			// Those it woke run first: their next entries share the next sync. Without this a
			// thousand connections had twelve entries a sync.
			runtime.Gosched()
			continue
		}
		if closed {
			j.prove()
			return
		}
		var due <-chan time.Time
		switch {
		case linger > 0:
			timer.Reset(linger)
			due = timer.C
		case j.unproven:
			timer.Reset(idleProof)
			due = timer.C
		}
		select {
		case <-j.wake:
		case <-due:
			if linger == 0 {
				j.prove()
			}
		}
	}
}

// linger is how long a batch may still fill before it is written; 0: it is to be written
// now, since somebody waits for that or it has been long enough. Called with mu held.
func (j *Journal) linger(b *batch) time.Duration {
	if j.closed || b.end >= j.fillBytes || b.round.wanted.Load() || !j.queue.empty() {
		return 0
	}
	return max(0, lingerTime-time.Since(b.round.born))
}

// swap takes the batch that was filled and puts the other one in its place, filled from the
// queue; nil when it is empty or, with linger, is left to fill.
func (j *Journal) swap() (b *batch, linger time.Duration, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cur.count == 0 {
		return nil, 0, j.closed
	}
	if linger = j.linger(j.cur); linger > 0 {
		return nil, linger, false
	}
	b, j.cur = j.cur, j.idle
	j.idle = nil
	j.cur.end, j.cur.count = batchHeaderLen, 0
	j.cur.first = b.first + LSN(b.count)
	j.cur.round = newRound(&j.telling)
	j.inflight = roundUp(int64(b.end))
	j.room.take(j.inflight)
	b.round.wanted.Store(true)
	j.flying.Store(b.round)
	j.takeQueued()
	return b, 0, j.closed
}

// commit writes a batch until it is durable, into as many segments as it takes, and
// publishes it. False: Close gave up; the waiters were told "not confirmed".
func (j *Journal) commit(b *batch) bool {
	delay := firstRetry
	for try := 0; ; try++ {
		err := j.write(b)
		if err == nil {
			break
		}
		j.fail(err, try > 0)
		if try > 0 && !j.pause(&delay) {
			b.round.resolveAll(roundLate)
			j.flying.Store(nil)
			return false
		}
	}
	j.publish(b)
	return true
}

// write does one write and one sync in the active segment, or a new one. After an error
// in either the segment is poisoned: the next try goes elsewhere (J6).
func (j *Journal) write(b *batch) error {
	size := roundUp(int64(b.end))
	if a := j.active; a == nil || a.broken || size > a.size-a.end.Load() {
		if err := j.activate(b.first); err != nil {
			return err
		}
	}
	a := j.active
	clear(b.buf[b.end:size])
	head := batchHeader{length: int64(b.end), count: b.count, first: b.first, synced: LSN(j.synced.Load()), offset: a.end.Load()}
	seed := saltSeed(a.salt)
	j.sums.sealEntries(b.buf[:b.end], seed, b.first)
	head.encode(b.buf, seed)
	j.written = head
	if err := j.writeSync(a, b.buf[:size], head.offset); err != nil {
		j.poison()
		return fmt.Errorf("segment %s is given up at %d, batch of %d entries from LSN %d goes elsewhere: %w", a.name, head.offset, b.count, b.first, err)
	}
	return nil
}

func (j *Journal) writeSync(a *segment, p []byte, off int64) error {
	n, err := a.file.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %d bytes: %w", len(p), err)
	}
	start := time.Now()
	if err := a.file.Fdatasync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	now := time.Now()
	j.metrics.syncSeconds.Observe(now.Sub(start).Seconds())
	j.syncTimes.note(now, now.Sub(start))
	return nil
}

// publish makes a durable batch visible: ring, watermark, waiters, subscribers, in that
// order, so that whoever sees the watermark finds the entries.
func (j *Journal) publish(b *batch) {
	a, last := j.active, b.first+LSN(b.count)-1
	if b.count > 0 {
		j.ring.put(b.buf[:b.end], j.written, a)
	}
	a.last.Store(uint64(last))
	j.marks.add(b.first, b.began)
	j.segMu.Lock()
	j.mu.Lock()
	a.end.Add(j.inflight)
	j.idle, j.inflight = b, 0 // only this goroutine takes it up again
	j.mu.Unlock()
	j.updateRoom()
	j.segMu.Unlock()
	j.synced.Store(uint64(last))
	b.round.resolveAll(roundDurable)
	j.flying.Store(nil)
	j.unproven = true
	j.metrics.batchEntries.Observe(float64(b.count))
	j.recovered()
	j.wakeSubscribers()
}

// prove writes an empty batch: its header says that everything before it was synced, so
// that the next recovery has nothing unproven at the end. It takes no new segment for
// it, and a failure costs nothing but the segment.
func (j *Journal) prove() {
	a := j.active
	if !j.unproven || a == nil || a.broken || a.size-a.end.Load() < blockBytes {
		j.unproven = false
		return
	}
	j.unproven = false
	var block [blockBytes]byte
	synced := LSN(j.synced.Load())
	head := batchHeader{length: batchHeaderLen, first: synced + 1, synced: synced, offset: a.end.Load()}
	head.encode(block[:], saltSeed(a.salt))
	if err := j.writeSync(a, block[:], head.offset); err != nil {
		j.poison()
		j.fail(err, false)
		return
	}
	j.segMu.Lock()
	defer j.segMu.Unlock()
	a.end.Add(blockBytes)
	j.updateRoom()
}

// fail notes that writing failed. stuck: a second time for the same batch, so Append
// refuses until it works again.
func (j *Journal) fail(err error, stuck bool) {
	first := j.writeErr.Swap(&err) == nil
	if first || !stuck {
		j.metrics.writeErrors.Inc()
		j.log.Error("journal write failed", zapError(err), zapLSN("synced", LSN(j.synced.Load())))
	}
	if stuck {
		j.segMu.Lock()
		defer j.segMu.Unlock()
		j.stuck = true
		j.updateRoom()
	}
}

// recovered ends what fail began.
func (j *Journal) recovered() {
	if j.writeErr.Load() == nil {
		return
	}
	j.writeErr.Store(nil)
	j.segMu.Lock()
	j.stuck = false
	j.updateRoom()
	j.segMu.Unlock()
	j.log.Info("journal writes again", zapLSN("synced", LSN(j.synced.Load())))
}

// pause waits before the next try. False: Close gave up.
func (j *Journal) pause(delay *time.Duration) bool {
	t := time.NewTimer(*delay)
	defer t.Stop()
	*delay = min(2**delay, lastRetry)
	select {
	case <-t.C:
		return true
	case <-j.giveUp:
		return false
	}
}

// updateRoom computes anew what Append may take. Called with segMu held.
func (j *Journal) updateRoom() {
	r := room{payload: j.sizes.segment - blockBytes, keep: j.maxBytes / 10, stuck: j.stuck}
	if a := j.active; a != nil && !a.broken {
		r.active = a.size - a.end.Load()
	}
	r.segments = max(0, (j.maxBytes-j.busyBytes())/j.sizes.segment)
	if j.spaceErr != nil {
		r.segments = min(r.segments, int64(len(j.spares)))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inflight > 0 {
		r.take(j.inflight)
	}
	j.room = r
	j.refuseQueued()
}

// busyBytes is what segments take that cannot be freed yet: of the others, retention
// lets go when the space is needed. Called with segMu held.
func (j *Journal) busyBytes() int64 { return j.segBytes - j.freeable }

// wakeSubscribers tells those of Subscribe that the synced watermark moved.
func (j *Journal) wakeSubscribers() {
	for _, c := range *j.subscribers.Load() {
		select {
		case c <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// errGivenUp is what Close reports of entries that no device took.
var errGivenUp = errors.New("entries in memory were not written")
