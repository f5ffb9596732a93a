package quarantine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/schema"
)

// TestAdmit: what may go is in the journal with its time of receipt and ce_admitted, what is
// dropped is gone, the rest and other apps' stay.
func TestAdmit(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	j, err := openJournal(mem)
	must(t, err)
	defer j.Close()
	for n := range 5 {
		keep(t, s, refused(harbor, SignWrong, n, "x"), refused(lantern, SignWrong, n, "x"))
	}
	keep(t, s, refused(harbor, AppUnknown, 5, "x"), refused(lantern, AppUnknown, 6, "x"))
	s.Offer(refused(harbor, RequestTime, 7, "x")) // not written yet
	judge := func(c *Callback, at time.Time, dst []byte) ([]byte, Judged) {
		switch n, _ := strings.CutPrefix(string(c.Query), "SdkAppid=1400000001&n="); n {
		case "1", "4":
			return nil, Judged{Verdict: Stay, Why: "sign_wrong"}
		case "2":
			return nil, Judged{Verdict: Drop}
		}
		return admitAll(c, at, dst)
	}
	report, err := s.Admit(t.Context(), harbor, j, judge, nil)
	must(t, err)
	if want := (Report{Seen: 7, Admitted: 4, Dropped: 1, Stay: map[string]int64{"sign_wrong": 2}}); fmt.Sprint(report) != fmt.Sprint(want) {
		t.Errorf("%+v", report)
	}
	if got := admitted(t, j); !slices.Equal(got, of(harbor, 5, 0, 3, 7)) {
		t.Errorf("admitted %q", got)
	}
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 1, 4)) {
		t.Errorf("stayed %q", got)
	}
	if got := queries(t, mem, lantern); !slices.Equal(got, of(lantern, 6, 0, 1, 2, 3, 4)) {
		t.Errorf("of another app stayed %q", got)
	}
	if s.Stats().Entries != 8 || testutil.ToFloat64(s.metrics.admitted) != 4 {
		t.Errorf("%+v", s.Stats())
	}
	r := j.Reader(1)
	defer r.Close()
	e, _, err := r.Next()
	must(t, err)
	read, err := entry.Parse(e.Payload)
	must(t, err)
	if c := read.Callback; !c.ReceivedAt.Equal(epoch.Add(5*time.Second)) || string(c.Attributes[schema.AttributeAdmitted]) != "2026-11-26T02:02:03.000Z" {
		t.Errorf("received at %v, admitted at %s", c.ReceivedAt, c.Attributes[schema.AttributeAdmitted])
	}
	// Again: nothing more to do, now, or after a restart.
	for range 2 {
		if report, err := s.Admit(t.Context(), harbor, j, judge, nil); err != nil || report.Admitted != 0 || report.Seen != 2 {
			t.Errorf("%+v, %v", report, err)
		}
		must(t, s.Close())
		s = openIn(t, mem, 64<<20)
		if s.Unfinished() != nil {
			t.Error("an admit that ended is unfinished")
		}
	}
	if len(admitted(t, j)) != 4 {
		t.Errorf("admitted %q", admitted(t, j))
	}
}

// TestAdmitMany goes in batches over several segments, while others are refused.
func TestAdmitMany(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	j, err := openJournal(mem)
	must(t, err)
	defer j.Close()
	const total = 1500
	for n := range total {
		if !s.Offer(refused(harbor, SignWrong, n, strings.Repeat("x", 100))) {
			t.Fatal(n)
		}
		if n%100 == 0 {
			s.pass()
		}
	}
	tells := 0
	report, err := s.Admit(t.Context(), harbor, j, admitAll, func(Report) {
		tells++
		keep(t, s, refused(harbor, SignWrong, total+tells, "later"))
	})
	must(t, err)
	if report.Admitted != total || tells < total/maxBatch {
		t.Errorf("%+v, told %d times", report, tells)
	}
	if got := admitted(t, j); !slices.Equal(got, of(harbor, upTo(0, total-1)...)) {
		t.Errorf("%d admitted", len(got))
	}
	if got := queries(t, mem, harbor); len(got) != tells {
		t.Errorf("%d are kept of %d that came meanwhile", len(got), tells)
	}
}

