package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/cpu"
)

// Journal is an open journal. All its methods may be called from any goroutine, until Close.
// See the package documentation for what it promises.
//
// Locks, in the order in which they may be taken together: segMu, mu. Appenders take
// only mu, readers only segMu and the ring's lock.
type Journal struct {
	opt        Options
	fs         FS
	dir        string
	id         uint64
	now        func() time.Time
	log        *zap.Logger
	metrics    *metrics
	maxPayload int
	lock       io.Closer
	opened     time.Time

	fillBytes int // of a batch for whose sync nobody waits: it is left to fill no longer

	// What every append changes has lines of the processors' caches of its own: it wanders between
	// them, and what is only read must not wander with it. Two, as they are fetched in pairs.
	_        [2]cpu.CacheLinePad
	mu       sync.Mutex // the append critical section
	cur      *batch     // being filled
	room     room
	closed   bool
	appended atomic.Uint64 // LSN of the last entry taken
	idle     *batch        // the other one; nil while it is being written
	inflight int64         // padded bytes of the batch being written; 0: none
	queue    queue
	_        [2]cpu.CacheLinePad

	synced  atomic.Uint64 // all entries up to here are durable
	settled atomic.Uint64 // all entries up to here are settled

	// Owned by the committer.
	sums     checksummer
	written  batchHeader // of the batch being written
	before   seal        // of the segment before the first one of this run
	unproven bool        // the last batch has no proof yet

	flying      atomic.Pointer[round] // waiters of the batch being written
	writeErr    atomic.Pointer[error] // why nothing can be written; nil: it can
	ring        *ring
	settlements settlements
	syncTimes   syncTimes
	marks       marks
	subscribers atomic.Pointer[[]chan struct{}]

	segMu       sync.Mutex
	sizes       sizes
	maxBytes    int64
	segs        []*segment // by LSN; the active one is the last
	active      *segment   // written by the committer, under segMu
	segBytes    int64      // of segs
	freeable    int64      // of segs: settled, kept for replay only
	spares      []spare
	spareBytes  int64 // of spares, and of one that is being activated
	hungry      bool  // the committer waits for a spare
	spaceErr    error // why no spare could be made
	stuck       bool  // the committer cannot write
	missing     []lsnRange
	corruptions []Corruption

	checkpoints checkpointer
	keeper      keeper
	ballast     atomic.Bool // the file is there
	restored    checkpoint  // as found by Open

	wake           chan struct{} // capacity 1: the batch is no longer empty, has filled, is waited for, or Close began
	kick           chan struct{} // capacity 1: the keeper is needed now
	kickCheckpoint chan struct{} // capacity 1: the checkpointer is needed now
	spareReady     chan struct{} // capacity 1: a spare was made, or could not be
	giveUp         chan struct{} // closed when Close stops trying
	stopUpkeep     chan struct{} // closed when keeper and checkpointer are to end
	stopped        chan struct{}
	committer      sync.WaitGroup
	others         sync.WaitGroup
	telling        sync.WaitGroup // those who tell waiters; their last round ends with Close
	closeOnce      sync.Once
	closeErr       error
}

// Open locks the directory, recovers what is in it, and starts the journal; a missing
// directory is made. Everything that Reader returns afterwards is durable (J4). It logs
// the absolute path and what was recovered; corruption is in Stats.
//
// Errors, after each of which nothing is held: ErrLocked, ErrForeign, ErrVersion and
// ErrBudget (stop and tell the operator; nothing was modified), else I/O.
func Open(o Options) (*Journal, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("absolute path of %s: %w", o.Dir, err)
	}
	j := newJournal(o, dir)
	if err := j.open(); err != nil {
		if j.lock != nil {
			err = errors.Join(err, j.lock.Close())
		}
		return nil, fmt.Errorf("open journal %s: %w", dir, err)
	}
	j.start()
	return j, nil
}

func newJournal(o Options, dir string) *Journal {
	j := &Journal{
		opt: o, fs: o.FS, dir: dir, now: o.Now, log: o.Log, maxPayload: o.MaxPayload,
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), kickCheckpoint: make(chan struct{}, 1), spareReady: make(chan struct{}, 1),
		giveUp: make(chan struct{}), stopUpkeep: make(chan struct{}), stopped: make(chan struct{}),
	}
	j.settlements.waiters = map[LSN]*settleWaiter{}
	j.subscribers.Store(&[]chan struct{}{})
	j.metrics = newMetrics(j)
	return j
}

// open does everything up to the first goroutine.
func (j *Journal) open() error {
	began := time.Now()
	if _, _, err := loadIdentity(j.fs, j.dir); err != nil {
		return err // before the lock: a foreign directory gets no LOCK
	}
	if err := j.fs.MkdirAll(j.dir); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	var err error
	if j.lock, err = j.fs.Lock(j.path(lockName)); err != nil {
		return lockError(err)
	}
	ident, found, err := loadIdentity(j.fs, j.dir)
	if err != nil {
		return err
	}
	j.maxBytes = j.opt.MaxBytes
	if found && j.maxBytes == 0 {
		j.maxBytes = ident.budget
	}
	if !found {
		if ident, err = createIdentity(j.fs, j.dir); err != nil {
			return err
		}
		if j.maxBytes == 0 {
			j.maxBytes = ident.budget
		}
	}
	j.id = ident.id
	if j.sizes, err = sizesFor(&j.opt, j.maxBytes); err != nil {
		return err
	}
	return j.load(began, !found)
}

