package reload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// interval is the time between two looks at a file.
const interval = time.Second

// wholeTries bounds how often a file is read because it, or another file of its value, changed
// meanwhile. What changes for ever is read as it is found, and again at the next looks.
const wholeTries = 3

// hashedAtOnce is how much of a file is hashed in one step, of some microseconds.
const hashedAtOnce = 8 << 10

// loggedProblems bounds what one log line says about one bad file.
const loggedProblems = 20

// Parse makes a value of a file's content, or says what is wrong with it. It keeps nothing
// of data, and lets go of its processor as Pace says. A value that comes with errors is not used, except for its Files method (see
// File); it must not panic, whatever is in data.
type Parse[T any] func(data []byte) (T, Problems)

// Options are what a File needs beside its path. Both may be nil.
type Options struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer // shared by the files of a process; labels tell them apart
}

// Status says what a File holds, for /readyz?verbose and /apps.
type Status struct {
	Name     string
	Path     string    // empty for a Fixed value
	SHA256   string    // of the file in use, hex
	LoadedAt time.Time // when the value in use was read
	Warnings Problems  // of the file in use
	Err      error     // why the file as it is on disk is not in use; nil: it is
}

// File holds the value of one file: the last good one. Get may be called from any
// goroutine; the value must be immutable, as readers share it.
//
// Where T has a method Files() []string, the files that it names are looked at as well: a
// token that is rotated in its own file is a change, although apps.yaml is not.
type File[T any] struct {
	name    string
	path    string
	parse   Parse[T]
	log     *zap.Logger
	metrics *metrics // nil for a Fixed value

	value  atomic.Pointer[T]
	status atomic.Pointer[Status] // stored with mu held; what it leads to never changes

	mu      sync.Mutex // guards all below, and that one load runs at a time, which may take a second
	files   []string   // the value's other files
	seen    string     // fingerprint of the last load, good or bad
	pending string     // fingerprint of the last look, when it differed from seen
	settled bool       // the last load followed two looks that agreed; else it is repeated
	hooks   []func(T)
	guard   Guard[T] // nil: none
	refused verdict  // what it refused last
}

// Open reads the file at path for the first time. name is the file's label in metrics and
// logs ("apps"). Any problem, a warning too, is a *FileError: the process does not start.
// The caller runs Run until it stops using the value.
func Open[T any](name, path string, parse Parse[T], o Options) (*File[T], error) {
	f := &File[T]{name: name, path: path, parse: parse, log: o.Log, metrics: newMetrics(o.Metrics)}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	f.status.Store(&Status{Name: name, Path: path})
	opening.Add(1)
	defer opening.Add(-1)
	value, sum, problems, now := f.readWhole(f.fingerprint())
	if len(problems) > 0 {
		return nil, &FileError{Path: path, Problems: problems}
	}
	f.seen = now
	f.take(value, sum, nil)
	f.log.Info("file loaded", zap.String("file", name), zap.String("path", path), zap.String("sha256", sum))
	return f, nil
}

// Fixed returns a File that always holds v: the default where no file was given.
func Fixed[T any](name string, v T) *File[T] {
	f := &File[T]{name: name, log: zap.NewNop()}
	f.status.Store(&Status{Name: name, LoadedAt: time.Now()})
	f.value.Store(&v)
	return f
}

// Get returns the last good value. It does not block and does not allocate.
func (f *File[T]) Get() T { return *f.value.Load() }

// Status returns what the file holds and why it may not be what is on disk. It does not wait for a
// load that is going on.
func (f *File[T]) Status() Status { return *f.status.Load() }

// OnChange has hook called with every value that is taken after this call, in the
// goroutine that reloads, before Reload returns. Hooks run in the order in which they were
// added and must not call the File.
func (f *File[T]) OnChange(hook func(T)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks = append(f.hooks, hook)
}

// Run looks at the file once a second until ctx ends, and returns nil then. One Run per
// File.
func (f *File[T]) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// look loads the file when it changed since the last load and did not change since the
// last look.
func (f *File[T]) look() {
	if f.path == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.fingerprint()
	if now == f.seen && f.settled {
		f.pending = ""
		return
	}
	if now != f.pending {
		f.pending = now
		return
	}
	f.settled = true
	_, _ = f.load(now) // logged and counted there
}

