package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// Entry is one unit of the journal.
type Entry struct {
	LSN     LSN
	Time    time.Time // when the first entry of its batch was appended, in milliseconds
	Payload []byte    // a view, valid until the next call on what returned it
}

// Reader returns the synced entries in order of their LSNs. It is for one goroutine;
// there may be several. Near the tail it reads from memory and takes no lock that
// appenders take. The segment in which it stands is not freed: Close it.
type Reader struct {
	j    *Journal
	from LSN // the next entry has this LSN or a higher one
	buf  []byte
	walk walker
	in   bool // walk holds a batch

	seg  *segment // pinned; nil: look it up
	off  int64    // in seg, of the next batch
	file vfs.File // of seg, nil until it is read from disk
	scan *scanner
}

// Reader returns a reader whose first entry is the one at from, or the next after it
// that is still there. It never fails; errors come from Next.
func (j *Journal) Reader(from LSN) *Reader { return &Reader{j: j, from: max(from, 1)} }

// Next returns the next synced entry without waiting; false: there is none yet, see
// Journal.Subscribe. The payload is valid until the next call on the reader.
//
// What is corrupt on disk is reported (log, metric, Stats) and skipped. Errors: ErrClosed
// after Journal.Close, else I/O; the position is unchanged and the call may be repeated.
func (r *Reader) Next() (Entry, bool, error) {
	for {
		if r.in {
			for e, ok := r.walk.next(); ok; e, ok = r.walk.next() {
				if e.LSN < r.from {
					continue
				}
				r.expect(e.LSN)
				r.from = e.LSN + 1
				return e, true, nil
			}
			r.in = false
			r.expect(r.walk.head.last() + 1)
			r.from = max(r.from, r.walk.head.last()+1)
		}
		if uint64(r.from) > r.j.synced.Load() {
			return Entry{}, false, nil
		}
		if more, err := r.load(); err != nil || !more {
			return Entry{}, false, err
		}
	}
}

// expect reports entries of the present batch that were skipped because they are damaged.
func (r *Reader) expect(lsn LSN) {
	if from := max(r.from, r.walk.head.first); !r.walk.trusted && lsn > from {
		r.report(Corruption{From: from, To: lsn - 1, Offset: r.walk.head.offset, Detail: "invalid entry"})
	}
}

func (r *Reader) report(c Corruption) {
	if r.seg != nil {
		c.Segment = r.seg.name
	}
	r.j.report(c)
}

// load brings the next batch in, from the ring or from disk. False: at the tail.
func (r *Reader) load() (bool, error) {
	b, slot, ok := r.j.ring.get(r.from, r.buf)
	if r.buf = b; ok {
		r.enter(slot.seg)
		r.off = slot.head.offset + slot.head.padded()
		r.walk.reset(r.buf, slot.head, 0, true)
		r.in = true
		return true, nil
	}
	return r.loadDisk()
}

// enter moves the pin to another segment. One that was freed meanwhile gets no pin: all in
// it is settled, and what comes after the batch at hand is looked up.
func (r *Reader) enter(s *segment) {
	if r.seg == s {
		return
	}
	r.leave()
	r.j.segMu.Lock()
	defer r.j.segMu.Unlock()
	if slices.Contains(r.j.segs, s) {
		s.pins.Add(1)
		r.seg = s
	}
}

// leave takes the pin away and closes the file.
func (r *Reader) leave() {
	if r.file != nil {
		_ = r.file.Close() // was only read
		r.file, r.scan = nil, nil
	}
	if r.seg != nil {
		r.seg.pins.Add(-1)
		r.seg = nil
	}
}

// loadDisk reads the next batch of the segment, or goes to the next segment.
func (r *Reader) loadDisk() (bool, error) {
	if r.seg == nil && !r.find() {
		return false, nil
	}
	end := r.seg.end.Load()
	if r.off >= end {
		return r.nextSegment()
	}
	if err := r.openFile(); err != nil {
		return false, err
	}
	r.scan.off, r.scan.limit = r.off, end
	b, ok, err := r.scan.next()
	if err != nil {
		return false, fmt.Errorf("segment %s: %w", r.seg.name, err)
	}
	if !ok {
		r.report(Corruption{From: r.from, To: LSN(r.seg.last.Load()), Offset: r.off, Detail: "no valid batch up to the end of the segment"})
		r.off = end
		return true, nil
	}
	if b.torn > 0 && b.head.first-LSN(b.head.gap) > r.from {
		r.report(Corruption{From: r.from, To: b.head.first - LSN(b.head.gap) - 1, Offset: b.torn, Detail: "torn or invalid batch"})
	}
	r.off = r.scan.off
	r.walk.reset(b.bytes, b.head, r.scan.seed, false)
	r.in = true
	return true, nil
}

// find looks up the segment that holds from, or the first one after it.
func (r *Reader) find() bool {
	r.j.segMu.Lock()
	defer r.j.segMu.Unlock()
	for _, s := range r.j.segs {
		if LSN(s.last.Load()) >= r.from && s.end.Load() > blockBytes {
			s.pins.Add(1)
			r.seg, r.off = s, blockBytes
			return true
		}
	}
	return false
}

// nextSegment goes on behind the present segment. False: there is nothing there yet.
func (r *Reader) nextSegment() (bool, error) {
	last := LSN(r.seg.last.Load())
	if r.from <= last {
		r.from = last + 1 // the rest of it was damaged and reported
	}
	old := r.seg
	if r.leave(); r.find() {
		return true, nil
	}
	r.enter(old) // nothing behind it: stand there again, so that the place is not searched anew
	return false, nil
}

// openFile opens the present segment for reading.
func (r *Reader) openFile() error {
	if r.file != nil {
		return nil
	}
	f, err := r.j.fs.Open(r.j.path(r.seg.name))
	if errors.Is(err, fs.ErrNotExist) && r.j.isClosed() {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("open segment for reading: %w", err)
	}
	r.file, r.scan = f, newScanner(f, r.seg.salt, r.off, r.seg.end.Load())
	return nil
}

// Close lets the reader's segment go. The journal stays open.
func (r *Reader) Close() {
	r.leave()
	r.in = false
}

// report notes corruption that was found while the journal runs.
func (j *Journal) report(c Corruption) {
	c.Found = j.now()
	c.Settled = uint64(c.To) <= j.settled.Load()
	j.segMu.Lock()
	for _, k := range j.corruptions {
		if k.Segment == c.Segment && k.Offset == c.Offset && k.From == c.From {
			j.segMu.Unlock()
			return // another reader
		}
	}
	if len(j.corruptions) < keptCorruptions {
		j.corruptions = append(j.corruptions, c)
	}
	if c.To >= c.From {
		j.missing = append(j.missing, lsnRange{c.From, c.To})
	}
	j.segMu.Unlock()
	j.metrics.corruptions.Inc()
	j.log.Error("journal corruption", zap.Stringer("corruption", c))
}