// load surveys and recovers the directory.
func (j *Journal) load(began time.Time, fresh bool) error {
	v, err := look(j.fs, j.dir, j.id, scanOptions{parallel: runtime.GOMAXPROCS(0)})
	if err != nil {
		return err
	}
	v.fresh = fresh
	j.cur, j.idle = newBatch(j.sizes.batch), newBatch(j.sizes.batch)
	j.cur.round = newRound(&j.telling)
	j.fillBytes = int(min(lingerBytes, j.sizes.batch/4))
	j.ring = newRing(2 * j.sizes.batch)
	j.opened = j.now()
	if err := j.recoverDir(v); err != nil {
		return err
	}
	j.ballast.Store(v.ballast)
	if err := j.checkpoints.open(j, v); err != nil {
		return err
	}
	if err := j.metrics.register(j.opt.Metrics); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	j.metrics.corruptions.Add(float64(len(v.corrupt)))
	j.logRecovered(v, time.Since(began))
	return nil
}

func (j *Journal) start() {
	j.segMu.Lock()
	j.updateRoom()
	j.segMu.Unlock()
	j.committer.Go(j.commitLoop)
	j.others.Go(j.checkpointLoop)
	j.others.Go(j.keepLoop)
	j.others.Go(j.watch)
}

// ID is the journal's id: 64 random bits, made once with the directory (J16).
func (j *Journal) ID() uint64 { return j.id }

// Restored returns what the checkpoint said at Open: entries up to settled, and those up
// to each lane's cursor, need not be delivered again. The slice is the caller's to read.
func (j *Journal) Restored() (settled LSN, cursors []Cursor) {
	return j.restored.settled, j.restored.cursors
}

// Subscribe returns a channel that receives after the synced watermark moved; moves that
// come faster than they are received are one. It is never closed and lasts as long as
// the journal: subscribe once for each loop, not for each wait.
func (j *Journal) Subscribe() <-chan struct{} {
	c := make(chan struct{}, 1)
	j.segMu.Lock()
	defer j.segMu.Unlock()
	list := append(slices.Clone(*j.subscribers.Load()), c) // a copy: the committer reads the old one
	j.subscribers.Store(&list)
	return c
}

// LeastBytes is the smallest budget that this journal works with, see MinBytes.
func (j *Journal) LeastBytes() int64 { return MinBytes(j.maxPayload) }

// SetMaxBytes changes the budget, from the next Append on and until Close. Less than what is in use refuses new entries until
// enough was freed; less than MinBytes is taken as MinBytes.
func (j *Journal) SetMaxBytes(n int64) {
	j.segMu.Lock()
	defer j.segMu.Unlock()
	j.maxBytes = max(n, MinBytes(j.maxPayload))
	if s, err := sizesFor(&j.opt, j.maxBytes); err == nil {
		// Batches keep their size, so segments stay large enough for one.
		j.sizes.segment = max(s.segment, blockBytes+j.sizes.batch)
	}
	j.updateRoom()
	j.kickUpkeep()
}

// Close refuses new entries, writes and syncs what was taken, proves it, writes the last
// checkpoint, and releases the directory (J13, J14). Waiters that cannot be served get
// ErrNotConfirmed. On a device that takes nothing it gives up after Options.AckDeadline.
// It returns the first error of any of that; a second call returns the same.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() { j.closeErr = j.close() })
	return j.closeErr
}

func (j *Journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.refuseQueued()
	j.mu.Unlock()
	kick(j.wake)
	patience := time.AfterFunc(j.opt.AckDeadline, func() { close(j.giveUp) })
	j.committer.Wait()
	patience.Stop()
	errs := []error{j.unwritten()}
	close(j.stopUpkeep)
	close(j.stopped)
	j.others.Wait()
	errs = append(errs, j.checkpoints.close(j))
	j.settlements.close()
	j.cur.round.resolveAll(roundLate)
	j.telling.Wait()
	if a := j.active; a != nil && a.file != nil {
		errs = append(errs, a.file.Close())
	}
	j.metrics.unregister(j.opt.Metrics)
	err := errors.Join(append(errs, j.lock.Close())...)
	j.log.Info("journal closed", zapLSN("synced", LSN(j.synced.Load())), zapLSN("settled", LSN(j.settled.Load())), zap.Error(err))
	if err != nil {
		return fmt.Errorf("close journal %s: %w", j.dir, err)
	}
	return nil
}

// unwritten is the error about entries that Close could not save.
func (j *Journal) unwritten() error {
	synced, appended := j.synced.Load(), j.appended.Load()
	if j.cur.first+LSN(j.cur.count)-1 != LSN(appended) {
		panic("BUG: appended watermark is not at the end of the batch")
	}
	if j.cur.count == 0 && j.inflight == 0 {
		return nil
	}
	err := errGivenUp
	if w := j.writeErr.Load(); w != nil {
		err = fmt.Errorf("%w: %w", errGivenUp, *w)
	}
	return fmt.Errorf("entries above LSN %d up to %d: %w", synced, appended, err)
}
