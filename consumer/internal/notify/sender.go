package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
)

const (
	// leaseTTL is how long the channels of a consumer that was lost stay unsent to. It is
	// more than a request may take, so that a slow channel does not cost the lease.
	leaseTTL = 30 * time.Second

	// idle is how often a sender with nothing to do prolongs its lease, or sees whether
	// another's has run out. Where other consumers route notices, who has the lease looks for
	// them as often as they look for notices.
	idle = leaseTTL / 6

	// claimLimit bounds what is in memory of a channel, and what a digest or one post to
	// Alertmanager tells.
	claimLimit = 500

	// newsAge is the age beyond which a notice is told in a digest only.
	newsAge = 15 * time.Minute

	// stopGrace is what a message that is being sent has left when the consumer stops.
	stopGrace = 3 * time.Second
)

// sender sends to one channel. All its state but what mu guards is owned by run.
type sender struct {
	w       *Worker
	config  *Config
	channel *Channel
	wake    chan struct{} // capacity 1: there may be something to send
	ending  chan struct{} // closed: another sender is to take over
	done    chan struct{} // closed by who runs it: run has returned

	limit     limiter
	failures  int                // in a row
	paused    time.Time          // the channel is left alone until then
	unsettled []store.Settlement // what became of messages that could not be marked yet
	keepAt    time.Time          // when what is kept alive is posted again
	leased    bool               // the lease was here at the last step, so that limit knows all messages
	down      bool               // the database did not answer the last time

	mu    sync.Mutex
	fault string // guarded by mu: why the last attempt failed; empty: it did not
}

func newSender(w *Worker, config *Config, ch *Channel) *sender {
	return &sender{
		w: w, config: config, channel: ch,
		wake: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{}),
		limit: limiter{perMinute: ch.PerMinute, gap: ch.Gap},
	}
}

// inherit takes over what the sender before knew: a file that is saved again is no reason
// to send more in a minute, or to a channel that wants to be left alone. before is done.
func (s *sender) inherit(before *sender) {
	s.limit.sent, s.unsettled, s.keepAt = before.limit.sent, before.unsettled, before.keepAt
	if s.channel.URL == before.channel.URL { // else it may have been the URL that was wrong
		s.failures, s.paused = before.failures, before.paused
		s.setFault(before.trouble()) // which the readiness page may ask for at this moment
	}
}

// end has run return when its message is sent. It is called under the worker's lock.
func (s *sender) end() {
	if !s.ended() {
		close(s.ending)
	}
}

func (s *sender) ended() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

// run sends until ctx ends or the sender is ended, and gives the lease up.
func (s *sender) run(ctx context.Context) {
	lasting, cancel := outlive(ctx)
	defer cancel()
	defer func() { _ = s.w.o.Outbox.Release(lasting, s.channel.Name, s.w.o.Owner) }() // else it runs out
	for ctx.Err() == nil && !s.ended() {
		timer := time.NewTimer(s.step(lasting))
		select {
		case <-ctx.Done():
		case <-s.ending:
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// outlive returns a context that ends stopGrace after ctx: a message that a channel has
// taken must still be marked.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopGrace, cancel)
		context.AfterFunc(lasting, func() { timer.Stop() })
	})
	return lasting, func() { stop(); cancel() }
}

// step sends at most one message, and returns how long to wait for the next step.
func (s *sender) step(ctx context.Context) time.Duration {
	due, held, err := s.claim(ctx)
	if err == nil && held && !s.leased {
		err = s.recall(ctx)
	}
	s.leased = err == nil && held
	now := time.Now()
	switch {
	case err != nil:
		if !s.down && ctx.Err() == nil {
			s.w.log.Warn("database does not give out notices, trying again", zap.String("channel", s.channel.Name), zap.Error(err))
		}
		s.down = true
		return storeWait
	case !held:
		s.down = false
		s.setFault("")
		s.keepAt = time.Time{} // at once, should the lease come here
		return idle
	}
	s.down = false
	switch {
	case now.Before(s.paused):
		return min(idle, s.paused.Sub(now))
	case s.channel.KeepsAlive():
		return s.stepAlerts(ctx, due, now)
	case len(due) == 0:
		return s.rest()
	}
	if wait := s.limit.wait(now); wait > 0 {
		return min(idle, wait)
	}
	s.limit.note(now)
	chosen := s.choose(due, now)
	message := channel.Compose(s.channel.Language, s.channel.Name, s.notices(chosen, now), now)
	answer := s.channel.Tell(ctx, message)
	s.conclude(ctx, chosen, answer, nil)
	return 0
}

// rest is how long the one who has the lease waits where nothing is due.
func (s *sender) rest() time.Duration {
	if s.w.o.Shared {
		return s.w.look
	}
	return idle
}

// claim settles what is left from before, and takes what is due.
func (s *sender) claim(ctx context.Context) (due []store.Dispatch, held bool, err error) {
	if err := s.settle(ctx, nil); err != nil {
		return nil, false, err
	}
	return s.hold(ctx, claimLimit)
}

// hold takes or prolongs the lease, and returns at most limit of what is due.
func (s *sender) hold(ctx context.Context, limit int) (due []store.Dispatch, held bool, err error) {
	return s.w.o.Outbox.Claim(ctx, store.Claim{
		Channel: s.channel.Name, Owner: s.w.o.Owner, Now: time.Now(), TTL: leaseTTL, Limit: limit,
	})
}

