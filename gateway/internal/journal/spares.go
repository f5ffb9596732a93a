package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// errBudgetUsed is why no spare is made although the device may have room.
var errBudgetUsed = errors.New("the budget is used up")

// makeSpares keeps one spare ready, and the ballast. After a failure it tries to make one
// more, even when retirement gave some, to see whether the device takes new files again.
// The result, good or bad, is told to a committer that waits.
func (j *Journal) makeSpares() {
	j.segMu.Lock()
	failing := j.spaceErr != nil && !errors.Is(j.spaceErr, errBudgetUsed)
	due := time.Since(j.keeper.triedAt) >= probeEvery // a full device is not written to and freed all the time
	need := len(j.spares) == 0 && !failing || failing && len(j.spares) < maxSpares && due
	size, allowed := j.sizes.segment, j.segBytes+j.spareBytes+j.sizes.segment <= j.maxBytes
	hungry := j.hungry
	j.segMu.Unlock()
	if !need {
		j.keeper.makeBallast(j)
		return
	}
	sp, err := spare{}, errBudgetUsed
	j.keeper.triedAt = time.Now()
	if allowed {
		sp, err = j.makeSpare(size)
	}
	j.segMu.Lock()
	defer j.segMu.Unlock()
	switch {
	case err == nil:
		j.spares = append(j.spares, sp)
		j.spareBytes += sp.size
		j.spaceErr = nil
	case errors.Is(err, errStopping):
	case errors.Is(err, errBudgetUsed):
		// Not the device's fault: Append's arithmetic knows the budget. A committer comes
		// here only when a pinned or failing segment could not be freed.
		j.spaceErr = nil
		if hungry {
			j.spaceErr = err
		}
	default:
		if j.spaceErr == nil {
			j.keeper.complain(j, fmt.Errorf("make a spare segment of %d bytes: %w", size, err))
		}
		j.spaceErr = err
	}
	j.tellSpare()
	j.updateRoom()
}

// errStopping ends the making of a spare at Close.
var errStopping = errors.New("journal is closing")

// makeSpare writes a file full of zeros and syncs it: with pauses, so that it hardly delays the
// batches that are synced meanwhile, or as quickly as it can where these wait for it.
func (j *Journal) makeSpare(size int64) (spare, error) {
	name := fmt.Sprintf("%016x%s", randomUint64(), spareSuffix)
	tmp := name + tmpSuffix
	f, err := j.fs.Create(j.path(tmp))
	if err != nil {
		return spare{}, err
	}
	if err = errors.Join(j.fillZeros(f, size, true), f.Close()); err == nil {
		err = j.fs.Rename(j.path(tmp), j.path(name))
	}
	if err != nil {
		_ = j.fs.Remove(j.path(tmp)) // give the space back; Open removes it otherwise
		return spare{}, err
	}
	return spare{name: name, size: size}, nil
}

// zeros are only read: no memory of the process's own.
var zeros [zeroChunk]byte

// fillZeros writes and syncs size zeros: a chunk at a time, as batches are synced beside it, or,
// while none can be written before there is a spare, a burst of chunks at a time. gentle: with
// pauses, but in a burst.
func (j *Journal) fillZeros(f vfs.File, size int64, gentle bool) error {
	var unsynced int64
	for off := int64(0); off < size; off += zeroChunk {
		n := min(zeroChunk, size-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		unsynced += n
		last, awaited := off+n == size, j.spareAwaited()
		if awaited && !last && unsynced < zeroBurst {
			continue
		}
		if err := f.Fdatasync(); err != nil {
			return err
		}
		unsynced = 0
		pause := zeroPause
		if awaited {
			pause = 0
		}
		if gentle && !last && !j.rest(pause) {
			return errStopping
		}
	}
	return nil
}

// spareAwaited reports whether no batch can be written before there is a spare.
func (j *Journal) spareAwaited() bool {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	return j.hungry || !j.begun()
}

// begun reports whether a batch finds a segment, see Stats. segMu is held.
func (j *Journal) begun() bool { return j.active != nil || len(j.spares) > 0 }

// rest pauses between two chunks. False: Close began.
func (j *Journal) rest(pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-j.stopUpkeep:
		return false
	case <-t.C:
		return true
	}
}

// makeBallast makes the file whose removal keeps a full device usable for the checkpoint
// and for what recovery rewrites.
func (k *keeper) makeBallast(j *Journal) {
	if j.ballast.Load() {
		return
	}
	size := j.sizes.batch + 4*slotBytes
	if free, err := j.fs.Free(j.dir); err != nil || free < 2*size {
		return // full right now: it would be taken away again
	}
	f, err := j.fs.Create(j.path(ballastName + tmpSuffix))
	if err != nil {
		return
	}
	if err = errors.Join(j.fillZeros(f, size, false), f.Close()); err == nil {
		j.ballast.Store(true) // before it is: makeSpace may take it away at once
		err = j.fs.Rename(j.path(ballastName+tmpSuffix), j.path(ballastName))
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		j.ballast.Store(false)
		_ = j.fs.Remove(j.path(ballastName + tmpSuffix)) // the next try makes it anew
		k.complain(j, fmt.Errorf("make the ballast: %w", err))
	}
}
