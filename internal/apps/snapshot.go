package apps

import (
	"iter"
	"slices"
)

// Snapshot is one state of the apps file. It is immutable and may be used from any number
// of goroutines. The nil Snapshot has no files and nothing else may be asked of it.
type Snapshot struct {
	byID     map[int64]*App
	ordered  []*App
	defaults settings
	files    []string
	unsigned int

	removed       map[int64]bool // may be missing; none of them is an app
	mayBeUnsigned map[int64]bool // may have lost its tokens; none of them has any
}

// Get returns the app with that SdkAppid, nil when it is not in the file. It is one map
// look-up and does not allocate.
func (s *Snapshot) Get(id int64) *App { return s.byID[id] }

// Unlisted returns what holds for an app that is not in the file: the defaults, and
// Registered false. It allocates.
func (s *Snapshot) Unlisted(id int64) *App {
	return &App{
		ID: id, Zone: s.defaults.zone, ZoneName: s.defaults.zoneName,
		Steps: s.defaults.steps, RateLimit: s.defaults.rate, AlarmRateLimit: s.defaults.alarmRate,
	}
}

// Len returns the number of apps in the file.
func (s *Snapshot) Len() int { return len(s.ordered) }

// All returns the apps in the order of the file.
func (s *Snapshot) All() iter.Seq[*App] { return slices.Values(s.ordered) }

// Unsigned returns the number of apps without a token: anyone who knows the URL can send
// callbacks in their name.
func (s *Snapshot) Unsigned() int { return s.unsigned }

// Files returns the token files that were read for the snapshot, for package reload to
// watch.
func (s *Snapshot) Files() []string {
	if s == nil {
		return nil
	}
	return s.files
}
