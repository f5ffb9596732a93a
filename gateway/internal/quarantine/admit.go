package quarantine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

const (
	maxBatch      = 256     // items that are admitted at once
	maxBatchBytes = 1 << 20 // of entries that are appended at once, but for the last
	minPause      = 5 * time.Millisecond
	confirmEvery  = 50 * time.Millisecond
)

// Verdict is what is done with a kept callback.
type Verdict uint8

// The verdicts.
const (
	Stay  Verdict = iota // it would be refused today too
	Admit                // it goes into the journal
	Drop                 // today's route drops it: it is removed
)

// Judged is what a Judge says.
type Judged struct {
	Verdict Verdict
	Why     string // of Stay: one word of a closed set
	Reserve bool   // of Admit: as Append has it
}

// Judge looks at a callback again. For Admit it appends the payload of the journal's entry to dst
// and returns that. admitted is for ce_admitted. It must not keep views into c.
type Judge func(c *Callback, admitted time.Time, dst []byte) ([]byte, Judged)

// Journal is where admitted callbacks go. *journal.Journal is one; see there.
type Journal interface {
	ID() uint64
	Stats() journal.Stats
	Append(reserve bool, fill func(dst []byte) []byte) (journal.Ticket, error)
	Wait(t journal.Ticket, level journal.Level) error
}

// Report says how an admit stands.
type Report struct {
	Seen     int64            `json:"seen"`     // callbacks of the app that were looked at
	Admitted int64            `json:"admitted"` // durable in the journal, and no longer in quarantine
	Dropped  int64            `json:"dropped"`  // today's route drops them: removed
	Stay     map[string]int64 `json:"stay"`     // still in quarantine, by why
}

// tooLarge is the Why of a callback that is larger than the journal takes today.
const tooLarge = "too_large"

