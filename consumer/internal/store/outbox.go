package store

import (
	"context"
	"iter"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
)

// Outbox is what the worker that sends notices needs of a database: which notices nobody
// decided about yet, and what became of each notice on each channel it was given to (a
// dispatch). Every Store of this package that was opened for writing is one. Its methods
// may be called from any number of goroutines and, where the database takes more than one
// consumer, from any number of consumers. Errors mean that the database is away: the
// worker tries again later.
//
//	notice saved ─▶ Route: a dispatch for each of its channels ─▶ Claim ─▶ sent over HTTP ─▶ Settle: sent
//	                                                              ▲                      ├▶ pending, for later
//	                                                              └──────────────────────┤
//	                                                                                     └▶ parked ─▶ Resend: pending
//
// A channel is sent to by one consumer at a time, which has the channel's lease: only so
// can a limit of messages a minute be kept and one app's messages stay in order. A
// consumer that ends or hangs loses it when the lease runs out. Between a message and its
// Settle a consumer can be lost; then the next one sends the message again.
//
// In PostgreSQL the lease is one conditional upsert, and Route takes its notices by FOR
// UPDATE SKIP LOCKED. Leases are compared with the consumers' clocks, which must not be
// apart by half a TTL. What a clock wrote that was further ahead holds nobody up: such a lease
// is none, and a dispatch that waits for longer than any does is due.
type Outbox interface {
	// Unrouted returns at most limit notices that were not given to channels yet, oldest
	// first.
	Unrouted(ctx context.Context, limit int) ([]Unrouted, error)

	// Route gives notices to channels, in one transaction: all or nothing. A notice that
	// was routed meanwhile, by another consumer, is passed over, and so is one that another
	// has in hand, with the same app's later ones: it comes again unless that one routes it.
	// One without channels is routed too: nobody is told. It returns how many were routed
	// by this call.
	Route(ctx context.Context, routes []Route, now time.Time) (int, error)

	// Claim takes the lease of c.Channel for c.Owner, or prolongs it, until at least half
	// of c.TTL from c.Now and at most c.TTL, and returns at most c.Limit dispatches that
	// are due: pending, their time come, and none of the same app before them that has to
	// wait. Those whose time came first are first. held false: another owner has the lease,
	// and nothing is returned.
	Claim(ctx context.Context, c Claim) (due []Dispatch, held bool, err error)

	// Release gives the lease up, if owner has it, so that another need not wait for its
	// end.
	Release(ctx context.Context, channel, owner string) error

	// Settle says what became of dispatches, in one transaction. Only pending ones change.
	Settle(ctx context.Context, settled []Settlement, now time.Time) error

	// Messages returns when the channel was last sent to after since and at now or before,
	// oldest first: each time that a Settle was of attempts, once. Who comes to have the
	// lease asks for it, as it reads all of the channel's dispatches.
	Messages(ctx context.Context, channel string, since, now time.Time) ([]time.Time, error)

	// Kept returns the channel's dispatches that were sent and are to be repeated at now,
	// oldest first.
	Kept(ctx context.Context, channel string, now time.Time) ([]Dispatch, error)

	// Resend makes parked dispatches pending again, due at now and as if nothing had failed
	// yet; Error stays until another takes its place. It returns how many there were: ids of
	// others, and of none, change nothing. A channel that is in nobody's settings keeps them
	// until Abandon parks them again.
	Resend(ctx context.Context, ids []int64, now time.Time) (int, error)

	// Abandon parks what waits for a channel that is none of channels and that nobody
	// took since before: the channel is gone from the settings of every consumer. It
	// returns how many were parked.
	Abandon(ctx context.Context, channels []string, before, now time.Time) (int, error)

	// OldestPending returns when the oldest notice was made that is not routed, or not
	// settled on one of its channels. The zero time: there is none.
	OldestPending(ctx context.Context) (time.Time, error)

	// Dispatches yields dispatches, the one made last first, as Store.Alarms does. It may
	// be called on a store that was opened for reading.
	Dispatches(ctx context.Context, f DispatchFilter) iter.Seq2[Dispatch, error]
}

// Unrouted is a notice that was not given to channels yet.
type Unrouted struct {
	Notice
	ID int64 // of its row
}

// Route is the decision about one notice.
type Route struct {
	NoticeID int64
	Channels []string // none: nobody is told
}

// Claim says who takes what.
type Claim struct {
	Channel string
	Owner   string // any text that no other running consumer has
	Now     time.Time
	TTL     time.Duration
	Limit   int // 0: the lease alone
}

// latestLease returns the latest end of a lease that counts: by the clocks that may be apart by
// half a TTL none is further off, so that one beyond it is of a clock that was ahead.
func (c *Claim) latestLease() time.Time { return c.Now.Add(2 * c.TTL) }

// longestWait is more than any dispatch waits for its next attempt: a channel can ask for an
// hour at most.
const longestWait = 2 * time.Hour

// DispatchState is what became of a dispatch so far.
type DispatchState string

// The states of a dispatch.
const (
	DispatchPending DispatchState = "pending" // to be sent at NextAt or after
	DispatchSent    DispatchState = "sent"    // the channel took it
	DispatchParked  DispatchState = "parked"  // given up; Error says why
)

// Dispatch is one notice on its way to one channel.
type Dispatch struct {
	quota.Notice
	ID        int64
	Channel   string
	State     DispatchState
	Attempts  int       // that failed, since it was given out or, by Resend, given out again
	NextAt    time.Time // of a pending one: not before
	Error     string    // of the last attempt that failed
	CreatedAt time.Time // when the notice was made
	ChangedAt time.Time // when the state was last written
}

// Settlement says what became of one dispatch.
type Settlement struct {
	ID    int64
	State DispatchState // DispatchPending: it failed and is tried again at NextAt

	NextAt    time.Time // of DispatchPending
	Error     string    // of DispatchPending and DispatchParked
	KeptUntil time.Time // of DispatchSent: to be repeated until then; zero: not at all
	EndsKept  bool      // of DispatchSent: nothing of the same channel, app and period is repeated any more
}

// DispatchFilter selects dispatches.
type DispatchFilter struct {
	ID      int64         // 0: all
	Channel string        // "": all
	State   DispatchState // "": all
	AppID   int64         // 0: all
	From    time.Time     // of CreatedAt; zero: all
	Until   time.Time     // of CreatedAt, which is included; zero: all
	Limit   int           // 0: no limit
}