// fakeJournal does as it is told.
type fakeJournal struct {
	*journal.Journal
	appendErr func(n int) error
	n         int
}

func (j *fakeJournal) Append(reserve bool, fill func([]byte) []byte) (journal.Ticket, error) {
	j.n++
	if err := j.appendErr(j.n); err != nil {
		return journal.Ticket{}, err
	}
	return j.Journal.Append(reserve, fill)
}

// TestJournalRefuses: what was taken before is admitted, the rest stays, and the next admit goes on.
func TestJournalRefuses(t *testing.T) {
	for _, refusal := range []error{journal.ErrFull, journal.ErrTooLarge} {
		mem := vfs.NewMem()
		s := openIn(t, mem, 64<<20)
		whole, err := openJournal(mem)
		must(t, err)
		j := &fakeJournal{Journal: whole, appendErr: func(n int) error {
			if n == 3 {
				return refusal
			}
			return nil
		}}
		for n := range 5 {
			keep(t, s, refused(harbor, SignWrong, n, "x"))
		}
		report, err := s.Admit(t.Context(), harbor, j, admitAll, nil)
		if errors.Is(refusal, journal.ErrTooLarge) {
			if err != nil || report.Admitted != 4 || report.Stay[tooLarge] != 1 {
				t.Errorf("%+v, %v", report, err)
			}
		} else if !errors.Is(err, journal.ErrFull) || report.Admitted != 2 {
			t.Errorf("%+v, %v", report, err)
		}
		report, err = s.Admit(t.Context(), harbor, j, admitAll, nil)
		if got := admitted(t, whole); err != nil || len(got) != 5 || len(inside(t, mem)) != 0 {
			t.Errorf("%+v, %v: admitted %q", report, err, got)
		}
		must(t, whole.Close())
	}
}

// TestMarksFail: what is in the journal and could not be marked is not admitted again.
func TestMarksFail(t *testing.T) {
	mem := vfs.NewMem()
	var failing atomic.Bool
	s := openIn(t, vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		if failing.Load() && strings.HasSuffix(op.Name, segmentSuffix) && op.Kind == vfs.KindWrite {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}), 64<<20)
	j, err := openJournal(mem)
	must(t, err)
	defer j.Close()
	keep(t, s, refused(harbor, SignWrong, 1, "x"), refused(harbor, SignWrong, 2, "x"))
	judge := func(c *Callback, at time.Time, dst []byte) ([]byte, Judged) {
		if string(c.Query) == of(harbor, 2)[0] {
			return nil, Judged{Verdict: Stay, Why: "sign_wrong"}
		}
		return admitAll(c, at, dst)
	}
	failing.Store(true)
	for range 3 {
		if _, err := s.Admit(t.Context(), harbor, j, judge, nil); !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
	}
	failing.Store(false)
	if _, err := s.Admit(t.Context(), harbor, j, judge, nil); err != nil {
		t.Error(err)
	}
	if got := admitted(t, j); !slices.Equal(got, of(harbor, 1)) || !slices.Equal(queries(t, mem, harbor), of(harbor, 2)) {
		t.Errorf("admitted %q", got)
	}
}

