package receive

import (
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A flood of bad requests must not become a flood of logs, and must not hide in them either.
// So each thing that a client can bring about has a sampler: for refusals there is one for each
// reason in each app's ledger, and one for each reason of all requests that name no app of ours.
// The first is a line of the log with its facts, at once; what follows within lineEvery is
// counted, and told by the next line, or by one of its own when no other comes.
//
// There are at most apps x reasons lines in lineEvery, in memory that is bounded as the ledgers
// are. What is left out costs a load and an addition: no lock, no allocation, no clock.

const (
	// lineEvery is the shortest time between two lines about the same.
	lineEvery = time.Minute

	// tellEvery is how often what was left out is looked at: so much later than lineEvery a
	// count comes at most when its flood is over.
	tellEvery = 15 * time.Second
)

// sampler lets one line in lineEvery into the log and counts the others. The zero value is
// ready; any number of goroutines may use it, and none waits.
type sampler struct {
	due     atomic.Int64  // when the next line may come, Unix nanoseconds
	leftOut atomic.Uint64 // since the last line
}

// check returns the entry to be written, and how many were left out before it; nil where this
// one is left out too: because it is too early, or log does not take it.
func (s *sampler) check(log *zap.Logger, now time.Time, level zapcore.Level, message string) (*zapcore.CheckedEntry, uint64) {
	if s.pass(now) {
		if line := log.Check(level, message); line != nil {
			return line, s.leftOut.Swap(0)
		}
		s.retry(log, level)
	}
	s.leftOut.Add(1)
	return nil, 0
}

// retry is called where log did not take a line. A log that is sampled itself drops equal messages
// when there are many at once: who brings them about, in the names of many apps, must not silence one
// of them for lineEvery.
func (s *sampler) retry(log *zap.Logger, level zapcore.Level) {
	if log.Core().Enabled(level) {
		s.due.Store(0)
	}
}

// pass says whether a line may be written now, once in lineEvery. A clock that was set back does
// not silence it for longer.
func (s *sampler) pass(now time.Time) bool {
	at, due := now.UnixNano(), s.due.Load()
	if early := due - at; early > 0 && early <= int64(lineEvery) {
		return false
	}
	return s.due.CompareAndSwap(due, at+int64(lineEvery))
}

// flush returns what was left out where that is due to be told, or whenever it is not 0 and
// last says that no later line will tell it.
func (s *sampler) flush(now time.Time, last bool) uint64 {
	if s.leftOut.Load() == 0 || !s.pass(now) && !last {
		return 0
	}
	return s.leftOut.Swap(0)
}

// levelOf is warn for what costs honest callbacks until an operator does something: a token, a
// clock, an app that is not listed, a limit, a disk, a broker.
func levelOf(f refusal) zapcore.Level {
	switch f {
	case refusedSignMissing, refusedSignWrong, refusedRequestTime, refusedAppUnknown, refusedRate,
		refusedJournalFull, refusedBusy, refusedParkedFull, refusedConnections, refusedGuessing, refusedSource, unconfirmed, unconfirmedParked:
		return zapcore.WarnLevel
	default:
		return zapcore.InfoLevel
	}
}

// refuse notes a refusal where operators look: in l, and in the log. app is as sent, 0 where it
// could not be read; command may be anything.
func (r *Receiver) refuse(l *ledger, f refusal, now time.Time, app int64, source netip.Addr, command []byte) {
	l.refuse(f, now, app, source, command)
	r.logRefusal(l, f, now, app, source, command)
}

// logRefusal writes the line of a refusal, or counts it as left out. Never the query, Sign,
// token or body.
func (r *Receiver) logRefusal(l *ledger, f refusal, now time.Time, app int64, source netip.Addr, command []byte) {
	line, leftOut := l.ring().lines[f].check(r.log, now, levelOf(f), "callback refused")
	if line == nil {
		return
	}
	row := &refusals[f]
	fields := []zap.Field{
		zap.String("reason", row.reason), zap.Int("status", row.status), zap.String("result", string(row.result)),
		zap.Stringer("source", source), zap.Uint64("left_out", leftOut),
	}
	if app != 0 {
		fields = append(fields, zap.Int64("sdk_app_id", app))
	}
	if validCommand(command) {
		fields = append(fields, zap.ByteString("command", command))
	}
	line.Write(fields...)
}

// tellLeftOut tells every while what no other line has told, until stop is closed.
func (r *Receiver) tellLeftOut(stop <-chan struct{}) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.logLeftOut(false)
		case <-stop:
			return
		}
	}
}

// logLeftOut writes a line for each reason of each app of which refusals were left out and
// nothing was written for lineEvery; with last, for every count that is left.
func (r *Receiver) logLeftOut(last bool) {
	now := r.clockTime()
	for _, acc := range r.accounts.all() {
		r.logLeftOutOf(acc.ledger, now, last, zap.Int64("sdk_app_id", acc.app.ID))
	}
	r.logLeftOutOf(r.accounts.shared, now, last, zap.Skip())
	r.logLeftOutOf(&r.accounts.nobody, now, last, zap.Skip())
}

func (r *Receiver) logLeftOutOf(l *ledger, now time.Time, last bool, app zap.Field) {
	ring := l.refused.Load()
	if ring == nil {
		return // never refused anything
	}
	for f := range ring.lines {
		n := ring.lines[f].flush(now, last)
		if n == 0 {
			continue
		}
		row := &refusals[f]
		if line := r.log.Check(levelOf(refusal(f)), "callbacks refused, without a line for each"); line != nil {
			line.Write(zap.String("reason", row.reason), zap.Int("status", row.status), zap.String("result", string(row.result)), zap.Uint64("left_out", n), app)
		} else {
			ring.lines[f].leftOut.Add(n)
			ring.lines[f].retry(r.log, levelOf(refusal(f)))
		}
	}
}