// mayGoOn says whether another request may follow within one step: the lease is here for at least
// half its time, for which it is prolonged where need be, and the channel does not want to be left
// alone.
func (s *sender) mayGoOn(ctx context.Context) bool {
	if time.Now().Before(s.paused) || s.ended() {
		return false
	}
	_, held, err := s.hold(ctx, 0)
	if err != nil {
		s.w.log.Warn("database did not prolong the lease", zap.String("channel", s.channel.Name), zap.Error(err))
		s.paused = time.Now().Add(storeWait)
	}
	return err == nil && held
}

// recall has the limit count what others sent before the lease came here. Of a message that
// could not be marked at once it does not know.
func (s *sender) recall(ctx context.Context) error {
	if s.limit.perMinute == 0 {
		return nil
	}
	now := time.Now()
	sent, err := s.w.o.Outbox.Messages(ctx, s.channel.Name, now.Add(-window), now)
	if err == nil && len(sent) > len(s.limit.sent) {
		s.limit.sent = nil
		for _, at := range sent {
			s.limit.note(now.Add(at.Sub(now))) // of the clock that does not jump
		}
	}
	return err
}

// settle marks what became of messages, and of earlier ones that could not be marked.
// They are kept until the database takes them: else they would be sent again.
func (s *sender) settle(ctx context.Context, settled []store.Settlement) error {
	s.unsettled = append(s.unsettled, settled...)
	if len(s.unsettled) == 0 {
		return nil
	}
	if err := s.w.o.Outbox.Settle(ctx, s.unsettled, time.Now()); err != nil {
		return err
	}
	s.unsettled = nil
	return nil
}

// choose returns what the next message tells: the first that is news, alone, while the
// channel has room for it and for one more message; else everything, in one.
func (s *sender) choose(due []store.Dispatch, now time.Time) []store.Dispatch {
	if len(due) > 1 && s.limit.free(now) <= 0 { // this message, counted already, is the last
		return due
	}
	first := slices.IndexFunc(due, func(d store.Dispatch) bool { return !isLate(&d, now) })
	if first < 0 {
		return due
	}
	for i := range due { // of the app, what was made first
		if d := &due[i]; d.AppID == due[first].AppID && d.ID < due[first].ID && !isLate(d, now) {
			first = i
		}
	}
	return due[first : first+1]
}

// isLate says whether a notice is no news any more.
func isLate(d *store.Dispatch, now time.Time) bool {
	return d.Kind == quota.KindDigest || now.Sub(d.CreatedAt) > newsAge
}

// notices returns what channels need of dispatches.
func (s *sender) notices(dispatches []store.Dispatch, now time.Time) []channel.Notice {
	var all []channel.Notice
	for i := range dispatches {
		n := s.notice(&dispatches[i])
		n.Late = isLate(&dispatches[i], now)
		all = append(all, n)
	}
	return all
}

func (s *sender) notice(d *store.Dispatch) channel.Notice {
	return channel.Notice{Notice: d.Notice, Zone: s.w.o.Zone(d.AppID), Link: s.config.Link(d.AppID)}
}

// conclude marks what an answer means for the dispatches that were sent. sent says how
// each is marked that was taken; nil: as sent and no more.
func (s *sender) conclude(ctx context.Context, dispatches []store.Dispatch, a channel.Answer, sent []store.Settlement) {
	now := time.Now()
	log := s.w.log.With(zap.String("channel", s.channel.Name), zap.Int("notices", len(dispatches)), zap.String("answer", a.Detail))
	settled := make([]store.Settlement, 0, len(dispatches))
	counted := map[result]int{}
	s.judge(a, now)
	for i := range dispatches {
		d := &dispatches[i]
		one, r := store.Settlement{ID: d.ID, State: store.DispatchSent}, resultSent
		switch {
		case a.Result == channel.Refused:
			one.State, one.Error, r = store.DispatchParked, a.Detail, resultParked
		case a.Result == channel.Retry && now.Sub(d.CreatedAt) > tooOld && d.Attempts+1 >= minAttempts:
			one.State, one.Error, r = store.DispatchParked, fmt.Sprintf("given up after %s: %s", tooOld, a.Detail), resultParked
		case a.Result == channel.Retry:
			one.State, one.Error, r = store.DispatchPending, a.Detail, resultFailed
			one.NextAt = later(s.paused, now.Add(backoff(d.Attempts+1)))
		case sent != nil:
			one = sent[i]
		}
		counted[r]++
		settled = append(settled, one)
	}
	for r, n := range counted {
		s.w.metrics.count(s.channel.Name, r, n)
	}
	switch {
	case counted[resultParked] > 0:
		log.Error("notices are given up: see consumer notify list", zap.Int("parked", counted[resultParked]))
	case a.Result == channel.Retry:
		log.Warn("channel did not take notices, trying again", zap.Duration("in", s.paused.Sub(now)), zap.Int("failures", s.failures))
	default:
		log.Info("notices sent")
	}
	if err := s.settle(ctx, settled); err != nil {
		s.w.log.Warn("database did not take what became of notices, trying again", zap.String("channel", s.channel.Name), zap.Error(err))
	}
}

// judge draws the consequences of an answer for the channel.
func (s *sender) judge(a channel.Answer, now time.Time) {
	switch a.Result {
	case channel.Sent:
		s.failures = 0
		s.setFault("")
	case channel.Retry:
		s.failures++
		s.paused = now.Add(max(a.RetryAfter, backoff(s.failures)))
		s.setFault(a.Detail)
	case channel.Refused:
		s.failures = 0
		s.setFault(a.Detail)
	}
}

func (s *sender) setFault(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = why
}

// trouble says why the last attempt failed; empty: it did not.
func (s *sender) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sorted(texts []string) []string {
	slices.Sort(texts)
	return texts
}
