package journal

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Corruption is a part of the journal that cannot be read and should be.
type Corruption struct {
	Segment string    `json:"segment"` // file name
	Offset  int64     `json:"offset"`  // where it begins in the file
	From    LSN       `json:"from"`    // first LSN lost
	To      LSN       `json:"to"`      // last LSN lost; below From when no entry is known to be lost
	Settled bool      `json:"settled"` // all of them had been settled: nothing is missing downstream
	Detail  string    `json:"detail"`  // what is wrong
	Found   time.Time `json:"found"`   // when it was seen
}

// String is the corruption as a line for a person.
func (c Corruption) String() string {
	lost := fmt.Sprintf("entries %d to %d", c.From, c.To)
	if c.To < c.From {
		lost = "no entry known to be lost"
	}
	if c.Settled {
		lost += " (settled before)"
	}
	return fmt.Sprintf("%s at %d: %s: %s", c.Segment, c.Offset, c.Detail, lost)
}

// lsnRange is from..to, both included; empty when to < from.
type lsnRange struct{ from, to LSN }

// damage is a place where a scan found something else than it should.
type damage struct {
	lsnRange
	off    int64
	detail string
}

// survey is everything that can be learnt about a directory without changing it.
// Recovery acts on it; stat, dump and verify show it.
type survey struct {
	id       uint64
	fresh    bool // made by this Open
	ckpt     checkpoint
	slot     int  // of ckpt
	haveCkpt bool // false: missing or torn
	segs     []*surveyed
	repaired []string // *.repaired whose segment is missing: it takes that name
	spares   []spare
	litter   []string // unfinished files and leftovers
	ballast  bool
	setAside []string // *.corrupt
	proven   LSN
	last     LSN // of the last entry that counts
	next     LSN // the lowest LSN that no entry can have had, before the jump
	corrupt  []Corruption
	missing  []lsnRange // LSNs without an entry, between entries
}

// surveyed is one segment file.
type surveyed struct {
	name    string // on disk
	first   LSN    // as the name says
	size    int64
	head    segmentHeader
	bad     error // why the header cannot be used; nothing else is known then
	retired bool  // header zeroed by a retirement that did not finish
	limit   int64 // bytes that count, from the successor's header or its own
	skipped bool  // all settled: not scanned

	last    LSN // last entry that counts, first-1 when there is none
	end     int64
	entries int64
	synced  LSN // highest proof in it
	damages []damage
	known   []lsnRange // gaps that an earlier recovery recorded
	marks   marks
	rewrite lsnRange // valid entries above proven, or all when it is to be repaired
	repair  bool
}

// look surveys dir. Errors: I/O, ErrVersion, ErrForeign.
func look(fsys FS, dir string, id uint64, o scanOptions) (*survey, error) {
	v := &survey{id: id}
	var err error
	// The checkpoint comes first: what it says is then a lower bound for what is found.
	if v.ckpt, v.slot, v.haveCkpt, err = loadCheckpoint(fsys, dir, id); err != nil {
		return nil, err
	}
	if err := v.list(fsys, dir); err != nil {
		return nil, err
	}
	for _, s := range v.segs {
		if err := s.readHeader(fsys, dir, id); err != nil {
			return nil, err
		}
	}
	v.link()
	if err := v.scan(fsys, dir, o); err != nil {
		return nil, err
	}
	v.judge()
	v.chain()
	return v, nil
}

