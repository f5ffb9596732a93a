package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// rebuilder writes a segment file from single entries, for recovery. Everything in the
// file is durable before it gets its name, so each batch proves the one before it and a
// last, empty one proves them all.
type rebuilder struct {
	file  vfs.File
	seed  uint32
	sums  checksummer
	buf   []byte
	off   int64 // in the file, of the batch that is being filled
	end   int   // in buf
	count int
	first LSN // of the batch that is being filled
	next  LSN // expected: a jump is recorded as a gap
	gap   uint64
}

// add appends an entry whose LSN is at least next.
func (r *rebuilder) add(e Entry) error {
	need := align8(entryHeaderLen + len(e.Payload))
	if r.count > 0 && (e.LSN != r.first+LSN(r.count) || r.count == maxBatchEntries || r.end+need > len(r.buf)) {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.end+need > len(r.buf) { // from a run that allowed larger payloads
		r.buf = append(r.buf, make([]byte, roundUp(int64(r.end+need))-int64(len(r.buf)))...)
	}
	if r.count == 0 {
		r.first, r.gap = e.LSN, uint64(e.LSN-r.next)
	}
	putEntryHeader(r.buf[r.end:], len(e.Payload), r.count, e.Time.UnixMilli())
	n := r.end + entryHeaderLen
	n += copy(r.buf[n:], e.Payload)
	r.end += need
	clear(r.buf[n:r.end])
	r.count++
	r.next = e.LSN + 1
	return nil
}

// flush writes the batch, which may be empty.
func (r *rebuilder) flush() error {
	head := batchHeader{length: int64(r.end), count: r.count, first: r.first, synced: r.first - 1 - LSN(r.gap), offset: r.off, gap: r.gap}
	r.sums.sealEntries(r.buf[:r.end], r.seed, r.first)
	head.encode(r.buf, r.seed)
	size := head.padded()
	clear(r.buf[r.end:size])
	if _, err := r.file.WriteAt(r.buf[:size], r.off); err != nil {
		return err
	}
	r.off += size
	r.end, r.count, r.gap = batchHeaderLen, 0, 0
	r.first = r.next
	return nil
}

// finish writes what is left, the gap up to last, and the proof.
func (r *rebuilder) finish(last LSN) error {
	if r.count > 0 {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.gap = uint64(max(last+1, r.next) - r.next)
	r.next += LSN(r.gap)
	r.first = r.next
	return r.flush()
}

// rebuild writes the valid entries of s from offset off on that are in want into a new
// file called name, and returns it as a survey would. Content is durable, the name is
// not yet. If the device is full the ballast is given up for it.
func (j *Journal) rebuild(s *surveyed, off int64, want lsnRange, head segmentHeader, name string) (*surveyed, error) {
	fresh, err := j.tryRebuild(s, off, want, head, name)
	if err != nil && j.makeSpace(err) {
		fresh, err = j.tryRebuild(s, off, want, head, name)
	}
	return fresh, err
}

func (j *Journal) tryRebuild(s *surveyed, off int64, want lsnRange, head segmentHeader, name string) (*surveyed, error) {
	tmp := name + tmpSuffix
	if err := j.fs.Remove(j.path(tmp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	in, err := j.fs.Open(j.path(s.name))
	if err != nil {
		return nil, err
	}
	defer closeRead(in)
	out, err := j.fs.Create(j.path(tmp))
	if err != nil {
		return nil, err
	}
	head.salt = randomUint64()
	r := &rebuilder{file: out, seed: saltSeed(head.salt), buf: make([]byte, j.sizes.batch), off: blockBytes, end: batchHeaderLen, first: want.from, next: want.from}
	err = copyEntries(r, newScanner(in, s.head.salt, off, s.limit), want)
	if err == nil {
		head.sealed, head.created = r.off, j.now().UnixMilli()
		err = sealRebuilt(out, head)
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = j.fs.Rename(j.path(tmp), j.path(name))
	}
	if err != nil {
		_ = j.fs.Remove(j.path(tmp)) // give the space back
		return nil, fmt.Errorf("rewrite entries %d to %d into %s: %w", want.from, want.to, filepath.Base(name), err)
	}
	return &surveyed{
		name: name, first: head.first, size: r.off, head: head, limit: r.off, end: r.off, last: want.to, marks: marks{list: s.marks.list},
	}, nil
}

func copyEntries(r *rebuilder, sc *scanner, want lsnRange) error {
	var w walker
	for {
		b, ok, err := sc.next()
		if err != nil {
			return err
		}
		if !ok {
			return r.finish(want.to)
		}
		w.reset(b.bytes, b.head, sc.seed, false)
		for e, ok := w.next(); ok; e, ok = w.next() {
			if e.LSN < r.next || e.LSN > want.to {
				continue
			}
			if err := r.add(e); err != nil {
				return err
			}
		}
	}
}

// sealRebuilt writes the header last and syncs the whole file.
func sealRebuilt(f vfs.File, head segmentHeader) error {
	var block [blockBytes]byte
	head.encode(block[:])
	if _, err := f.WriteAt(block[:], 0); err != nil {
		return err
	}
	return f.Sync()
}
