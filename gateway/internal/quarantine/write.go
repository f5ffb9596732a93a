package quarantine

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// pass writes what waits, evicts what that needs, and syncs. It returns the bytes written. Only
// Run and Admit call it.
func (s *Store) pass() (written int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count()
	b := s.waiting.take()
	if len(b) > 0 {
		written = s.write(b)
	}
	s.waiting.giveBack(b)
	s.syncSome()
	if len(s.unsynced) > 0 || s.renamed || s.waiting.large() {
		s.wake() // for the rest of the files; to let the memory of a flood go
	}
	return written
}

// write puts items into the segments of their parts.
func (s *Store) write(b []byte) (written int64) {
	items := make(map[int64][][]byte)
	var order []int64 // parts as they came
	for rest := b; len(rest) > 0; {
		r, err := cutItem(rest)
		if err != nil {
			panic("BUG: what waits is not items: " + err.Error())
		}
		rest = rest[len(r):]
		seal(r)
		part := int64(le.Uint64(r[offsetApp:]))
		if Reason(r[offsetReason]) == AppUnknown {
			part = unknownPart
		}
		if items[part] == nil {
			order = append(order, part)
		}
		items[part] = append(items[part], r)
	}
	if free, err := s.fs.Free(s.dir); err == nil && free < keepFree+int64(len(b)) {
		for _, part := range order {
			s.skip(items[part], skipDevice)
		}
		return 0
	}
	for _, part := range order {
		written += s.writePart(s.part(part), items[part])
	}
	return written
}

func (s *Store) skip(items [][]byte, why skip) {
	s.metrics.skipped[why].Add(float64(len(items)))
}

// writePart appends items to a part, in as many segments as they need.
func (s *Store) writePart(p *part, items [][]byte) (written int64) {
	for len(items) > 0 {
		g := p.open(s.segmentBytes(p))
		run, n := fitting(g, items, s.segmentBytes(p))
		need := n
		if g == nil {
			need += segmentHeaderLen
		}
		switch changed, ok := s.makeRoom(p, need); {
		case !ok:
			s.skip(items[:run], skipAll)
			items = items[run:]
			continue
		case changed:
			continue // g may be gone
		}
		if err := s.append(p, g, items[:run]); err != nil {
			s.complain("write to the part of "+partName(p.app), err)
			s.skip(items[:run], skipDevice)
		} else {
			written += need
			for _, r := range items[:run] {
				s.metrics.kept[r[offsetReason]].Inc()
			}
		}
		items = items[run:]
	}
	return written
}

// segmentBytes is where a segment of p ends: small parts have small segments, as they go by whole
// ones.
func (s *Store) segmentBytes(p *part) int64 {
	return min(max(minSegmentBytes, p.bytes/4), s.partBytes()/8, maxSegmentBytes)
}

// open returns the segment to which items of p go, nil: a new one.
func (p *part) open(limit int64) *segment {
	if len(p.segs) == 0 {
		return nil
	}
	g := p.segs[len(p.segs)-1]
	if g.closed || g.size >= limit {
		return nil
	}
	return g
}

// fitting returns how many of the items go into g, or into a new segment where it is nil: at
// least one, and no more than fill it.
func fitting(g *segment, items [][]byte, limit int64) (run int, n int64) {
	size := int64(segmentHeaderLen)
	if g != nil {
		size = g.size
	}
	for _, r := range items {
		if run > 0 && size+n+int64(len(r)) > limit {
			break
		}
		run++
		n += int64(len(r))
	}
	return run, n
}

// append writes items behind g with one write, or into a new segment of p where it is nil. After
// an error none of them counts, and the file is not written to any more.
func (s *Store) append(p *part, g *segment, items [][]byte) (err error) {
	fresh := g == nil
	s.gather = s.gather[:0]
	if fresh {
		g = &segment{app: p.app, number: p.next, name: segmentName(p.app, p.next)}
		s.gather = appendSegmentHeader(s.gather, p.app, g.number, s.now())
	}
	for _, r := range items {
		s.gather = append(s.gather, r...)
	}
	defer func() {
		if cap(s.gather) > maxIdleBuffer {
			s.gather = nil
		}
	}()
	open := s.fs.OpenWrite
	if fresh {
		open = s.fs.Create
		p.next++ // whatever becomes of it: nobody takes the name again
	}
	f, err := open(s.path(g.name))
	if err != nil {
		g.closed = true
		return err
	}
	if fresh {
		p.segs, s.renamed = append(p.segs, g), true
	}
	_, err = f.WriteAt(s.gather, g.size)
	if err = errors.Join(err, f.Close()); err != nil {
		g.closed = true
		if fresh {
			s.removeSegment(p, g)
		}
		return err
	}
	g.size += int64(len(s.gather))
	p.bytes += int64(len(s.gather))
	g.kept += int64(len(items))
	s.size.Add(int64(len(s.gather)))
	s.entries.Add(int64(len(items)))
	if !g.dirty {
		g.dirty = true
		s.unsynced = append(s.unsynced, g)
	}
	return nil
}

// syncSome makes names durable, and syncs the files that wait for it longest, once each Every.
func (s *Store) syncSome() {
	now := time.Now()
	if now.Sub(s.syncedAt) < s.opt.Every || len(s.unsynced) == 0 && !s.renamed {
		return
	}
	s.syncedAt = now
	s.syncNames()
	n := min(len(s.unsynced), syncsPerPass)
	for _, g := range s.unsynced[:n] {
		g.dirty = false
		if err := s.change(g, func(vfs.File) error { return nil }); err != nil {
			g.closed = true // nothing is known of what was written: it is not written to any more
			s.complain("sync "+g.name, err)
		}
	}
	s.unsynced = slices.Delete(s.unsynced, 0, n)
}

// change runs change on a segment's file and makes it durable.
func (s *Store) change(g *segment, change func(vfs.File) error) (err error) {
	f, err := s.fs.OpenWrite(s.path(g.name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := change(f); err != nil {
		return err
	}
	return f.Fdatasync()
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
