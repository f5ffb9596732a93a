package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	keepEvery       = 100 * time.Millisecond // checkpoint writes, retirement, retries
	checkpointSync  = time.Second            // at most, after a write
	probeEvery      = time.Second            // tries to make a file on a device that had no space
	maxSpares       = 4                      // kept of what was retired
	zeroChunk       = 512 << 10              // written and synced at a time, so that the batches in between wait little
	zeroPause       = 2 * time.Millisecond   // between chunks while nobody waits for the spare
	keptCorruptions = 64                     // in Stats
)

// keeper is what the background goroutine owns: checkpoint, retirement and spares.
type keeper struct {
	wanted   checkpoint // under Journal.segMu: what Checkpoint said last
	dirty    bool       // under Journal.segMu: wanted was not written yet
	file     *checkpointFile
	broken   bool // the file is poisoned: the next write makes a new one
	unsynced bool
	syncedAt time.Time
	lookedAt time.Time // when a checkpoint was last made or found unneeded
	lastErr  string
	ballast  bool      // the file is there
	triedAt  time.Time // when a spare was last made, or could not be
	zeros    []byte
	rate     growth
}

// open takes the checkpoint file over, before the goroutine runs, and makes durable where
// this run's LSNs begin (J15).
func (k *keeper) open(j *Journal, v *survey) (err error) {
	k.wanted = v.ckpt
	k.wanted.next = j.cur.first
	k.ballast = v.ballast
	k.file, err = openCheckpoint(j.fs, j.dir, j.id, v.ckpt, v.slot)
	if err != nil && j.makeSpace(err) {
		k.ballast = false
		k.file, err = openCheckpoint(j.fs, j.dir, j.id, v.ckpt, v.slot)
	}
	if err != nil {
		return err
	}
	k.dirty = true
	return k.checkpoint(j, true)
}

// Checkpoint says that all entries up to settled are settled, and for each lane up to
// where; both are kept together. It returns at once. The checkpoint is written within
// 100 ms and durable within about a second, so what a crash forgets is delivered again,
// not lost. Entries up to settled may be freed once that is durable (J10). settled
// never goes back, nor beyond the synced watermark. cursors is copied.
func (j *Journal) Checkpoint(settled LSN, cursors []Cursor) {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	settled = max(min(settled, LSN(j.synced.Load())), LSN(j.settled.Load()))
	j.settled.Store(uint64(settled))
	w := &j.keeper.wanted
	w.settled = settled
	w.cursors = append(w.cursors[:0:0], cursors...)
	j.keeper.dirty = true
}

func (j *Journal) kickKeeper() {
	select {
	case j.kick <- struct{}{}:
	default: // it was told already
	}
}

// keepLoop is the background goroutine.
func (j *Journal) keepLoop() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		j.keep()
		select {
		case <-j.stopKeeper:
			return
		case <-j.kick:
		case <-tick.C:
			j.keeper.rate.tick(j)
		}
	}
}

func (j *Journal) keep() {
	j.keeper.checkpointAndSay(j)
	j.retire()
	j.makeSpares()
}

// checkpointAndSay makes a checkpoint when there is something new, and logs an error once.
func (k *keeper) checkpointAndSay(j *Journal) {
	k.lookedAt = time.Now()
	if err := k.checkpoint(j, false); err != nil {
		k.complain(j, err)
	} else {
		k.lastErr = ""
	}
}

// checkpointInTime is for work that may take longer than a turn of keepLoop.
func (k *keeper) checkpointInTime(j *Journal) {
	if time.Since(k.lookedAt) >= keepEvery {
		k.checkpointAndSay(j)
	}
}

// complain logs an error once, until it changes or ends.
func (k *keeper) complain(j *Journal, err error) {
	if err.Error() == k.lastErr {
		return
	}
	k.lastErr = err.Error()
	j.metrics.writeErrors.Inc()
	j.log.Error("journal upkeep failed, will be tried again", zap.Error(err))
}

// close writes the last checkpoint after the goroutine ended.
func (k *keeper) close(j *Journal) error {
	return errors.Join(k.checkpoint(j, true), k.file.file.Close())
}

// checkpoint writes what is wanted, and syncs it when it is time or now is set.
func (k *keeper) checkpoint(j *Journal, now bool) error {
	j.segMu.Lock()
	want, dirty := k.wanted, k.dirty
	want.synced = LSN(j.synced.Load())
	j.segMu.Unlock()
	if now && !dirty && !k.unsynced && want.synced == k.file.watermark {
		return nil
	}
	if dirty || now {
		if err := k.write(j, want); err != nil {
			return err
		}
		j.segMu.Lock()
		k.dirty = k.wanted.settled != want.settled || !slices.Equal(k.wanted.cursors, want.cursors)
		j.segMu.Unlock()
		if !k.unsynced {
			k.unsynced, k.syncedAt = true, time.Now()
		}
	}
	if !k.unsynced || !now && time.Since(k.syncedAt) < checkpointSync && !j.tight() {
		return nil
	}
	if err := k.file.sync(); err != nil {
		k.broken = true
		return err
	}
	k.unsynced = false
	return nil
}

// write puts a checkpoint down, in a new file when the old one is poisoned, and gives up
// the ballast for it when the device is full (J8).
func (k *keeper) write(j *Journal, c checkpoint) error {
	if !k.broken {
		err := k.file.write(c)
		if err == nil {
			if k.file.lost > 0 {
				j.log.Warn("checkpoint has no room for all lanes, the rest is delivered again after a crash", zap.Int("left_out", k.file.lost))
			}
			return nil
		}
		k.broken = true
		k.complain(j, err)
	}
	err := k.replace(j, c)
	if err != nil && j.makeSpace(err) {
		k.ballast = false
		err = k.replace(j, c)
	}
	return err
}

// replace makes a new checkpoint file that holds c, in one durable step.
func (k *keeper) replace(j *Journal, c checkpoint) error {
	b := make([]byte, 2*slotBytes)
	c.seq = k.file.seq + 1
	c.encode(b, j.id)
	if err := writeWhole(j.fs, j.dir, checkpointName, b); err != nil {
		return fmt.Errorf("new checkpoint file: %w", err)
	}
	f, err := openCheckpoint(j.fs, j.dir, j.id, c, 0)
	if err != nil {
		return err
	}
	_ = k.file.file.Close() // poisoned
	k.file, k.broken, k.unsynced = f, false, false
	return nil
}

// pressed reports whether space is needed that only retirement can give.
func (j *Journal) pressed() bool {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	total := j.segBytes + j.spareBytes
	return total > j.maxBytes || j.spaceErr != nil || len(j.spares) == 0 && total+j.sizes.segment > j.maxBytes
}

// tight reports whether more than half of the budget waits for a checkpoint to be durable.
func (j *Journal) tight() bool {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	return j.busyBytes() > j.maxBytes/2 || j.spaceErr != nil
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
	durable := uint64(j.keeper.file.synced)
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
	if j.freeable == 0 {
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

func (j *Journal) tellSpare() {
	select {
	case j.spareReady <- struct{}{}:
	default:
	}
}
