package journal

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	checkpointEvery = 100 * time.Millisecond // between two writes, at most when there is something new
	checkpointSync  = time.Second            // from a write to its sync, at most
)

// checkpointer writes what Checkpoint says. It has a goroutine of its own, and a file that
// never grows: making a spare waits for the file system's own journal, with everybody's data
// in it, often for longer than a second on a busy device, and what was settled meanwhile
// would be delivered again after a crash.
type checkpointer struct {
	wanted checkpoint // guarded by Journal.segMu: what Checkpoint said last
	dirty  bool       // guarded by Journal.segMu: wanted was not written yet

	durable atomic.Uint64 // settled watermark of the last synced checkpoint: what J10 goes by

	// Owned by the goroutine.
	file     *checkpointFile
	broken   bool // the file is poisoned: the next write makes a new one
	unsynced bool
	syncedAt time.Time
	complaint
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
	w := &j.checkpoints.wanted
	w.settled = settled
	w.cursors = append(w.cursors[:0:0], cursors...)
	j.checkpoints.dirty = true
}

// open takes the checkpoint file over, before the goroutine runs, and makes durable where
// this run's LSNs begin (J15).
func (k *checkpointer) open(j *Journal, v *survey) (err error) {
	k.wanted = v.ckpt
	k.wanted.next = j.cur.first
	k.file, err = openCheckpoint(j.fs, j.dir, j.id, v.ckpt, v.slot)
	if err != nil && j.makeSpace(err) {
		k.file, err = openCheckpoint(j.fs, j.dir, j.id, v.ckpt, v.slot)
	}
	if err != nil {
		return err
	}
	k.durable.Store(uint64(k.file.synced))
	k.dirty = true
	return k.checkpoint(j, true)
}

// checkpointLoop is the checkpointer's goroutine.
func (j *Journal) checkpointLoop() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	k := &j.checkpoints
	for {
		if err := k.checkpoint(j, false); err != nil {
			k.complain(j, err)
		}
		k.endTurn()
		select {
		case <-j.stopUpkeep:
			return
		case <-j.kickCheckpoint:
		case <-tick.C:
		}
	}
}

// close writes the last checkpoint after the goroutine ended.
func (k *checkpointer) close(j *Journal) error {
	return errors.Join(k.checkpoint(j, true), k.file.file.Close())
}

// checkpoint writes what is wanted, and syncs it when it is time or now is set.
func (k *checkpointer) checkpoint(j *Journal, now bool) error {
	j.segMu.Lock()
	want, dirty := k.wanted, k.dirty
	want.synced = LSN(j.synced.Load())
	j.segMu.Unlock()
	if now && !dirty && !k.unsynced && want.synced == k.file.watermark {
		return nil
	}
	if dirty || now || k.broken { // broken: what it held may be gone, and a second sync would not say so (J7)
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
	k.synced(j)
	return nil
}

// synced lets go what the file's content settles, now that it is durable.
func (k *checkpointer) synced(j *Journal) {
	k.unsynced = false
	k.durable.Store(uint64(k.file.synced))
	kick(j.kick)
}

// write puts a checkpoint down, in a new file when the old one is poisoned, and gives up
// the ballast for it when the device is full (J8).
func (k *checkpointer) write(j *Journal, c checkpoint) error {
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
		err = k.replace(j, c)
	}
	return err
}

// replace makes a new checkpoint file that holds c, in one durable step.
func (k *checkpointer) replace(j *Journal, c checkpoint) error {
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
	k.file, k.broken = f, false
	k.synced(j)
	return nil
}

// tight reports whether more than half of the budget waits for a checkpoint to be durable.
func (j *Journal) tight() bool {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	return j.busyBytes() > j.maxBytes/2 || j.spaceErr != nil
}