// Admit judges all that is kept of an app, in its own part and in that of unknown apps, oldest
// first in each, and moves what may into the journal. What was offered before it began is seen.
// When it returns nil, everything that is reported as admitted is durable in the journal and
// durably removed here.
//
// It goes in batches, with pauses as long as each took, so that it has at most half of the device.
// tell, which may be nil, is called after each. Between two batches it ends when ctx does.
//
// Errors: ErrAdmitting, ErrClosed, ctx's, those of the journal's Append (journal.ErrFull: go on
// when it has room), and I/O. After each, what was under way is finished by the next Admit, or the
// next start. It may be called from any goroutine.
func (s *Store) Admit(ctx context.Context, app int64, to Journal, judge Judge, tell func(Report)) (Report, error) {
	report := Report{Stay: map[string]int64{}}
	if !s.admitting.TryLock() {
		return report, ErrAdmitting
	}
	defer s.admitting.Unlock()
	select {
	case <-s.done:
		return report, ErrClosed
	default:
	}
	a := &admission{s: s, app: app, to: to, judge: judge, report: &report}
	s.pass() // what waits is to be seen too
	if err := a.finish(); err != nil {
		return report, err
	}
	for _, place := range a.places() {
		for place.offset < place.end {
			began := time.Now()
			if err := a.batch(&place); err != nil {
				return report, err
			}
			if tell != nil {
				tell(report)
			}
			if err := a.pause(ctx, max(time.Since(began), minPause)); err != nil {
				return report, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return report, s.forget()
}

// admission is one Admit.
type admission struct {
	s      *Store
	app    int64
	to     Journal
	judge  Judge
	report *Report

	payloads []byte // of the entries of a batch
	entries  []span // in payloads, one for each move
}

type span struct {
	from, to int
	reserve  bool
}

// place is a segment, or what is left to look at of it.
type place struct {
	part        int64
	number      uint64
	offset, end int64
}

// places returns the segments that there are to look at.
func (a *admission) places() (list []place) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	for _, app := range []int64{unknownPart, a.app} {
		p := a.s.parts[app]
		if p == nil {
			continue
		}
		for _, g := range p.segs {
			if g.kept > 0 {
				list = append(list, place{app, g.number, segmentHeaderLen, g.size})
			}
		}
	}
	return list
}

// finish finishes what an earlier Admit left: its entries are in the journal.
func (a *admission) finish() error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	b := a.s.unfinished
	if b == nil {
		return nil
	}
	if err := a.s.mark(b); err != nil {
		return fmt.Errorf("finish an earlier admit: %w", err)
	}
	a.s.unfinished = nil
	return nil
}

// errBatch ends the reading of a segment when the batch is full.
var errBatch = errors.New("batch is full")

// batch judges items from at.offset on and moves what may go.
func (a *admission) batch(at *place) error {
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.parts[at.part].segment(at.number)
	if g == nil {
		at.offset = at.end // evicted
		return nil
	}
	data, err := readSegment(s.fs, s.path(g.name), 0, at.end)
	if err != nil {
		return fmt.Errorf("read %s: %w", g.name, err)
	}
	b := &batch{journal: a.to.ID(), after: a.to.Stats().Appended, app: at.part, number: at.number}
	drops := a.collect(b, data, at)
	if len(b.moves) == 0 && len(drops) == 0 {
		return nil
	}
	var failed error
	if len(b.moves) > 0 {
		if err := s.announce(b); err != nil {
			return fmt.Errorf("write what is to be admitted: %w", err)
		}
		s.unfinished = b
		if failed = a.append(b); errors.Is(failed, ErrClosed) {
			return failed // what is durable is found by the next start
		}
	}
	admitted := int64(0)
	for i := range b.moves {
		if b.moves[i].done {
			admitted++
		}
	}
	b.moves = append(b.moves, drops...)
	if err := s.mark(b); err != nil {
		s.unfinished = b
		return errors.Join(failed, fmt.Errorf("remove what was admitted, which the next admit does: %w", err))
	}
	s.unfinished = nil
	a.report.Admitted += admitted
	a.report.Dropped += int64(len(drops))
	s.metrics.admitted.Add(float64(admitted))
	return failed
}

// collect judges items until the batch is full, and moves at on. It returns those that are to be
// dropped.
func (a *admission) collect(b *batch, data []byte, at *place) (drops []move) {
	a.payloads, a.entries = a.payloads[:0], a.entries[:0]
	admitted := a.s.now().Truncate(time.Millisecond)
	looked := 0
	err := eachItemFrom(data, int(at.offset), func(r *item) error {
		if len(b.moves) == maxBatch || len(a.payloads) >= maxBatchBytes || looked == maxMoves-maxBatch {
			return errBatch
		}
		looked++
		at.offset = r.offset + int64(r.size)
		if r.removed || r.AppID != a.app {
			return nil
		}
		a.report.Seen++
		from := len(a.payloads)
		payloads, judged := a.judge(&r.Callback, admitted, a.payloads)
		m := move{offset: r.offset, crc: le.Uint32(data[r.offset+offsetCRC:])}
		switch judged.Verdict {
		case Admit:
			a.payloads = payloads
			m.sum = sumOf(payloads[from:])
			b.moves = append(b.moves, m)
			a.entries = append(a.entries, span{from, len(payloads), judged.Reserve})
		case Drop:
			m.done = true
			drops = append(drops, m)
		default:
			a.report.Stay[judged.Why]++
		}
		return nil
	})
	if err != nil && !errors.Is(err, errBatch) {
		at.offset = at.end // the rest cannot be read
	}
	return drops
}

// append appends the batch's entries to the journal and returns when they are durable; those are
// marked as done. An error is of the first entry that was not taken. ErrClosed: it is not known
// what is durable.
func (a *admission) append(b *batch) (failed error) {
	var last journal.Ticket
	for i, e := range a.entries {
		t, err := a.to.Append(e.reserve, func(dst []byte) []byte { return append(dst, a.payloads[e.from:e.to]...) })
		if errors.Is(err, journal.ErrTooLarge) {
			a.report.Stay[tooLarge]++
			continue
		}
		if err != nil {
			failed = fmt.Errorf("append to the journal: %w", err)
			break
		}
		last, b.moves[i].done = t, true
	}
	if last.LSN == 0 {
		return failed
	}
	if err := a.confirm(last); err != nil {
		for i := range b.moves {
			b.moves[i].done = false
		}
		return err
	}
	return failed
}

// confirm returns when all entries up to the ticket's are durable, however long that takes: they
// may become so, and then they must not be admitted again. ErrClosed: Close came before. Store.mu is
// let go meanwhile: on a device that takes nothing, Run has to go on, and to end.
func (a *admission) confirm(t journal.Ticket) error {
	a.s.mu.Unlock()
	defer a.s.mu.Lock()
	for {
		err := a.to.Wait(t, journal.Disk)
		if err == nil || a.to.Stats().Synced >= t.LSN {
			return nil
		}
		select {
		case <-a.s.done:
			return ErrClosed
		case <-time.After(confirmEvery):
		}
	}
}

func (a *admission) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-a.s.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Unfinished is an admit that a crash ended.
type Unfinished struct {
	Journal uint64      // id of the journal that it appended to
	After   journal.LSN // its entries are behind that one

	b     *batch
	found map[sum]int // entries in the journal, by their sums
	whole bool        // the journal has freed nothing of what came behind After
	doubt bool        // not all was seen
}

// Unfinished returns the admit that a crash ended, nil when there is none. The caller, before
// anything of the journal can be freed, calls See for each entry of it from After on, and when the
// journal is open and recovered, Finish, before it calls Run.
func (s *Store) Unfinished() *Unfinished {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.unfinished
	if b == nil {
		return nil
	}
	return &Unfinished{Journal: b.journal, After: b.after, b: b, found: map[sum]int{}, whole: b.after == 0}
}

// See notes an entry of the journal whose id is Journal.
func (u *Unfinished) See(lsn journal.LSN, payload []byte) {
	if lsn <= u.After {
		u.whole = true
		return
	}
	u.found[sumOf(payload)]++
}

// Doubt notes that not all of the journal could be read.
func (u *Unfinished) Doubt() { u.doubt = true }

// Finish marks what the admit had made durable in the journal, whose id is given. The rest stays,
// and is counted as doubtful where the journal cannot say. An error: it is tried again by the next
// Admit or start.
func (s *Store) Finish(u *Unfinished, journal uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count()
	if journal != u.Journal { // another one: what it holds says nothing
		clear(u.found)
		u.doubt = true
	}
	doubtful := 0
	for i := range u.b.moves {
		switch m := &u.b.moves[i]; {
		case u.found[m.sum] > 0:
			u.found[m.sum]--
			m.done = true
		case (u.doubt || !u.whole) && s.isKept(u.b, m):
			doubtful++
		}
	}
	if doubtful > 0 {
		s.metrics.doubtful.Add(float64(doubtful))
		s.log.Warn("quarantine: whether these were admitted before the crash cannot be known; they are kept, and may be admitted twice",
			zap.Int("count", doubtful), zap.String("app", partName(u.b.app)))
	}
	if err := s.mark(u.b); err != nil {
		return fmt.Errorf("finish an admit: %w", err)
	}
	s.unfinished = nil
	return s.forget()
}

// isKept reports whether the item of a move is still there.
func (s *Store) isKept(b *batch, m *move) bool {
	g := s.parts[b.app].segment(b.number)
	if g == nil || m.offset < 0 || m.offset >= g.size {
		return false
	}
	data, err := readSegment(s.fs, s.path(g.name), m.offset, g.size)
	var r item
	return err == nil && decodeItem(data, m.offset, &r) == nil && !r.removed && le.Uint32(data[offsetCRC:]) == m.crc
}
