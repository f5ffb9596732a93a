package notify

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// stepAlerts is step for a channel that keeps alerts alive: once a minute everything that still
// stands, before anything else, as it would end by itself; then everything that is due in one post.
func (s *sender) stepAlerts(ctx context.Context, due []store.Dispatch, now time.Time) time.Duration {
	if !now.Before(s.keepAt) {
		if !s.keepAlive(ctx, now) {
			return min(idle, max(0, s.paused.Sub(now)))
		}
		s.keepAt = time.Now().Add(channel.KeepAliveEvery) // from its end: it can take longer than that, and the rest has its turn too
		return 0                                          // the next step prolongs the lease first
	}
	if len(due) > 0 {
		slices.SortFunc(due, func(a, b store.Dispatch) int { return cmp.Compare(a.ID, b.ID) })
		s.fire(ctx, due, now)
		return 0
	}
	return min(s.rest(), s.keepAt.Sub(now))
}

// fire posts dispatches as alerts, in order. Where Alertmanager finds one of them
// malformed, they are posted in halves down to the one, which is parked. What is not posted
// because the sender may not go on is still due.
func (s *sender) fire(ctx context.Context, due []store.Dispatch, now time.Time) {
	b := batch{s: s, now: now}
	if err := b.fill(ctx, due); err != nil {
		s.w.log.Warn("database did not say which alerts stand", zap.String("channel", s.channel.Name), zap.Error(err))
		s.paused = now.Add(storeWait)
		return
	}
	answer := channel.Answer{Result: channel.Sent, Detail: "nothing to post"}
	if len(b.alerts) > 0 {
		answer = s.channel.Alert(ctx, now, b.alerts)
	}
	if answer.Status == http.StatusBadRequest && len(due) > 1 {
		half := len(due) / 2
		for _, part := range [][]store.Dispatch{due[:half], due[half:]} {
			if !s.mayGoOn(ctx) {
				return
			}
			s.fire(ctx, part, time.Now())
		}
		return
	}
	s.conclude(ctx, due, answer, b.sent)
}

// batch is one post to Alertmanager.
type batch struct {
	s      *sender
	now    time.Time
	alerts []channel.Alert
	sent   []store.Settlement // one for each dispatch, if the post is taken
	fired  []firing           // in this batch
	kept   []store.Dispatch   // from before; loaded when the first period ends
	loaded bool
}

// firing is an alert of the batch that stands.
type firing struct {
	app    int64
	period string
	index  int // in alerts
}

// fill makes the alerts of dispatches.
func (b *batch) fill(ctx context.Context, due []store.Dispatch) error {
	for i := range due {
		d := &due[i]
		sent := store.Settlement{ID: d.ID, State: store.DispatchSent}
		end := b.s.periodEnd(d)
		switch {
		case d.Kind == quota.KindResolve:
			sent.EndsKept = true
			if err := b.resolve(ctx, d); err != nil {
				return err
			}
		case d.Kind == quota.KindDigest || !b.now.Before(end):
			b.late(d)
		default:
			sent.KeptUntil = end
			b.fired = append(b.fired, firing{d.AppID, d.Period, len(b.alerts)})
			b.alerts = append(b.alerts, b.s.alert(d, b.now, end))
		}
		b.sent = append(b.sent, sent)
	}
	return nil
}

// late adds an alert about what is over: it stands for a while and is not kept alive.
func (b *batch) late(d *store.Dispatch) {
	n := b.s.notice(d)
	n.Late = true
	b.alerts = append(b.alerts, channel.Alert{Notice: n, Starts: b.now, Ends: b.now.Add(channel.LateFor)})
}

// resolve ends the alerts of the period that stand. Those of this very batch nobody has
// seen yet: they are told as late.
func (b *batch) resolve(ctx context.Context, d *store.Dispatch) (err error) {
	if !b.loaded {
		if b.kept, err = b.s.w.o.Outbox.Kept(ctx, b.s.channel.Name, b.now); err != nil {
			return err
		}
		b.loaded = true
	}
	for i := range b.kept {
		if k := &b.kept[i]; k.AppID == d.AppID && k.Period == d.Period {
			b.alerts = append(b.alerts, b.s.alert(k, b.now, b.now))
		}
	}
	for _, f := range b.fired {
		if f.app == d.AppID && f.period == d.Period {
			a := &b.alerts[f.index]
			a.Late, a.Starts, a.Ends = true, b.now, b.now.Add(channel.LateFor)
		}
	}
	return nil
}

// alert returns a dispatch as an alert that stands until end at the latest.
func (s *sender) alert(d *store.Dispatch, now, end time.Time) channel.Alert {
	a := channel.Alert{Notice: s.notice(d), Starts: d.CreatedAt, Ends: now.Add(channel.KeepAliveFor)}
	if at, ok := schema.ParseTime([]byte(d.Alarm.EventTime)); ok {
		a.Starts = at
	}
	if a.Starts.After(now) { // by a clock that is ahead of ours: Alertmanager takes none that begins after its end
		a.Starts = now
	}
	if end.Before(a.Ends) {
		a.Ends = end
	}
	return a
}

// periodEnd returns when the alert of a dispatch ends by itself.
func (s *sender) periodEnd(d *store.Dispatch) time.Time {
	at, ok := schema.ParseTime([]byte(d.Alarm.EventTime))
	if !ok {
		at = d.CreatedAt
	}
	return quota.PeriodEnd(at, s.w.o.Zone(d.AppID))
}

// keepAlive posts again what still stands. False: not all of it could be posted.
func (s *sender) keepAlive(ctx context.Context, now time.Time) bool {
	kept, err := s.w.o.Outbox.Kept(ctx, s.channel.Name, now)
	if err != nil {
		s.w.log.Warn("database did not say which alerts stand", zap.String("channel", s.channel.Name), zap.Error(err))
		s.paused = now.Add(storeWait)
		return false
	}
	for chunk := range slices.Chunk(kept, claimLimit) {
		if !s.mayGoOn(ctx) {
			return false
		}
		var alerts []channel.Alert
		for i := range chunk {
			alerts = append(alerts, s.alert(&chunk[i], now, s.periodEnd(&chunk[i])))
		}
		a := s.channel.Alert(ctx, now, alerts) // one that is malformed ends alone: Alertmanager takes those beside it
		s.judge(a, time.Now())
		if a.Result != channel.Sent {
			s.w.log.Warn("alerts could not be kept alive, trying again", zap.String("channel", s.channel.Name),
				zap.Int("alerts", len(alerts)), zap.String("answer", a.Detail))
		}
		if a.Result == channel.Retry {
			return false
		}
	}
	return true
}
