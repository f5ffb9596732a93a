package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// segment is a segment file as the running journal knows it.
type segment struct {
	name   string // in the directory
	first  LSN
	salt   uint64
	size   int64         // of the file; guarded by Journal.segMu
	end    atomic.Int64  // bytes that count: synced, or sealed by recovery
	last   atomic.Uint64 // LSN of the last entry that counts, first-1 when there is none
	pins   atomic.Int32  // readers that stand in it; it is not freed under them
	prev   seal          // what its header says of the one before
	file   vfs.File      // for writing; owned by the committer, nil when it is not active
	broken bool          // poisoned: never written again, nor recycled; guarded by segMu

	settledAt time.Time // when the durable checkpoint passed it; owned by the keeper
}

// seal is what a header says of the segment before: which one, and how much of it counts.
type seal struct {
	first LSN // 0: there was none
	last  LSN
	bytes int64
}

// spare is a file of one segment's length, written once and waiting for its use.
type spare struct {
	name string
	size int64
}

func segmentName(first LSN) string { return fmt.Sprintf("%016x%s", uint64(first), segmentSuffix) }

// parseSegmentName returns the first LSN that a file name says; false for other files.
func parseSegmentName(name, suffix string) (LSN, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return LSN(n), err == nil && n != 0 && segmentName(LSN(n)) == hex+segmentSuffix
}

// activate makes the active segment out of a spare, for a batch that begins at first.
// When it returns nil, header and name are durable (J1). On error the spare is given up
// and the directory may hold an empty segment of that name, which the next try replaces.
// Called by the committer only.
func (j *Journal) activate(first LSN) error {
	sp, err := j.takeSpare()
	if err != nil {
		return err
	}
	s := &segment{name: segmentName(first), first: first, salt: randomUint64(), size: sp.size, prev: j.sealed()}
	s.end.Store(blockBytes)
	s.last.Store(uint64(first) - 1)
	if err := j.writeHeader(s, sp); err != nil {
		j.abandonSpare(sp)
		return fmt.Errorf("activate %s from %s: %w", s.name, sp.name, err)
	}
	j.install(s)
	j.log.Debug("segment activated", zapSegment(s)...)
	return nil
}

// writeHeader does the steps of activation in their order: header, sync, name, sync.
func (j *Journal) writeHeader(s *segment, sp spare) (err error) {
	f, err := j.fs.OpenWrite(j.path(sp.name))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	h := segmentHeader{
		version: formatVersion, id: j.id, first: s.first, salt: s.salt, created: j.now().UnixMilli(),
		prevFirst: s.prev.first, prevLast: s.prev.last, prevSealed: s.prev.bytes,
	}
	var block [blockBytes]byte
	h.encode(block[:])
	if _, err = f.WriteAt(block[:], 0); err != nil {
		return err
	}
	if err = f.Fdatasync(); err != nil {
		return err
	}
	if err = j.fs.Rename(j.path(sp.name), j.path(s.name)); err != nil {
		return err
	}
	if err = j.fs.SyncDir(j.dir); err != nil {
		return err
	}
	s.file = f
	return nil
}

// abandonSpare forgets a spare whose activation failed: its file may be poisoned. When it
// has its segment's name already, the next activation, for the same batch, replaces it.
// A failure to remove it only costs space until the next Open.
func (j *Journal) abandonSpare(sp spare) {
	if err := j.fs.Remove(j.path(sp.name)); err != nil {
		j.log.Debug("spare not removed", zapError(err), zapName(sp.name))
	}
	j.segMu.Lock()
	defer j.segMu.Unlock()
	j.spareBytes -= sp.size
	j.updateRoom()
}

// sealed says how much of the present active segment counts, for the next one's header.
func (j *Journal) sealed() seal {
	a := j.active
	switch {
	case a == nil:
		return j.before
	case a.end.Load() == blockBytes:
		return a.prev // nothing in it: the next one takes its place in the chain, and its name
	}
	return seal{first: a.first, last: LSN(a.last.Load()), bytes: a.end.Load()}
}

// install makes s the active segment.
func (j *Journal) install(s *segment) {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	old := j.active
	if old != nil {
		if old.file != nil {
			_ = old.file.Close() // everything that counts in it was synced
			old.file = nil
		}
		if old.name == s.name { // an empty one that was poisoned: the rename replaced it
			j.segs = j.segs[:len(j.segs)-1]
			j.segBytes -= old.size
		}
	}
	j.segs = append(j.segs, s)
	j.spareBytes -= s.size
	j.segBytes += s.size
	j.active = s
	j.updateRoom()
	j.kickUpkeep()
}

// poison gives the active segment up after a failed write or sync (J6). What was synced
// in it stays readable. The handle is closed, so nothing can write to it again.
func (j *Journal) poison() {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	a := j.active
	a.broken = true
	if a.file != nil {
		_ = a.file.Close() // its error says nothing that the first one did not
		a.file = nil
	}
	j.updateRoom()
}

// takeSpare waits for a spare of the current size. Errors: why none can be made.
func (j *Journal) takeSpare() (spare, error) {
	for {
		j.segMu.Lock()
		if n := len(j.spares); n > 0 {
			sp := j.spares[n-1]
			j.spares = j.spares[:n-1]
			j.hungry = false
			j.segMu.Unlock()
			return sp, nil
		}
		err := j.spaceErr
		j.hungry = true
		j.segMu.Unlock()
		j.kickUpkeep()
		if err != nil {
			return spare{}, err
		}
		select {
		case <-j.spareReady:
		case <-j.giveUp:
			return spare{}, ErrClosed
		}
	}
}

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }
