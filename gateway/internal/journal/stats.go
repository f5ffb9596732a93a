package journal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// Stats is the state of a journal at one moment; the fields may be some microseconds
// apart. Appended >= Synced >= Settled.
type Stats struct {
	Appended LSN // last entry taken
	Synced   LSN // all up to here are durable
	Settled  LSN // all up to here are settled

	Bytes      int64 // segment files on disk, spares included
	LimitBytes int64 // the budget
	Segments   int   // without spares

	// Begun says that a batch finds a segment: the active one, or a spare. After Open that takes
	// as long as the device needs for a segment of zeros, or until there is room for one.
	Begun bool

	Entries           int64     // appended and not settled
	Unsynced          int64     // appended and not synced
	OldestUndelivered time.Time // when the oldest of them came, early by up to a second or so; zero: there is none

	Corruptions []Corruption // found since Open, at most 64
	Err         error        // why the device takes no writes at present; nil: it does
}

// Stats may be called from any goroutine; it takes a lock that appenders do not take.
func (j *Journal) Stats() Stats {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	s := Stats{
		Settled: LSN(j.settled.Load()), Synced: LSN(j.synced.Load()), Appended: LSN(j.appended.Load()),
		Bytes: j.segBytes + j.spareBytes, LimitBytes: j.maxBytes, Segments: len(j.segs), Begun: j.begun(),
		Corruptions: append([]Corruption(nil), j.corruptions...), Err: j.spaceErr,
	}
	j.missing = slices.DeleteFunc(j.missing, func(r lsnRange) bool { return r.to <= s.Settled })
	s.Entries = undelivered(s.Settled, s.Appended, j.missing)
	s.Unsynced = undelivered(s.Synced, s.Appended, j.missing)
	if s.Entries > 0 {
		s.OldestUndelivered = j.oldest(s.Settled + 1)
	}
	if err := j.writeErr.Load(); err != nil {
		s.Err = *err
	}
	return s
}

// oldest is about when the entry came.
func (j *Journal) oldest(lsn LSN) time.Time {
	milli := j.marks.at(lsn)
	if milli == 0 { // only in memory yet
		j.mu.Lock()
		defer j.mu.Unlock()
		if milli = j.cur.began; j.cur.count == 0 {
			milli = j.now().UnixMilli()
		}
	}
	return time.UnixMilli(milli)
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// growth follows how fast the unsettled part of the journal grows. Owned by the keeper,
// but for seconds.
type growth struct {
	last    int64
	at      time.Time
	perSec  float64
	seconds atomic.Uint64 // float64 bits: until the budget is used up at this rate
}

// tick is called about ten times a second and averages over half a minute.
func (g *growth) tick(j *Journal) {
	now := time.Now()
	dt := now.Sub(g.at).Seconds()
	if !g.at.IsZero() && dt < 1 {
		return
	}
	j.segMu.Lock()
	used, limit := j.usedBytes(), j.maxBytes
	j.segMu.Unlock()
	if !g.at.IsZero() {
		weight := 1 - math.Exp(-dt/30)
		g.perSec += weight * (float64(used-g.last)/dt - g.perSec)
	}
	g.last, g.at = used, now
	seconds := math.Inf(1)
	if g.perSec > 1 {
		seconds = float64(max(0, limit-used)) / g.perSec
	}
	g.seconds.Store(math.Float64bits(seconds))
}

// usedBytes is what cannot be had for new entries: whole unsettled segments, and of the
// active one what is written. Called with segMu held.
func (j *Journal) usedBytes() int64 {
	used := j.busyBytes()
	if a := j.active; a != nil {
		used -= a.size - a.end.Load()
	}
	return used
}

func lockError(err error) error {
	if errors.Is(err, vfs.ErrLocked) {
		return ErrLocked
	}
	return fmt.Errorf("lock: %w", err)
}

func zapLSN(key string, lsn LSN) zap.Field { return zap.Uint64(key, uint64(lsn)) }

func zapError(err error) zap.Field { return zap.Error(err) }

func zapName(name string) zap.Field { return zap.String("name", name) }

func zapDuration(key string, d time.Duration) zap.Field { return zap.Duration(key, d) }

func zapSegment(s *segment) []zap.Field {
	return []zap.Field{zapName(s.name), zapLSN("first", s.first), zap.Int64("bytes", s.size), zapLSN("previous_last", s.prev.last), zap.Int64("previous_sealed", s.prev.bytes)}
}