// list sorts the names of the directory into what they are.
func (v *survey) list(fsys FS, dir string) error {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	for _, name := range names {
		first, ok := parseSegmentName(name, segmentSuffix)
		replacement, isRepaired := parseSegmentName(name, repairedSuffix)
		switch {
		case ok:
			v.segs = append(v.segs, &surveyed{name: name, first: first})
		case isRepaired && slices.Contains(names, segmentName(replacement)):
			v.litter = append(v.litter, name) // its repair begins again
		case isRepaired:
			v.repaired = append(v.repaired, name)
			v.segs = append(v.segs, &surveyed{name: name, first: replacement})
		case strings.HasSuffix(name, spareSuffix):
			v.spares = append(v.spares, spare{name: name})
		case strings.HasSuffix(name, tmpSuffix):
			v.litter = append(v.litter, name)
		case strings.HasSuffix(name, corruptSuffix):
			v.setAside = append(v.setAside, name)
		case name == ballastName:
			v.ballast = true
		}
	}
	slices.SortFunc(v.segs, func(a, b *surveyed) int { return cmp.Compare(a.first, b.first) })
	return nil
}

// readHeader reads the segment's header. A bad one is noted; ErrVersion and ErrForeign
// are returned, because a directory with such a file is not ours to touch.
func (s *surveyed) readHeader(fsys FS, dir string, id uint64) error {
	f, err := fsys.Open(filepath.Join(dir, s.name))
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer closeRead(f)
	if s.size, err = f.Size(); err != nil {
		return fmt.Errorf("size of %s: %w", s.name, err)
	}
	sc := newScanner(f, 0, 0, blockBytes)
	b, err := sc.view(0, blockBytes)
	if err != nil {
		return fmt.Errorf("segment %s: %w", s.name, err)
	}
	s.head, s.bad = decodeSegmentHeader(b)
	switch {
	case errors.Is(s.bad, ErrVersion):
		return fmt.Errorf("%s: %w", s.name, s.bad)
	case s.bad != nil:
		s.retired = le.Uint64(b) == 0
	case s.head.id != id:
		return fmt.Errorf("%s is of journal %016x, this is %016x: %w", s.name, s.head.id, id, ErrForeign)
	case s.head.first != s.first:
		s.bad = errShape
	}
	s.last, s.end = s.first-1, blockBytes
	return nil
}

// link works out how many bytes of each segment count: rule 1 of the recovery list.
func (v *survey) link() {
	for i, s := range v.segs {
		s.limit = s.size
		if s.bad == nil && s.head.sealed > 0 {
			s.limit = s.head.sealed
			continue
		}
		if i+1 < len(v.segs) {
			if n := v.segs[i+1]; n.bad == nil && n.head.prevFirst == s.first {
				s.limit = n.head.prevSealed
			}
		}
	}
}

// successor is what the header of the next segment says of segment i: its last LSN.
// Not ok when there is none that can be read, or when one in between is missing.
func (v *survey) successor(i int) (prevLast LSN, ok bool) {
	if i+1 < len(v.segs) && v.segs[i+1].bad == nil && v.segs[i+1].head.prevFirst == v.segs[i].first {
		return v.segs[i+1].head.prevLast, true
	}
	return 0, false
}

// judge applies rules 2, 3 and the first half of 4: what is proven, which damage is
// corruption and which the legal end, and what must be rewritten.
func (v *survey) judge() {
	v.proven = max(v.ckpt.settled, v.ckpt.synced)
	for i, s := range v.segs {
		v.proven = max(v.proven, s.synced)
		if last, ok := v.successor(i); ok {
			v.proven = max(v.proven, last)
		}
	}
	for i, s := range v.segs {
		switch {
		case s.bad != nil:
			v.judgeHeader(i, s)
		case !s.skipped:
			v.judgeEntries(i, s)
		}
	}
}

// judgeHeader decides about a segment whose header is bad: an unfinished retirement of
// settled entries, or corruption.
func (v *survey) judgeHeader(i int, s *surveyed) {
	to, known := v.successor(i)
	if known && to <= v.ckpt.settled && v.haveCkpt {
		s.retired = true
		return
	}
	s.retired = false
	detail := "segment header: " + s.bad.Error()
	if !known {
		to = max(v.proven, s.bound())
		detail += ", nothing says how much there was, at most"
	}
	s.last = to
	v.note(s, damage{lsnRange{s.first, to}, 0, detail})
}

