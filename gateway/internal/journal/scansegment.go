package journal

import (
	"fmt"
	"path/filepath"
	"sync"
)

// scanOptions say how a survey reads.
type scanOptions struct {
	parallel int  // segments read at once
	whole    bool // also what is settled
}

// scan reads all segments that may hold unsettled entries, several at once.
func (v *survey) scan(fsys FS, dir string, o scanOptions) error {
	var wg sync.WaitGroup
	errs := make([]error, len(v.segs))
	slots := make(chan struct{}, max(1, o.parallel))
	for i, s := range v.segs {
		last, sealed := v.successor(i)
		if s.bad != nil {
			continue
		}
		if !o.whole && sealed && v.haveCkpt && last <= v.ckpt.settled {
			s.skipped, s.last, s.end = true, max(last, s.last), s.limit
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = s.scan(fsys, dir, sealed || s.head.sealed > 0)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("segment %s: %w", v.segs[i].name, err)
		}
	}
	return nil
}

// scan steps through all entries of the segment and notes what is damaged. sealed: the
// limit is known, so that nothing below it may be invalid.
func (s *surveyed) scan(fsys FS, dir string, sealed bool) error {
	f, err := fsys.Open(filepath.Join(dir, s.name))
	if err != nil {
		return err
	}
	defer closeRead(f)
	sc := newScanner(f, s.head.salt, blockBytes, s.limit)
	var w walker
	for expect := s.first; ; {
		b, ok, err := sc.next()
		if err != nil {
			return err
		}
		if !ok {
			if sealed && sc.off < s.limit {
				s.damages = append(s.damages, damage{lsnRange{expect, expect - 1}, sc.off, "no valid batch up to the sealed length"})
			}
			return nil
		}
		expect = s.batch(&w, b, sc.seed, expect)
		// A proof at the end of the log may be in the page cache only. It is not needed:
		// the next segment's header says the same, and must not seal what may vanish.
		if sealed || b.head.count > 0 || b.head.gap > 0 {
			s.end = sc.off
		}
	}
}

// batch checks one batch that was found and returns the LSN expected after it.
func (s *surveyed) batch(w *walker, b scanned, seed uint32, expect LSN) LSN {
	from := b.head.first - LSN(b.head.gap)
	off := b.head.offset
	if b.torn > 0 {
		off = b.torn
	}
	if b.torn > 0 || from != expect {
		s.damages = append(s.damages, damage{lsnRange{expect, from - 1}, off, "torn or invalid batch"})
	}
	if b.head.gap > 0 {
		s.known = append(s.known, lsnRange{from, b.head.first - 1})
	}
	s.synced = max(s.synced, b.head.synced)
	next := b.head.first
	w.reset(b.bytes, b.head, seed, false)
	for e, ok := w.next(); ok; e, ok = w.next() {
		if e.LSN != next {
			s.damages = append(s.damages, damage{lsnRange{next, e.LSN - 1}, b.head.offset, "invalid entry"})
		}
		if s.entries++; e.LSN == b.head.first {
			s.marks.add(e.LSN, e.Time.UnixMilli())
		}
		next = e.LSN + 1
	}
	if end := b.head.last() + 1; next != end {
		s.damages = append(s.damages, damage{lsnRange{next, end - 1}, b.head.offset, "invalid entry"})
		next = end
	}
	s.last = max(s.last, next-1)
	return max(expect, next)
}
