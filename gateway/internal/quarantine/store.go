package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

const (
	// DefaultEvery is how often what was written is synced.
	DefaultEvery = time.Second

	partShare      = 16       // a part takes at most this part of MaxBytes
	maxPending     = 16 << 20 // bytes that wait in memory
	maxPartPending = 2 << 20  // bytes of one part that wait
	sparePending   = 8 << 20  // bytes beyond maxPending, for parts of which little waits
	littlePending  = 8 << 10  // bytes of one part that are little
	bytesPerEvery  = 4 << 20  // written in the long run, in each Every
	passesPerSync  = 4        // what waits is written so much more often
	keepFree       = 64 << 20 // nothing is written while the device has less than this
	syncsPerPass   = 16       // files that are synced each time
)

// Options are what Open needs. Dir and MaxBytes have no default.
type Options struct {
	Dir      string                // made when missing
	MaxBytes int64                 // of all files; at least MinBytes of what is to be kept
	Every    time.Duration         // how often what was written is synced; 0: DefaultEvery
	FS       vfs.FS                // nil: the real one
	Log      *zap.Logger           // nil: none
	Metrics  prometheus.Registerer // nil: none
	Now      func() time.Time      // nil: time.Now
}

// MinBytes is the smallest MaxBytes at which callbacks of so many bytes, body and all, are kept.
func MinBytes(callback int) int64 {
	const rest = 64 // of an item: the source's address and four lengths, rounded up
	return partShare * int64(segmentHeaderLen+itemHeaderLen+fixedLen+rest+callback)
}

// Store is a quarantine. Its methods may be called from any goroutine.
type Store struct {
	opt     Options
	fs      vfs.FS
	dir     string
	now     func() time.Time
	log     *zap.Logger
	metrics *metrics
	lock    io.Closer
	done    chan struct{} // closed when Close begins
	kick    chan struct{} // something waits

	entries atomic.Int64 // kept in files
	size    atomic.Int64 // bytes of files

	waiting pending // what Offer took and no pass has written

	admitting sync.Mutex // held by the one Admit that runs

	mu         sync.Mutex // guards the rest; held for a pass, and for a batch of an admit
	parts      map[int64]*part
	unsynced   []*segment // oldest first
	syncedAt   time.Time  // when some of them were synced last
	gather     []byte     // what is written at once
	renamed    bool       // names in the directory are not synced
	counted    bool       // what was in the directory at Open is counted
	unfinished *batch     // of an admit, whose marks are not durable
	complaint  string     // the last error that was logged
	complained time.Time  // when
}

// Open opens the quarantine in o.Dir, which it makes where it is missing. It reads the headers of
// what is there; Run counts the rest. ErrLocked, ErrForeign, ErrVersion, else I/O: nothing was
// changed but for a LOCK. The caller calls Run, and Close after it.
func Open(o Options) (*Store, error) {
	complete(&o)
	s := &Store{
		opt: o, fs: o.FS, now: o.Now, log: o.Log, parts: make(map[int64]*part),
		done: make(chan struct{}), kick: make(chan struct{}, 1), waiting: pending{share: make(map[int64]int)},
	}
	var err error
	if s.dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("absolute path of %s: %w", o.Dir, err)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open quarantine %s: %w", s.dir, err)
	}
	s.metrics = newMetrics(o.Metrics, s)
	return s, nil
}

func complete(o *Options) {
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (s *Store) open() (err error) {
	if _, err := listSegments(s.fs, s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // before anything is made
	}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	if s.lock, err = s.fs.Lock(s.path(lockName)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return ErrLocked
		}
		return err
	}
	defer func() {
		if err != nil {
			s.lock.Close()
		}
	}()
	names, err := listSegments(s.fs, s.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := s.adopt(n); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	if s.unfinished, err = s.readUnfinished(); err != nil {
		return err
	}
	if err := s.fs.Remove(s.path(admittingName + tmpSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Run writes what Offer takes until ctx ends, and then what is left. It returns nil: what goes
// wrong is logged and counted, and callbacks that are not kept are no reason to stop.
func (s *Store) Run(ctx context.Context) error {
	s.mu.Lock()
	s.count()
	s.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			s.waiting.close()
			s.pass()
			return nil
		case <-s.kick:
		}
		written := s.pass()
		// In the long run no more than bytesPerEvery, however much waits.
		pause := max(s.opt.Every/passesPerSync, time.Duration(float64(s.opt.Every)*float64(written)/bytesPerEvery))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Close ends an Admit that runs, syncs nothing, and lets the directory go. Run has returned.
func (s *Store) Close() error {
	close(s.done)
	s.admitting.Lock() // Admit returns soon
	defer s.admitting.Unlock()
	s.waiting.close()
	return s.lock.Close()
}

// Stats is the state of a quarantine.
type Stats struct {
	Entries    int64 // callbacks that are kept
	Bytes      int64 // of files
	LimitBytes int64
}

// Stats takes no lock.
func (s *Store) Stats() Stats {
	return Stats{Entries: s.entries.Load(), Bytes: s.size.Load(), LimitBytes: s.opt.MaxBytes}
}

// complain counts an error, and logs it unless the last one was the same and is not a minute old.
// Called with mu held.
func (s *Store) complain(what string, err error) {
	s.metrics.errors.Inc()
	text, now := what+err.Error(), s.now()
	if text != s.complaint || now.Sub(s.complained) >= time.Minute {
		s.complaint, s.complained = text, now
		s.log.Error("quarantine: refused callbacks may not be kept", zap.String("failed", what), zap.Error(err))
	}
}