// bound is the highest LSN that can be in the segment, whatever it holds: no entry takes
// fewer bytes than a header.
func (s *surveyed) bound() LSN { return s.first + LSN(s.size/entryHeaderLen) }

// judgeEntries tells corruption from the legal end (J5) in one segment.
func (v *survey) judgeEntries(i int, s *surveyed) {
	proven := v.proven
	expect, sealed := v.successor(i)
	if sealed {
		proven = max(proven, expect)
	} else if i == len(v.segs)-1 {
		expect = v.proven
	}
	for n, d := range s.damages {
		if d.from > proven {
			// The legal end: a batch that was being written. What follows was never
			// acknowledged, so that recovery returns a prefix (J3).
			s.last, s.end, s.damages = d.from-1, min(s.end, d.off), s.damages[:n]
			break
		}
		v.note(s, d)
	}
	if s.last < expect && (sealed || i == len(v.segs)-1) {
		d := damage{lsnRange{s.last + 1, expect}, s.end, "entries that were durable are missing at the end"}
		s.damages = append(s.damages, d)
		v.note(s, d)
	}
	if s.repair = len(s.damages) > 0; s.repair {
		s.rewrite = lsnRange{s.first, max(s.last, min(expect, proven))}
	} else if s.head.sealed == 0 && s.last > proven && s.last >= s.first {
		s.rewrite = lsnRange{max(proven+1, s.first), s.last}
	}
}

// note reports corruption.
func (v *survey) note(s *surveyed, d damage) {
	v.corrupt = append(v.corrupt, Corruption{
		Segment: s.name, Offset: d.off, From: d.from, To: d.to, Detail: d.detail,
		Settled: v.haveCkpt && d.to <= v.ckpt.settled,
	})
	v.missing = append(v.missing, d.lsnRange)
}

// chain checks that the segments follow each other (J3) and finds the ends.
func (v *survey) chain() {
	last := LSN(0)
	v.next = max(v.proven+1, v.ckpt.next)
	for i, s := range v.segs {
		v.next = max(v.next, s.first, s.last+1)
		v.missing = append(v.missing, s.known...)
		if s.bad != nil {
			v.next = max(v.next, s.bound()+1)
			last = max(last, s.last)
			continue
		}
		if i == 0 {
			last = max(v.ckpt.settled, s.head.prevLast)
			if v.haveCkpt && s.head.prevLast > v.ckpt.settled {
				v.note(s, damage{lsnRange{v.ckpt.settled + 1, s.head.prevLast}, 0, "the segments before this one are missing"})
			}
		} else if from := last + 1; s.head.prevLast >= from && v.segs[i-1].first != s.head.prevFirst && s.head.prevLast > v.ckpt.settled {
			v.note(s, damage{lsnRange{from, s.head.prevLast}, 0, fmt.Sprintf("the segment before this one, %s, is missing", segmentName(s.head.prevFirst))})
		}
		v.missing = append(v.missing, lsnRange{max(last, s.head.prevLast) + 1, s.first - 1})
		if s.last >= s.first {
			last = max(last, s.last)
			v.last = last
		}
	}
	// Not what a bad header may have covered: that would count as durable, and as missing
	// from a good segment at the next start.
	v.last = max(v.last, v.ckpt.settled)
	if v.haveCkpt && len(v.segs) == 0 && max(v.ckpt.settled, v.ckpt.synced) > 0 {
		v.corrupt = append(v.corrupt, Corruption{From: 1, To: max(v.ckpt.settled, v.ckpt.synced), Settled: v.ckpt.settled >= v.ckpt.synced,
			Segment: checkpointName, Detail: "the checkpoint is ahead of the log: there are no segments"})
	}
	v.missing = slices.DeleteFunc(v.missing, func(r lsnRange) bool { return r.to < r.from })
}
