package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// lookAgain bounds how often a command looks at a directory in which a live gateway
// moves files under its eyes.
const lookAgain = 20

// SegmentReport is one segment file as Stat sees it.
type SegmentReport struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	First   LSN       `json:"first"` // of the first entry that may be in it
	Last    LSN       `json:"last"`  // below First: none
	Entries int64     `json:"entries"`
	Bytes   int64     `json:"bytes"` // of the file
	Used    int64     `json:"used"`  // up to the last valid batch
	Problem string    `json:"problem,omitempty"`
}

// StatReport is what a journal's directory holds.
type StatReport struct {
	Dir         string          `json:"dir"`        // absolute
	ID          string          `json:"id"`         // hexadecimal
	Checkpoint  bool            `json:"checkpoint"` // false: missing or unreadable, everything is delivered again
	Settled     LSN             `json:"settled"`
	Cursors     []Cursor        `json:"cursors"`
	Last        LSN             `json:"last"`    // last entry that a recovery would return
	Proven      LSN             `json:"proven"`  // known to be durable without reading the log's end
	Entries     int64           `json:"entries"` // above Settled
	Bytes       int64           `json:"bytes"`   // of segment files and spares
	Budget      int64           `json:"default_budget"`
	Spares      int             `json:"spares"`
	Segments    []SegmentReport `json:"segments"`
	SetAside    []string        `json:"set_aside"` // *.corrupt files
	Corruptions []Corruption    `json:"corruptions"`
}

// VerifyReport is the result of reading every entry of a journal.
type VerifyReport struct {
	Dir         string       `json:"dir"`
	ID          string       `json:"id"`
	Segments    int          `json:"segments"`
	Entries     int64        `json:"entries"`
	First       LSN          `json:"first"` // 0: no entry
	Last        LSN          `json:"last"`
	Corruptions []Corruption `json:"corruptions"`
	Recorded    []string     `json:"recorded"`  // losses that an earlier recovery recorded
	SetAside    []string     `json:"set_aside"` // *.corrupt files
}

// OK reports whether nothing is corrupt now. Losses of the past do not count.
func (r VerifyReport) OK() bool { return len(r.Corruptions) == 0 }

// Stat describes the journal in dir without changing or locking anything, beside a live
// gateway or a dead one. It reads what is not settled. Errors: ErrForeign when dir is no
// journal, ErrVersion, else I/O.
func Stat(dir string) (StatReport, error) { return statFS(vfs.OS(), dir) }

// Verify reads every entry, settled or not, and says where something is corrupt. Beside
// a live gateway it never raises a false alarm: what it reports it has seen twice at the
// same place. Errors as Stat.
func Verify(dir string) (VerifyReport, error) { return verifyFS(vfs.OS(), dir) }

// Dump yields the entries from LSN from on, in order, durable or only written, beside a
// live gateway or a dead one, up to where the log ends at the moment. The payload is
// valid during the call. An error of yield ends it and is returned. ErrCorrupt at the
// end: entries were skipped, Verify says which; else as Stat.
func Dump(dir string, from LSN, yield func(Entry) error) error {
	return dumpFS(vfs.OS(), dir, from, yield)
}

// DumpFS is Dump of a journal on another file system.
func DumpFS(fsys FS, dir string, from LSN, yield func(Entry) error) error {
	return dumpFS(fsys, dir, from, yield)
}

// inspect surveys a directory that somebody else may be changing.
func inspect(fsys FS, dir string, whole bool) (v *survey, ident identity, abs string, err error) {
	if abs, err = filepath.Abs(dir); err != nil {
		return nil, ident, dir, fmt.Errorf("absolute path of %s: %w", dir, err)
	}
	ident, found, err := loadIdentity(fsys, abs)
	if err != nil {
		return nil, ident, abs, err
	}
	if !found {
		return nil, ident, abs, fmt.Errorf("%s holds no journal: %w", abs, ErrForeign)
	}
	for range lookAgain {
		v, err = look(fsys, abs, ident.id, scanOptions{parallel: runtime.GOMAXPROCS(0), whole: whole})
		if !errors.Is(err, fs.ErrNotExist) {
			return v, ident, abs, err // else a file was renamed between listing and opening
		}
	}
	return nil, ident, abs, fmt.Errorf("read %s: the gateway frees segments faster than they are read: %w", abs, err)
}