// TestAdmitEnds with its context between two batches, and with Close; one runs at a time.
func TestAdmitEnds(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	j, err := openJournal(mem)
	must(t, err)
	defer j.Close()
	for n := range 2 * maxBatch {
		s.Offer(refused(harbor, SignWrong, n, "x"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	report, err := s.Admit(ctx, harbor, j, admitAll, func(Report) {
		if _, err := s.Admit(ctx, harbor, j, admitAll, nil); !errors.Is(err, ErrAdmitting) {
			t.Errorf("a second one: %v", err)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) || report.Admitted != maxBatch || len(admitted(t, j)) != maxBatch {
		t.Errorf("%+v, %v", report, err)
	}
	must(t, s.Close())
	if _, err := s.Admit(t.Context(), harbor, j, admitAll, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// stuckJournal takes entries and never says that they are durable.
type stuckJournal struct {
	*journal.Journal
	once    sync.Once
	waiting chan struct{} // closed at the first Wait
}

func (j *stuckJournal) Wait(journal.Ticket, journal.Level) error {
	j.once.Do(func() { close(j.waiting) })
	return journal.ErrNotConfirmed
}

func (j *stuckJournal) Stats() journal.Stats {
	stats := j.Journal.Stats()
	stats.Synced = 0
	return stats
}

// TestAdmitHoldsNobodyUp: while an admit waits for a journal that makes nothing durable, callbacks go on
// being kept, and Run and Close end. The next start knows what the admit had under way.
func TestAdmitHoldsNobodyUp(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	whole, err := openJournal(mem)
	must(t, err)
	j := &stuckJournal{Journal: whole, waiting: make(chan struct{})}
	keep(t, s, refused(harbor, SignWrong, 1, "x"))
	done, ran := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.Admit(t.Context(), harbor, j, admitAll, nil)
		done <- err
	}()
	<-j.waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Offer(refused(harbor, SignWrong, 2, "x"))
	go func() { ran <- s.Run(ctx) }()
	select {
	case <-ran:
	case <-time.After(10 * time.Second):
		t.Error("Run does not end while an admit waits")
	}
	must(t, s.Close())
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("the admit: %v", err)
	}
	must(t, whole.Close()) // which syncs what it was given
	s = openIn(t, mem, 64<<20)
	defer s.Close()
	u := s.Unfinished()
	if u == nil {
		t.Fatal("nothing is under way")
	}
	must(t, journal.DumpFS(mem, "/j", u.After, func(e journal.Entry) error {
		u.See(e.LSN, e.Payload)
		return nil
	}))
	must(t, s.Finish(u, whole.ID()))
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 2)) {
		t.Errorf("%q are kept", got)
	}
}

// crash is one life of a quarantine and a journal that ends in the middle of an admit.
type crash struct {
	mem  *vfs.Mem
	cut  int64 // at which operation of the admit
	ops  atomic.Int64
	arm  atomic.Bool
	once sync.Once
	dead chan struct{}
}

func (c *crash) decide(vfs.Op) vfs.Fault {
	if !c.arm.Load() || c.ops.Add(1) != c.cut {
		return vfs.Fault{}
	}
	c.once.Do(func() { close(c.dead) })
	return vfs.Fault{Cut: c.mem}
}

// live keeps callbacks, begins to admit, and dies, or not: then it returns true.
func (c *crash) live(t *testing.T) (ended bool) {
	fsys := vfs.NewFaulty(c.mem, c.decide)
	s := openIn(t, fsys, 64<<20)
	j, err := journal.Open(journal.Options{Dir: "/j", MaxBytes: 2 << 20, MaxPayload: 8 << 10, FS: fsys, AckDeadline: 20 * time.Millisecond, Retain: time.Hour})
	must(t, err)
	for n := range 4 {
		keep(t, s, refused(harbor, SignWrong, n, "x"), refused(harbor, AppUnknown, n+10, "x"), refused(lantern, AppUnknown, n, "x"))
	}
	keep(t, s, refused(harbor, AppUnknown, 10, "x")) // the same once more: two were refused
	c.arm.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := s.Admit(t.Context(), harbor, j, admitAll, nil)
		done <- err
	}()
	select {
	case err := <-done:
		ended = err == nil
	case <-c.dead:
	}
	c.arm.Store(false)
	_ = s.Close() // waits for the admit
	if ended {
		must(t, j.Close())
		return true
	}
	c.mem.Cut() // nothing of this life reaches the disk any more
	_ = j.Close()
	return false
}

// TestAdmitOnceOverCrashes ends an admit at each of its operations, by kill and by power loss, and
// finds each callback admitted once after the next one (Q4).
func TestAdmitOnceOverCrashes(t *testing.T) {
	const kinds = 3 // a kill, and two different losses of power
	for cut, ended := int64(1), 0; ended < kinds; cut++ {
		ended = 0
		for kind := range kinds {
			c := &crash{mem: vfs.NewMem(), cut: cut, dead: make(chan struct{})}
			switch {
			case c.live(t):
				ended++
			case kind == 0:
				c.mem.Revive()
			default:
				c.mem.Restart(rand.New(rand.NewPCG(uint64(cut), uint64(kind))))
			}
			s := openIn(t, c.mem, 64<<20)
			u := s.Unfinished()
			if u != nil {
				must(t, journal.DumpFS(c.mem, "/j", u.After, func(e journal.Entry) error {
					u.See(e.LSN, e.Payload)
					return nil
				}))
			}
			j, err := openJournal(c.mem)
			must(t, err)
			if u != nil {
				must(t, s.Finish(u, j.ID()))
			}
			if n := testutil.ToFloat64(s.metrics.doubtful); n != 0 {
				t.Errorf("cut %d, kind %d: %v doubtful, and the journal has freed nothing", cut, kind, n)
			}
			_, err = s.Admit(t.Context(), harbor, j, admitAll, nil)
			must(t, err)
			got := admitted(t, j)
			slices.Sort(got)
			if want := of(harbor, 0, 1, 10, 10, 11, 12, 13, 2, 3); !slices.Equal(got, want) {
				t.Errorf("cut %d, kind %d: admitted %q", cut, kind, got)
			}
			if got := inside(t, c.mem); len(got) != 4 {
				t.Errorf("cut %d, kind %d: left %q", cut, kind, got)
			}
			must(t, s.Close())
			must(t, j.Close())
		}
		if cut > 2000 {
			t.Fatal("the admit does not end")
		}
	}
}

// TestDoubtful: where the journal cannot say, nothing is lost, and it is counted.
func TestDoubtful(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	keep(t, s, refused(harbor, SignWrong, 1, "x"), refused(harbor, SignWrong, 2, "x"))
	data := mem.Bytes(dir + "/" + segmentName(harbor, 1))
	payload, _ := admitAll(refused(harbor, SignWrong, 1, "x"), epoch, nil)
	b := &batch{journal: 7, after: 100, app: harbor, number: 1}
	must(t, eachItem(data, harbor, 1, func(r *item) error {
		b.moves = append(b.moves, move{offset: r.offset, crc: le.Uint32(data[r.offset+offsetCRC:]), sum: sumOf(payload)})
		return nil
	}))
	must(t, s.announce(b))
	must(t, s.Close())
	s = openIn(t, mem, 64<<20)
	u := s.Unfinished()
	if u == nil || u.Journal != 7 || u.After != 100 {
		t.Fatalf("%+v", u)
	}
	u.See(200, payload) // 101 to 199 may have been freed
	must(t, s.Finish(u, 7))
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 2)) || testutil.ToFloat64(s.metrics.doubtful) != 1 {
		t.Errorf("kept %q, %v doubtful", got, testutil.ToFloat64(s.metrics.doubtful))
	}
	must(t, s.Close())
	if s = openIn(t, mem, 64<<20); s.Unfinished() != nil {
		t.Error("it is unfinished for ever")
	}
}

// TestMarksOfAnotherSegment: a number may be used again once its segment is gone; what an old
// batch says of it is not done to the new one.
func TestMarksOfAnotherSegment(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	keep(t, s, refused(harbor, SignWrong, 1, "x"))
	b := &batch{app: harbor, number: 1, moves: []move{{offset: segmentHeaderLen, crc: 12345, done: true}, {offset: 1 << 40, done: true}, {offset: -1, done: true}}}
	s.mu.Lock()
	err := s.mark(b)
	s.mu.Unlock()
	if got := queries(t, mem, harbor); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}
