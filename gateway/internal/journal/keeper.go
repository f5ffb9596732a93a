package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"
)

const (
	keepEvery       = 100 * time.Millisecond // retirement, retries
	probeEvery      = time.Second            // tries to make a file on a device that had no space
	maxSpares       = 4                      // kept of what was retired
	zeroChunk       = 512 << 10              // written and synced at a time, so that the batches in between wait little
	zeroPause       = 2 * time.Millisecond   // between chunks while nobody waits for the spare
	zeroBurst       = 16 * zeroChunk         // synced at a time while no batch can be written before
	keptCorruptions = 64                     // in Stats
)

// keeper retires segments and makes spares and the ballast. All of it is owned by its
// goroutine.
type keeper struct {
	triedAt time.Time // when a spare was last made, or could not be
	rate    growth
	complaint
}

// complaint is the last error of a background goroutine: it is logged once, until it changes
// or a turn of the goroutine's loop goes well.
type complaint struct {
	last string
	said bool // in this turn
}

func (c *complaint) complain(j *Journal, err error) {
	c.said = true
	if err.Error() == c.last {
		return
	}
	c.last = err.Error()
	j.metrics.writeErrors.Inc()
	j.log.Error("journal upkeep failed, will be tried again", zap.Error(err))
}

// endTurn forgets the error when the turn had none.
func (c *complaint) endTurn() {
	if !c.said {
		c.last = ""
	}
	c.said = false
}

// kickUpkeep wakes keeper and checkpointer: space that the keeper is to free may wait for
// a checkpoint.
func (j *Journal) kickUpkeep() {
	kick(j.kickCheckpoint)
	kick(j.kick)
}

// kick wakes who receives from c, which has room for one; it does not wait.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it was told already
	}
}

// keepLoop is the keeper's goroutine.
func (j *Journal) keepLoop() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		j.retire()
		j.makeSpares()
		j.keeper.endTurn()
		select {
		case <-j.stopUpkeep:
			return
		case <-j.kick:
		case <-tick.C:
			j.keeper.rate.tick(j)
		}
	}
}

// pressed reports whether space is needed that only retirement can give.
func (j *Journal) pressed() bool {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	total := j.segBytes + j.spareBytes
	return total > j.maxBytes || j.spaceErr != nil || len(j.spares) == 0 && total+j.sizes.segment > j.maxBytes
}

// retire frees settled segments from the front, when their time is over or their space
// is needed. Only what the durable checkpoint covers is touched (J10).
func (j *Journal) retire() {
	for {
		pressed := j.pressed()
		s, recycle := j.nextRetired(pressed)
		if s == nil {
			return
		}
		if err := j.free(s, recycle); err != nil {
			j.keeper.complain(j, fmt.Errorf("free segment %s: %w", s.name, err))
			return
		}
		j.marks.forget(LSN(s.last.Load()))
	}
}

// nextRetired finds the oldest segment when it may go, and brings the count of what
// could go up to date.
func (j *Journal) nextRetired(pressed bool) (s *segment, recycle bool) {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	j.freeable = 0
	durable := j.checkpoints.durable.Load()
	now := j.now()
	for _, g := range j.segs {
		if g == j.segs[len(j.segs)-1] || g.last.Load() > durable {
			break
		}
		j.freeable += g.size
		if g.settledAt.IsZero() {
			g.settledAt = now
		}
	}
	j.updateRoom()
	if j.freeable == 0 || j.opt.KeepSettled {
		return nil, false
	}
	s = j.segs[0]
	if s.pins.Load() > 0 || !pressed && now.Sub(s.settledAt) < j.opt.Retain {
		return nil, false
	}
	recycle = s.size == j.sizes.segment && !s.broken && len(j.spares) < maxSpares && j.segBytes+j.spareBytes <= j.maxBytes
	return s, recycle
}

// free takes a segment off the list and its file away: header zeroed and synced, then a
// new name as a spare, then the directory synced, one segment at a time, so that the
// ones that are left are always without a hole. A file of another length, or poisoned,
// is removed instead.
func (j *Journal) free(s *segment, recycle bool) error {
	j.segMu.Lock()
	if s.pins.Load() > 0 { // a reader came in between
		j.segMu.Unlock()
		return nil
	}
	j.segs = j.segs[1:]
	j.segBytes -= s.size
	j.freeable -= s.size
	j.segMu.Unlock()
	err := j.freeFile(s, recycle)
	j.segMu.Lock()
	defer j.segMu.Unlock()
	switch {
	case err != nil: // still there: try again, but never as a spare
		s.broken = true
		j.segs = append([]*segment{s}, j.segs...)
		j.segBytes += s.size
		j.freeable += s.size
	case recycle:
		j.spares = append(j.spares, spare{name: spareName(s), size: s.size})
		j.spareBytes += s.size
		if errors.Is(j.spaceErr, errBudgetUsed) {
			j.spaceErr = nil
		}
		j.tellSpare()
	}
	j.updateRoom()
	return err
}

func spareName(s *segment) string { return fmt.Sprintf("%016x%s", uint64(s.first), spareSuffix) }

func (j *Journal) freeFile(s *segment, recycle bool) error {
	if recycle {
		if err := j.zeroHeader(s); err != nil {
			return err
		}
		if err := j.fs.Rename(j.path(s.name), j.path(spareName(s))); err != nil {
			return err
		}
	} else if err := j.fs.Remove(j.path(s.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return j.fs.SyncDir(j.dir)
}

func (j *Journal) zeroHeader(s *segment) error {
	f, err := j.fs.OpenWrite(j.path(s.name))
	if err != nil {
		return err
	}
	var zero [blockBytes]byte
	if _, err = f.WriteAt(zero[:], 0); err == nil {
		err = f.Fdatasync()
	}
	return errors.Join(err, f.Close())
}

func (j *Journal) tellSpare() { kick(j.spareReady) }