func statFS(fsys FS, dir string) (StatReport, error) {
	v, ident, abs, err := inspect(fsys, dir, false)
	if err != nil {
		return StatReport{}, err
	}
	r := StatReport{
		Dir: abs, ID: fmt.Sprintf("%016x", ident.id), Checkpoint: v.haveCkpt, Settled: v.ckpt.settled, Cursors: v.ckpt.cursors,
		Last: v.last, Proven: v.proven, Budget: ident.budget, Spares: len(v.spares), SetAside: v.setAside, Corruptions: v.corrupt,
	}
	for _, sp := range v.spares {
		size, err := fileSize(fsys, filepath.Join(abs, sp.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
		r.Bytes += size
	}
	for _, s := range v.segs {
		g := SegmentReport{Name: s.name, Created: time.UnixMilli(s.head.created), First: s.first, Last: s.last, Entries: s.entries, Bytes: s.size, Used: s.end}
		if s.bad != nil {
			g.Problem = s.bad.Error()
		}
		if s.skipped {
			g.Entries = int64(s.last) - int64(s.first) + 1
		}
		r.Bytes += s.size
		r.Segments = append(r.Segments, g)
	}
	r.Entries = undelivered(v.ckpt.settled, v.last, v.missing)
	return r, nil
}

// undelivered counts the LSNs above settled, up to last, that have an entry.
func undelivered(settled, last LSN, missing []lsnRange) int64 {
	n := int64(last) - int64(settled)
	for _, m := range missing {
		if from, to := max(m.from, settled+1), min(m.to, last); from <= to {
			n -= int64(to-from) + 1
		}
	}
	return max(0, n)
}

func verifyFS(fsys FS, dir string) (VerifyReport, error) {
	var before []Corruption
	for try := 0; ; try++ {
		v, ident, abs, err := inspect(fsys, dir, true)
		if err != nil {
			return VerifyReport{}, err
		}
		same := slices.DeleteFunc(slices.Clone(v.corrupt), func(c Corruption) bool { return try > 0 && !slices.ContainsFunc(before, c.same) })
		if len(same) == 0 || try >= 2 {
			return v.report(abs, ident, same), nil
		}
		before = same // may be a write in progress: look again
	}
}

// same reports whether both are the same place. The end of what is lost may have moved.
func (c Corruption) same(d Corruption) bool {
	return c.Segment == d.Segment && c.Offset == d.Offset && c.From == d.From
}

func (v *survey) report(dir string, ident identity, corrupt []Corruption) VerifyReport {
	r := VerifyReport{Dir: dir, ID: fmt.Sprintf("%016x", ident.id), Segments: len(v.segs), Corruptions: corrupt, SetAside: v.setAside}
	for _, s := range v.segs {
		r.Entries += s.entries
		if s.entries > 0 {
			if r.First == 0 {
				r.First = s.first
			}
			r.Last = s.last
		}
		for _, k := range s.known {
			r.Recorded = append(r.Recorded, fmt.Sprintf("%s: entries %d to %d were lost before", s.name, k.from, k.to))
		}
	}
	return r
}

func dumpFS(fsys FS, dir string, from LSN, yield func(Entry) error) error {
	next := max(from, 1)
	for range lookAgain {
		v, _, abs, err := inspect(fsys, dir, true)
		if err != nil {
			return err
		}
		again := false
		for _, s := range v.segs {
			if s.bad != nil || s.last < next {
				continue
			}
			if next, again, err = s.dump(fsys, abs, next, yield); err != nil {
				return err
			}
			if again {
				break
			}
		}
		if !again {
			return dumpEnd(fsys, dir, v)
		}
	}
	return fmt.Errorf("dump %s from %d: the gateway frees segments faster than they are read", dir, next)
}

func dumpEnd(fsys FS, dir string, v *survey) error {
	if len(v.corrupt) == 0 {
		return nil
	}
	r, err := verifyFS(fsys, dir)
	if err != nil {
		return err
	}
	if r.OK() {
		return nil
	}
	texts := make([]string, len(r.Corruptions))
	for i, c := range r.Corruptions {
		texts[i] = c.String()
	}
	return fmt.Errorf("%s: %w", strings.Join(texts, "; "), ErrCorrupt)
}

// dump yields the entries of one segment. again: the file was freed or recycled while it
// was read, so that some may be missing; those that were yielded are good, because the
// checksum holds only with the salt that the file had.
func (s *surveyed) dump(fsys FS, dir string, next LSN, yield func(Entry) error) (_ LSN, again bool, err error) {
	f, err := fsys.Open(filepath.Join(dir, s.name))
	if errors.Is(err, fs.ErrNotExist) {
		return next, true, nil
	}
	if err != nil {
		return next, false, err
	}
	defer closeRead(f)
	sc := newScanner(f, s.head.salt, blockBytes, s.limit)
	var w walker
	for {
		b, ok, err := sc.next()
		if err != nil {
			return next, false, fmt.Errorf("segment %s: %w", s.name, err)
		}
		if !ok {
			break
		}
		w.reset(b.bytes, b.head, sc.seed, false)
		for e, ok := w.next(); ok; e, ok = w.next() {
			if e.LSN < next || e.LSN > s.last {
				continue
			}
			if err := yield(e); err != nil {
				return next, false, err
			}
			next = e.LSN + 1
		}
	}
	b, err := newScanner(f, 0, 0, blockBytes).view(0, blockBytes)
	if err != nil {
		return next, false, fmt.Errorf("segment %s: %w", s.name, err)
	}
	head, bad := decodeSegmentHeader(b)
	return next, bad != nil || head.salt != s.head.salt, nil
}
