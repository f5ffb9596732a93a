package store

import (
	"context"
	"iter"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// Store is a database of one deployment. Its methods may be called from any number of
// goroutines. Errors other than the sentinels of this package mean that the database did
// not take it now: the caller tries again later.
type Store interface {
	Outbox

	// Begin starts a transaction over one batch of a partition and loads what the batch
	// may touch: the alarms among ids that exist already, the period rows of apps, and
	// the partition's progress. It waits for other transactions over the same rows, and
	// holds them off until the transaction is over. When ctx ends, it is rolled back,
	// whatever it is doing.
	Begin(ctx context.Context, topic string, partition int32, ids []string, apps []int64) (Tx, error)

	// Alarms yields saved alarms, the one received last first. A row that cannot be
	// read yields its error and ends the sequence. The sequence sees the database as it
	// was when it began, and keeps it from reclaiming space until it ends: do not rest
	// within it.
	Alarms(ctx context.Context, f AlarmFilter) iter.Seq2[Alarm, error]

	// Notices yields notices, the one made last first, as Alarms does: for tests, which hold
	// what was made against what was sent.
	Notices(ctx context.Context, f NoticeFilter) iter.Seq2[Notice, error]

	// DeadLetters yields dead letters, the one saved last first unless the filter says
	// otherwise, as Alarms does.
	DeadLetters(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter, error]

	// MarkPublished notes of replayed dead letters that Kafka has what they published.
	// Ids of others, and of none, change nothing.
	MarkPublished(ctx context.Context, ids []int64) error

	// Retain deletes what is older than days before now: alarms by the time of receipt
	// (the vendor's may lie years back or ahead), notices and dead letters by when they
	// were made, periods by their last alarm. It works in small transactions, so that
	// saving goes on between them, and returns how many rows it deleted, also with an
	// error. Days of 0 or less keep everything. Where days need tables of their own, those
	// of the days to come are made first, whatever days is.
	Retain(ctx context.Context, days int, now time.Time) (deleted int64, err error)

	// Begun says whether anything of the topic was ever saved, whatever became of the rows.
	Begun(ctx context.Context, topic string) (bool, error)

	// Ping says whether the database answers.
	Ping(ctx context.Context) error

	// About says what database it is, for `check`.
	About(ctx context.Context) (About, error)

	// Single says whether only one consumer can use the database, which must then own
	// all partitions.
	Single() bool

	// Close waits for what is under way and closes the database.
	Close() error
}

// Tx is a transaction that Begin started. It is for one goroutine. It ends with Save or
// Rollback, one of which has to be called.
type Tx interface {
	// Known returns which of the ids exist. The map is the caller's.
	Known() map[string]Saved

	// Periods returns the state of the apps for which one is saved; for any other
	// app the zero Period holds. The map is the caller's.
	Periods() map[int64]quota.Period

	// Progress returns how far the partition was saved, and whether it ever was.
	Progress() (Progress, bool)

	// Save writes all changes and commits. Once it returned nil they survive a loss of
	// power; after an error nothing was saved. The transaction is over either way.
	// ErrData: the data is at fault, to try again is no use. ErrReplayed: a letter of
	// c.Replayed is not open any more.
	Save(ctx context.Context, c Changes) error

	// Rollback ends the transaction without saving. After Save or Rollback it does
	// nothing, so it can be deferred.
	Rollback()
}

// Saved is an alarm that exists: where its first copy came from and the bytes of its
// event, which are published again as they are.
type Saved struct {
	Topic     string
	Partition int32
	Offset    int64
	Event     []byte
}

// Changes are all rows that follow from one batch.
type Changes struct {
	Alarms      []Alarm                // new alarms, no two with one id
	Deliveries  []Delivery             // further copies of alarms that exist
	Periods     map[int64]quota.Period // new states, by app
	Notices     []quota.Notice
	DeadLetters []schema.DeadLetter
	Replayed    []int64  // dead letters that these changes make good: their ReplayedAt is set with them
	Progress    Progress // of the partition; without a topic, as in a replay, none is saved
}

// Alarm is one saved alarm. The slices are not kept beyond Save, and those that are read
// are the caller's.
type Alarm struct {
	Event      schema.EnrichedAlarm // id, coordinates and facts
	EventBytes []byte               // the event as it was encoded, once
	VendorTime time.Time            // EventTime as the vendor sent it, whatever the state uses; zero: none
	Deliveries int                  // copies of the alarm that arrived, at least 1
}

// Delivery counts further copies of an alarm.
type Delivery struct {
	AlarmID string
	Count   int
}

// Notice is one saved notice.
type Notice struct {
	quota.Notice
	CreatedAt time.Time
}

// DeadLetter is one saved dead letter.
type DeadLetter struct {
	schema.DeadLetter
	ID         int64     // of the row, for show and replay
	AppID      int64     // as far as the record's key says, else 0
	ReplayedAt time.Time // zero: not yet

	// PublishedAt is when Kafka had what the replay published. Zero beside a ReplayedAt:
	// the replay was interrupted in between.
	PublishedAt time.Time
}

// AlarmFilter selects alarms.
type AlarmFilter struct {
	AppID int64 // 0: all
	Limit int   // 0: no limit
}

// NoticeFilter selects notices.
type NoticeFilter struct {
	AppID int64 // 0: all
	Limit int   // 0: no limit
}

// DeadLetterFilter selects dead letters.
type DeadLetterFilter struct {
	ID     int64           // 0: all
	Reason schema.Reason   // "": all
	AppID  int64           // 0: all
	From   time.Time       // of FailedAt; zero: all
	Until  time.Time       // of FailedAt, which is included; zero: all
	State  DeadLetterState // 0: all
	After  int64           // only ids above it
	Order  DeadLetterOrder // 0: the one saved last first
	Limit  int             // 0: no limit
}

// DeadLetterState is how far the replay of a dead letter is.
type DeadLetterState uint8

// The states.
const (
	DeadLettersAll         DeadLetterState = iota
	DeadLettersOpen                        // not replayed
	DeadLettersUnpublished                 // replayed, but Kafka may not have what that published
)

// DeadLetterOrder is an order of dead letters.
type DeadLetterOrder uint8

// The orders.
const (
	NewestFirst DeadLetterOrder = iota
	OldestFirst                 // as they were saved
)

// DefaultDeadLetterBytes bounds what the saved dead letters hold together.
const DefaultDeadLetterBytes = 1 << 30

// Options are the settings of Open.
type Options struct {
	ReadOnly        bool             // read beside a consumer, or without one: no migration, no lock
	DeadLetterBytes int64            // what all dead letters may hold together, then the oldest go; 0: DefaultDeadLetterBytes
	Log             *zap.Logger      // nil: silent
	Now             func() time.Time // nil: time.Now

	onStep func(step string) // SQLite only: tests look at the database between the steps of Save
}
