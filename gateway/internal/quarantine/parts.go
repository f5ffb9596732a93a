package quarantine

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// Names in a quarantine's directory, beside segments.
const (
	lockName      = "LOCK"
	admittingName = "admitting"
	tmpSuffix     = ".tmp"
)

const (
	// minSegmentBytes is where a segment of a small part ends.
	minSegmentBytes = 64 << 10

	// maxSegmentBytes is where any segment ends: segments are read whole, by an admit once for
	// each batch.
	maxSegmentBytes = 8 << 20
)

// part is what is kept of one app, or of all unknown ones. Guarded by Store.mu, as its segments.
type part struct {
	app   int64
	segs  []*segment // oldest first
	bytes int64      // of segs
	next  uint64     // number of the next segment
}

// segment is one file.
type segment struct {
	app    int64
	number uint64
	name   string
	size   int64 // of the file: where the next item goes
	kept   int64 // items that are not removed
	closed bool  // nothing is appended any more
	dirty  bool  // in Store.unsynced
}

// segmentFile is a segment's name, parsed.
type segmentFile struct {
	name   string
	app    int64
	number uint64
}

// listSegments returns the segments in dir, each part's in order. ErrForeign: there are other
// files too. fs.ErrNotExist: there is no such directory.
func listSegments(fsys vfs.FS, dir string) (list []segmentFile, err error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		app, number, ok := parseSegmentName(name)
		switch {
		case ok:
			list = append(list, segmentFile{name, app, number})
		case name == lockName, name == "lost+found", strings.TrimSuffix(name, tmpSuffix) == admittingName:
		default:
			return nil, fmt.Errorf("it has a file %s: %w", name, ErrForeign)
		}
	}
	slices.SortFunc(list, func(a, b segmentFile) int {
		if a.app != b.app {
			return int(min(max(a.app-b.app, -1), 1))
		}
		return int(min(max(int64(a.number-b.number), -1), 1)) //nolint:gosec // wraps as it should
	})
	return list, nil
}

// readSegment reads a file from offset on, up to end bytes of it; end 0: all of it.
func readSegment(fsys vfs.FS, path string, offset, end int64) (b []byte, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if end == 0 {
		if end, err = f.Size(); err != nil {
			return nil, err
		}
	}
	if offset >= end {
		return nil, nil
	}
	b = make([]byte, end-offset)
	n, err := f.ReadAt(b, offset)
	if n < len(b) && err == nil || n == len(b) {
		return b[:n], nil
	}
	return b[:n], ignoreEOF(err)
}

// adopt takes a segment of an earlier run into its part. Only ErrVersion and I/O are errors: what
// was never written whole has no items, and goes with its part's oldest.
func (s *Store) adopt(n segmentFile) error {
	size, err := fileSize(s.fs, s.path(n.name))
	if err != nil {
		return err
	}
	head, err := readSegment(s.fs, s.path(n.name), 0, min(size, 4096))
	if err != nil {
		return err
	}
	if err := checkSegmentHeader(head, n.app, n.number); errors.Is(err, ErrVersion) {
		return err
	}
	p := s.part(n.app)
	p.next = n.number + 1
	p.add(&segment{app: n.app, number: n.number, name: n.name, size: size, closed: true})
	s.size.Add(size)
	return nil
}

func fileSize(fsys vfs.FS, path string) (int64, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	return size, errors.Join(err, f.Close())
}

func (p *part) add(g *segment) {
	p.segs = append(p.segs, g)
	p.bytes += g.size
}

// part returns a part, which it makes where there is none.
func (s *Store) part(app int64) *part {
	p := s.parts[app]
	if p == nil {
		p = &part{app: app, next: 1}
		s.parts[app] = p
	}
	return p
}

// count reads what an earlier run left, and brings it within the limits. Called with mu held,
// before anything else is done with the parts.
func (s *Store) count() {
	if s.counted {
		return
	}
	s.counted = true
	for _, p := range s.parts {
		for _, g := range p.segs {
			s.countSegment(g)
		}
	}
	for _, p := range s.parts {
		s.makeRoom(p, 0)
	}
	s.syncNames()
}

func (s *Store) countSegment(g *segment) {
	b, err := readSegment(s.fs, s.path(g.name), 0, 0)
	if err != nil {
		s.complain("count "+g.name, err)
		return
	}
	err = eachItem(b, g.app, g.number, func(r *item) error {
		if !r.removed {
			g.kept++
		}
		return nil
	})
	s.entries.Add(g.kept)
	if err != nil {
		s.log.Warn("quarantine: the end of a segment cannot be read; a crash leaves that behind, or the disk gave back other bytes",
			zap.String("name", g.name), zap.Int64("kept", g.kept), zap.Error(err))
	}
}

// eachItem reads all items of a segment, removed ones too, until each returns an error. The
// views in them live as long as b. ErrCorrupt: the rest cannot be read.
func eachItem(b []byte, app int64, number uint64, each func(*item) error) error {
	if err := checkSegmentHeader(b, app, number); err != nil {
		return err
	}
	return eachItemFrom(b, segmentHeaderLen, each)
}

// eachItemFrom is eachItem for a segment's bytes b without a header, of which the items
// begin at offset in b.
func eachItemFrom(b []byte, offset int, each func(*item) error) error {
	var r item
	for offset < len(b) {
		if err := decodeItem(b[offset:], int64(offset), &r); err != nil {
			return fmt.Errorf("at %d: %w", offset, err)
		}
		offset += r.size
		if err := each(&r); err != nil {
			return err
		}
	}
	return nil
}

// partBytes is the limit of a part.
func (s *Store) partBytes() int64 { return s.opt.MaxBytes / partShare }

// makeRoom evicts until n bytes more in p are within both limits (Q2). changed: p lost segments.
// ok is false when all that is left to evict is what the n bytes stand for. The caller calls
// syncNames.
func (s *Store) makeRoom(p *part, n int64) (changed, ok bool) {
	for p.bytes+n > s.partBytes() && len(p.segs) > 0 {
		if !s.evict(p) {
			return changed, false
		}
		changed = true
	}
	for s.size.Load()+n > s.opt.MaxBytes {
		largest, most := p, p.bytes+n
		for _, other := range s.parts {
			if other != p && other.bytes > most {
				largest, most = other, other.bytes
			}
		}
		if len(largest.segs) == 0 || !s.evict(largest) {
			return changed, false
		}
		changed = changed || largest == p
	}
	return changed, p.bytes+n <= s.partBytes()
}

// evict removes the oldest segment of a part.
func (s *Store) evict(p *part) bool {
	g := p.segs[0]
	if !s.removeSegment(p, g) {
		return false
	}
	s.metrics.evicted.Add(float64(g.kept))
	return true
}

// removeSegment removes a segment's file and forgets it. false: the device does not let it go.
func (s *Store) removeSegment(p *part, g *segment) bool {
	if err := s.fs.Remove(s.path(g.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.complain("remove "+g.name, err)
		return false
	}
	p.segs = slices.DeleteFunc(p.segs, func(other *segment) bool { return other == g })
	p.bytes -= g.size
	s.size.Add(-g.size)
	s.entries.Add(-g.kept)
	s.unsynced = slices.DeleteFunc(s.unsynced, func(other *segment) bool { return other == g })
	s.renamed = true
	return true
}

// syncNames makes new and removed names durable.
func (s *Store) syncNames() {
	if !s.renamed {
		return
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		s.complain("sync the directory", err)
		return
	}
	s.renamed = false
}