// Reload reads the file now and says whether a new value was taken. An error, a
// *FileError, means that the last good value stays; it was logged and counted already.
func (f *File[T]) Reload() (changed bool, err error) {
	if f.path == "" {
		return false, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled = false
	return f.load(f.fingerprint())
}

// load reads the file and takes or refuses it. now is the fingerprint from before the
// reading: a later change is seen at the next look. f.mu is held.
func (f *File[T]) load(now string) (changed bool, err error) {
	value, sum, problems, now := f.readWhole(now)
	same := now == f.seen
	errs := problems.Errors()
	if errs == nil {
		errs = f.guarded(value, sum)
	}
	f.seen, f.pending = now, ""
	if errs != nil {
		return false, f.refuse(&FileError{Path: f.path, Problems: errs})
	}
	if status := f.status.Load(); same && sum == status.SHA256 && status.Err == nil {
		return false, nil
	}
	f.take(value, sum, problems)
	f.metrics.reloads.WithLabelValues(f.name, "ok").Inc()
	f.log.Info("file reloaded", zap.String("file", f.name), zap.String("path", f.path),
		zap.String("sha256", sum), zap.Strings("warnings", some(problems.Lines(f.path))))
	for _, hook := range f.hooks {
		hook(value)
	}
	return true, nil
}

func (f *File[T]) fingerprint() string { return fingerprint(f.path, f.files...) }

// take makes value the one in use.
func (f *File[T]) take(value T, sum string, warnings Problems) {
	if before := f.status.Load().SHA256; before != "" {
		f.metrics.info.DeleteLabelValues(f.name, before)
	}
	f.value.Store(&value)
	f.status.Store(&Status{Name: f.name, Path: f.path, SHA256: sum, LoadedAt: time.Now(), Warnings: warnings})
	f.metrics.info.WithLabelValues(f.name, sum).Set(1)
	f.metrics.success.WithLabelValues(f.name).Set(1)
}

// refuse keeps the last good value and says why, once per reason.
func (f *File[T]) refuse(err *FileError) error {
	f.metrics.success.WithLabelValues(f.name).Set(0)
	status := *f.status.Load()
	if status.Err != nil && status.Err.Error() == err.Error() {
		return err
	}
	status.Err = err
	f.status.Store(&status)
	f.metrics.reloads.WithLabelValues(f.name, "failed").Inc()
	f.log.Error("file cannot be used, the last good one stays in use", zap.String("file", f.name),
		zap.String("path", f.path), zap.String("sha256_in_use", status.SHA256),
		zap.Int("problems", len(err.Problems)), zap.Strings("first", some(err.Problems.Lines(f.path))))
	return err
}

// readWhole reads the file, and again when it, or one of the value's other files, changed
// meanwhile: the value could be half of one state and half of another, as of two token files behind
// one link that was swapped. Files that are found to be the value's only now are looked at from now
// on. It takes the fingerprint from before and returns that of what was read; f.settled is false where
// they differ. f.mu is held, or nobody has f yet.
func (f *File[T]) readWhole(now string) (value T, sum string, problems Problems, seen string) {
	for range wholeTries {
		value, sum, problems = f.read()
		if files := filesOf(value); files != nil || problems.Errors() == nil {
			f.files = files
		}
		after := f.fingerprint()
		if after == now {
			break
		}
		now, f.settled = after, false
	}
	return value, sum, problems, now
}

// read returns the file's value, its SHA-256 and what is wrong with it.
func (f *File[T]) read() (value T, sum string, problems Problems) {
	data, err := ReadFile(f.path, MaxBytes)
	if err != nil {
		problems.Add(Pos{}, "%v", err)
		return value, "", problems
	}
	sum = sumOf(data)
	value, problems = f.parse(data)
	return value, sum, problems
}

// sumOf returns data's SHA-256 in hex.
func sumOf(data []byte) string {
	var pace Pace
	hash := sha256.New()
	for piece := range slices.Chunk(data, hashedAtOnce) {
		hash.Write(piece)
		pace.Step()
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func filesOf[T any](value T) []string {
	if v, ok := any(value).(interface{ Files() []string }); ok {
		return v.Files()
	}
	return nil
}

func some(lines []string) []string {
	if len(lines) <= loggedProblems {
		return lines
	}
	return append(lines[:loggedProblems:loggedProblems], fmt.Sprintf("and %d more", len(lines)-loggedProblems))
}
