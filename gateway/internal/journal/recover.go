package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// recoverDir acts on the survey: it finishes what a crash interrupted, sets corrupt
// segments aside, rewrites what is valid and not proven, and fills in the journal's
// state. Every step leaves a directory that the next recovery understands, and nothing
// is written before the survey found everything readable (J12).
func (j *Journal) recoverDir(v *survey) error {
	if err := j.tidy(v); err != nil {
		return err
	}
	found := j.now()
	for i := range v.corrupt {
		v.corrupt[i].Found = found
		j.log.Error("journal corruption", zap.Stringer("corruption", v.corrupt[i]))
	}
	kept := v.segs[:0:0]
	for i, s := range v.segs {
		replaced, err := j.recoverSegment(v, i, s)
		if err != nil {
			return fmt.Errorf("recover segment %s: %w", s.name, err)
		}
		kept = append(kept, replaced...)
	}
	return j.adopt(v, kept)
}

// tidy finishes or removes what an interrupted run left, and makes the names durable that the
// survey found: it may have ended between a rename and the sync of the directory, and a
// later segment's header that names one which a power loss takes back would be a false
// alarm (J5).
func (j *Journal) tidy(v *survey) error {
	for _, name := range v.litter {
		if err := j.fs.Remove(j.path(name)); err != nil {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	for _, s := range v.segs {
		if !strings.HasSuffix(s.name, repairedSuffix) {
			continue
		}
		if err := j.fs.Rename(j.path(s.name), j.path(segmentName(s.first))); err != nil {
			return fmt.Errorf("finish repair: %w", err)
		}
		s.name = segmentName(s.first)
	}
	for i := range v.spares {
		size, err := fileSize(j.fs, j.path(v.spares[i].name))
		if err != nil {
			return err
		}
		v.spares[i].size = size
	}
	if err := j.fs.SyncDir(j.dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", j.dir, err)
	}
	return nil
}

func fileSize(fsys FS, path string) (int64, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	size, err := f.Size()
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("size of %s: %w", path, err)
	}
	return size, nil
}

// recoverSegment brings one segment into order and returns what stands in its place.
func (j *Journal) recoverSegment(v *survey, i int, s *surveyed) ([]*surveyed, error) {
	last := i == len(v.segs)-1
	switch {
	case s.bad != nil && s.retired:
		return nil, j.removeSynced(s.name)
	case s.bad != nil:
		return nil, j.setAside(s.name)
	case s.repair:
		return j.repair(s)
	case s.rewrite.from != 0 && last:
		return j.rewriteTail(s)
	case !last && s.size > roundUp(s.limit):
		// The bytes past the sealed length are dead; give them back.
		return []*surveyed{s}, j.truncate(s)
	}
	return []*surveyed{s}, nil
}

func (j *Journal) removeSynced(name string) error {
	if err := j.fs.Remove(j.path(name)); err != nil {
		return err
	}
	return j.fs.SyncDir(j.dir)
}

// setAside gives a segment a name under which nothing reads or removes it.
func (j *Journal) setAside(name string) error {
	base := strings.TrimSuffix(name, segmentSuffix)
	for n := 0; ; n++ {
		to := base + corruptSuffix
		if n > 0 {
			to = fmt.Sprintf("%s.%d%s", base, n, corruptSuffix)
		}
		f, err := j.fs.Open(j.path(to))
		if err == nil {
			_ = f.Close() // only asked whether it exists
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		j.log.Warn("segment set aside", zapName(name), zap.String("as", j.path(to)))
		if err := j.fs.Rename(j.path(name), j.path(to)); err != nil {
			return err
		}
		return j.fs.SyncDir(j.dir)
	}
}

// repair sets a damaged segment aside and puts a copy of its good entries in its place.
// The copy is durable before the original loses its name.
func (j *Journal) repair(s *surveyed) ([]*surveyed, error) {
	repaired := strings.TrimSuffix(s.name, segmentSuffix) + repairedSuffix
	head := s.head
	head.sealed = 1 // replaced by the length when it is known
	fresh, err := j.rebuild(s, blockBytes, s.rewrite, head, repaired)
	if err != nil {
		return nil, err
	}
	if err := j.fs.SyncDir(j.dir); err != nil {
		return nil, err
	}
	if err := j.setAside(s.name); err != nil {
		return nil, err
	}
	if err := j.fs.Rename(j.path(repaired), j.path(s.name)); err != nil {
		return nil, err
	}
	fresh.name = s.name
	return []*surveyed{fresh}, j.fs.SyncDir(j.dir)
}

// rewriteTail copies the entries above proven into a segment of their own, synced before
// its name exists: what is read through the page cache proves nothing (rule 4, J4, J7).
func (j *Journal) rewriteTail(s *surveyed) ([]*surveyed, error) {
	off, first, lastBefore, err := j.findTail(s)
	if err != nil {
		return nil, err
	}
	head := s.head
	if first != s.first {
		head.first = first
		head.prevFirst, head.prevLast, head.prevSealed = s.first, lastBefore, off
	}
	fresh, err := j.rebuild(s, off, lsnRange{first, s.last}, head, segmentName(first))
	if err != nil {
		return nil, err
	}
	if err := j.fs.SyncDir(j.dir); err != nil {
		return nil, err
	}
	if first == s.first {
		return []*surveyed{fresh}, nil
	}
	s.last, s.end, s.limit = lastBefore, off, off
	return []*surveyed{s, fresh}, j.truncate(s)
}

// findTail finds the first batch that holds an entry to be rewritten.
func (j *Journal) findTail(s *surveyed) (off int64, first, lastBefore LSN, err error) {
	f, err := j.fs.Open(j.path(s.name))
	if err != nil {
		return 0, 0, 0, err
	}
	defer closeRead(f)
	sc := newScanner(f, s.head.salt, blockBytes, s.limit)
	for lastBefore = s.first - 1; ; {
		b, ok, err := sc.next()
		if err != nil {
			return 0, 0, 0, err
		}
		if !ok {
			return 0, 0, 0, fmt.Errorf("entry %d was there a moment ago", s.rewrite.from)
		}
		if b.head.count > 0 && b.head.last() >= s.rewrite.from {
			return b.head.offset, b.head.first, lastBefore, nil
		}
		lastBefore = b.head.last()
	}
}

// truncate gives back the dead bytes of a sealed segment. It is done once, by the
// recovery that seals it, and not for segments of this run.
func (j *Journal) truncate(s *surveyed) error {
	f, err := j.fs.OpenWrite(j.path(s.name))
	if err != nil {
		return err
	}
	size := roundUp(s.limit)
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("truncate to %d bytes: %w", size, err)
	}
	s.size = size
	return nil
}

// adopt takes over the segments that recovery left.
func (j *Journal) adopt(v *survey, segs []*surveyed) error {
	for _, s := range segs {
		g := &segment{name: s.name, first: s.first, salt: s.head.salt, size: s.size, prev: seal{s.head.prevFirst, s.head.prevLast, s.head.prevSealed}}
		g.end.Store(s.end)
		g.last.Store(uint64(s.last))
		j.segs = append(j.segs, g)
		j.segBytes += s.size
		j.marks.join(&s.marks)
		j.before = seal{s.first, s.last, s.end}
	}
	// What lies behind the last entry is one range, up to the first new LSN.
	j.missing = slices.DeleteFunc(v.missing, func(r lsnRange) bool { return r.from > v.last })
	j.corruptions = v.corrupt
	j.restored = v.ckpt
	next := LSN(1)
	if v.next > 1 || !v.fresh {
		next = v.next + lsnJump // J15: whatever was in memory when the last run ended
		j.missing = append(j.missing, lsnRange{v.last + 1, next - 1})
	}
	j.cur.first = next
	j.appended.Store(uint64(next - 1))
	j.synced.Store(uint64(v.last))
	j.settled.Store(uint64(v.ckpt.settled))
	return j.adoptSpares(v)
}

// adoptSpares keeps the spares that fit and removes the rest.
func (j *Journal) adoptSpares(v *survey) error {
	for _, sp := range v.spares {
		if sp.size == j.sizes.segment && j.segBytes+j.spareBytes+sp.size <= j.maxBytes && len(j.spares) < maxSpares {
			j.spares = append(j.spares, sp)
			j.spareBytes += sp.size
			continue
		}
		if err := j.fs.Remove(j.path(sp.name)); err != nil {
			return fmt.Errorf("remove spare: %w", err)
		}
	}
	return nil
}

// makeSpace frees what a recovery may use up when the device is full: the ballast.
func (j *Journal) makeSpace(cause error) bool {
	if !errors.Is(cause, syscall.ENOSPC) && !errors.Is(cause, syscall.EDQUOT) {
		return false
	}
	if err := j.fs.Remove(filepath.Join(j.dir, ballastName)); err != nil {
		return false
	}
	j.ballast.Store(false)
	return true
}

// logRecovered says what Open found.
func (j *Journal) logRecovered(v *survey, took time.Duration) {
	j.log.Info("journal opened", zap.String("dir", j.dir), zap.String("id", fmt.Sprintf("%016x", j.id)),
		zap.Int("segments", len(j.segs)), zap.Int64("bytes", j.segBytes), zap.Int64("budget", j.maxBytes),
		zapLSN("settled", v.ckpt.settled), zapLSN("last", v.last), zapLSN("next", j.cur.first),
		zap.Bool("checkpoint", v.haveCkpt), zap.Int("corruptions", len(v.corrupt)), zap.Duration("took", took))
}
