package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// of returns "SdkAppid=...&n=..." for each n.
func of(app int64, numbers ...int) (list []string) {
	for _, n := range numbers {
		list = append(list, fmt.Sprintf("SdkAppid=%d&n=%d", app, n))
	}
	return list
}

func upTo(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// TestOrder: each part's callbacks come back as they came, over restarts, those of unknown apps
// together.
func TestOrder(t *testing.T) {
	mem := vfs.NewMem()
	for life := range 3 {
		s := openIn(t, mem, 64<<20)
		for n := 3 * life; n < 3*life+3; n++ {
			keep(t, s, refused(harbor, SignWrong, n, "a"), refused(lantern, AppUnknown, n, "b"), refused(lantern+1, AppUnknown, n, "c"))
		}
		must(t, s.Close())
	}
	s := openIn(t, mem, 64<<20)
	s.count()
	if got := s.Stats(); got.Entries != 27 || got.Bytes != mem.Used() || got.LimitBytes != 64<<20 {
		t.Errorf("%+v, %d bytes on disk", got, mem.Used())
	}
	var want []string
	for n := range 9 {
		want = append(want, fmt.Sprintf("%d app_unknown SdkAppid=%d&n=%d", lantern, lantern, n), fmt.Sprintf("%d app_unknown SdkAppid=%d&n=%d", lantern+1, lantern+1, n))
	}
	for n := range 9 {
		want = append(want, fmt.Sprintf("%d sign_wrong SdkAppid=%d&n=%d", harbor, harbor, n))
	}
	if got := inside(t, mem); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestEvictionInItsOwnPart: a flood in one app's name, or of unknown apps, takes nothing from
// another part, and of its own only the oldest (Q2).
func TestEvictionInItsOwnPart(t *testing.T) {
	for name, flood := range map[string]*Callback{
		"one app":      refused(lantern, SignMissing, 0, strings.Repeat("x", 1000)),
		"unknown apps": refused(lantern, AppUnknown, 0, strings.Repeat("x", 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			s := openIn(t, mem, 16<<20)
			keep(t, s, refused(harbor, SignWrong, 1, "honest"))
			for n := range 3000 { // three times what a part may have
				c := *flood
				c.AppID += int64(n % 7 * int(c.Reason/AppUnknown))
				c.Query = fmt.Appendf(nil, "n=%d", n)
				keep(t, s, &c)
			}
			if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 1)) {
				t.Errorf("of the honest app %q is left", got)
			}
			kept := inside(t, mem)[1:]
			if reason := flood.Reason; reason == AppUnknown {
				kept = inside(t, mem)
				kept = kept[:len(kept)-1]
			}
			if len(kept) < 600 || !strings.HasSuffix(kept[len(kept)-1], "n=2999") || !strings.HasSuffix(kept[0], fmt.Sprint("n=", 3000-len(kept))) {
				t.Errorf("%d kept, %q to %q", len(kept), kept[0], kept[len(kept)-1])
			}
			if n := testutil.ToFloat64(s.metrics.evicted); int(n) != 3000-len(kept) {
				t.Errorf("%v evicted, %d kept", n, len(kept))
			}
			if got := s.Stats(); got.Bytes > 1<<20+4096 || got.Bytes != mem.Used() || int(got.Entries) != len(kept)+1 {
				t.Errorf("%+v, %d bytes on disk", got, mem.Used())
			}
		})
	}
}

// TestManyLargeParts: beyond sixteen the largest gives way, and who has no more than his share
// loses nothing.
func TestManyLargeParts(t *testing.T) {
	mem := vfs.NewMem()
	const limit = 4 << 20
	s := openIn(t, mem, limit)
	keep(t, s, refused(harbor, SignWrong, 1, strings.Repeat("h", 1000)))
	body := strings.Repeat("x", 8000)
	for n := range 60 {
		for app := range 20 {
			keep(t, s, refused(int64(lantern+app), SignWrong, n, body))
		}
		if got := s.Stats().Bytes; got > limit {
			t.Fatalf("%d bytes", got)
		}
	}
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 1)) {
		t.Errorf("of the small part %q is left", got)
	}
	for app := range 20 {
		if got := queries(t, mem, int64(lantern+app)); len(got) < 8 || got[len(got)-1] != of(int64(lantern+app), 59)[0] {
			t.Errorf("part %d: %d kept", app, len(got))
		}
	}
}

// TestSegmentsAreBounded: they are read whole, however large a part may be.
func TestSegmentsAreBounded(t *testing.T) {
	s := openIn(t, vfs.NewMem(), 1<<40)
	if n := s.segmentBytes(&part{bytes: 10 << 30}); n > 8<<20 {
		t.Errorf("a segment of %d bytes", n)
	}
}

// TestFloodInMemory: while no pass comes, a part has its share and no more, and others theirs (Q1).
func TestFloodInMemory(t *testing.T) {
	s := openIn(t, vfs.NewMem(), 256<<20)
	body := strings.Repeat("x", 100_000)
	for app := range 7 {
		for s.Offer(refused(int64(lantern+app), SignWrong, 0, body)) {
		}
	}
	if !s.Offer(refused(harbor, SignWrong, 1, "honest")) {
		t.Error("seven floods take the eighth part's room")
	}
	for app := range 100 {
		for s.Offer(refused(int64(lantern+app), SignWrong, 0, body)) {
		}
	}
	if n := len(s.waiting.buf); n > maxPending+sparePending {
		t.Errorf("%d bytes wait", n)
	}
	if s.Offer(refused(harbor, SignWrong, 1, strings.Repeat("x", 3<<20))) {
		t.Error("a callback larger than all that a part may have was taken")
	}
	for why, want := range map[skip]bool{skipPart: true, skipAll: true, skipSize: true, skipDevice: false, skipClosed: false} {
		if n := testutil.ToFloat64(s.metrics.skipped[why]); (n > 0) != want {
			t.Errorf("skipped{%s} is %v", skipNames[why], n)
		}
	}
	s.pass()
	if got := s.Stats().Entries; got == 0 || len(s.waiting.buf) != 0 {
		t.Errorf("%d entries, %d bytes wait", got, len(s.waiting.buf))
	}
	for len(s.kick) > 0 {
		<-s.kick
		s.pass()
	}
	if n := cap(s.waiting.buf) + cap(s.waiting.spare); n > maxIdleBuffer {
		t.Errorf("after the flood %d bytes of memory are left", n)
	}
}

// TestManyFloodsInMemory: however many parts are flooded, one that has little waiting has room (Q1).
func TestManyFloodsInMemory(t *testing.T) {
	s := openIn(t, vfs.NewMem(), 256<<20)
	for _, size := range []int{250_000, 10_000, 100} {
		for app := range 100 {
			for s.Offer(refused(int64(lantern+app), SignWrong, 0, strings.Repeat("x", size))) {
			}
		}
	}
	for n := range 7 {
		if !s.Offer(refused(harbor, SignWrong, n, strings.Repeat("h", 1000))) {
			t.Fatalf("of the honest app %d are kept", n)
		}
	}
	for app := range 5000 {
		for s.Offer(refused(int64(lantern+app), SignWrong, 0, "x")) {
		}
	}
	if n := len(s.waiting.buf); n > maxPending+sparePending {
		t.Errorf("%d bytes wait", n)
	}
}

// TestOfferAllocatesNothing: it is called for every forged request.
func TestOfferAllocatesNothing(t *testing.T) {
	s := openIn(t, vfs.NewMem(), 256<<20)
	c := refused(harbor, SignWrong, 1, strings.Repeat("x", 500))
	s.waiting.buf = make([]byte, 0, 4<<20)
	if n := testing.AllocsPerRun(1000, func() { s.Offer(c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRun writes soon, syncs once a second, and writes what is left at its end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		syncs := 0
		s, err := Open(Options{Dir: dir, MaxBytes: 64 << 20, FS: vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
			if op.Kind == vfs.KindSync {
				syncs++
			}
			return vfs.Fault{}
		})})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		for n := range 50 { // five seconds
			s.Offer(refused(harbor, SignWrong, n, "x"))
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if syncs < 4 || syncs > 6 || len(inside(t, mem)) < 47 {
			t.Errorf("%d syncs in five seconds, %d kept", syncs, len(inside(t, mem)))
		}
		s.Offer(refused(harbor, SignWrong, 50, "x"))
		cancel()
		must(t, <-done)
		if s.Offer(refused(harbor, SignWrong, 51, "x")) {
			t.Error("taken after the end")
		}
		if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, upTo(0, 50)...)) {
			t.Errorf("%q", got)
		}
		must(t, s.Close())
	})
}

// TestFullDevice: nothing is kept, it is counted, and goes on when there is room; nothing is
// written where the journal needs what is left.
func TestFullDevice(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	mem.SetCapacity(keepFree) // less than is kept free
	keep(t, s, refused(harbor, SignWrong, 1, "x"))
	if n := testutil.ToFloat64(s.metrics.skipped[skipDevice]); n != 1 || mem.Used() != 0 {
		t.Errorf("%v skipped, %d bytes on disk", n, mem.Used())
	}
	mem.SetCapacity(0)
	keep(t, s, refused(harbor, SignWrong, 2, "x"))
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 2)) {
		t.Errorf("%q", got)
	}
}

// TestFailingDevice: whatever fails, what is read afterwards is what was offered, and the counts
// are those of the files.
func TestFailingDevice(t *testing.T) {
	for _, kind := range []vfs.Kind{vfs.KindCreate, vfs.KindWrite, vfs.KindSync, vfs.KindSyncDir, vfs.KindOpen, vfs.KindRemove} {
		for _, short := range []bool{false, true} {
			mem := vfs.NewMem()
			failing := false
			s := openIn(t, vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
				if failing && op.Kind == kind {
					return vfs.Fault{Err: syscall.EIO, Short: short}
				}
				return vfs.Fault{}
			}), 1<<20)
			keep(t, s, refused(harbor, SignWrong, 1, "x"))
			failing = true
			for n := range 20 {
				keep(t, s, refused(harbor, SignWrong, 2+n, strings.Repeat("x", 8000)), refused(lantern, SignWrong, n, "x"))
			}
			failing = false
			keep(t, s, refused(harbor, SignWrong, 22, "x"))
			_, err := readFS(mem, dir, func(*Callback, int) error { return nil })
			must(t, err)
			got := queries(t, mem, harbor)
			if got[len(got)-1] != of(harbor, 22)[0] {
				t.Errorf("kind %d: %q", kind, got)
			}
			if n := s.Stats().Entries; int(n) != len(got)+len(queries(t, mem, lantern)) {
				t.Errorf("kind %d: %d entries, %d in files", kind, n, len(got))
			}
			if testutil.ToFloat64(s.metrics.errors) == 0 && kind != vfs.KindRemove {
				t.Errorf("kind %d: no error is counted", kind)
			}
			must(t, s.Close())
		}
	}
}

// TestTornTail: what a crash leaves behind the last whole item is cut off, and nothing is
// appended behind it.
func TestTornTail(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	keep(t, s, refused(harbor, SignWrong, 1, "x"), refused(harbor, SignWrong, 2, "x"))
	must(t, s.Close())
	mem.Edit(dir+"/"+segmentName(harbor, 1), func(data []byte) []byte { return data[:len(data)-1] })
	s = openIn(t, mem, 64<<20)
	keep(t, s, refused(harbor, SignWrong, 3, "x"))
	damaged, err := readFS(mem, dir, func(*Callback, int) error { return nil })
	if err != nil || len(damaged) != 1 || damaged[0].Name != segmentName(harbor, 1) || !errors.Is(damaged[0].Err, ErrCorrupt) {
		t.Errorf("%v, %v", damaged, err)
	}
	if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 1, 3)) || s.Stats().Entries != 2 {
		t.Errorf("%q, %d entries", got, s.Stats().Entries)
	}
}

// TestNotOurs: a directory that is not ours, or a newer release's, is refused and left as it is
// (Q6); so is one that is in use.
func TestNotOurs(t *testing.T) {
	for name, row := range map[string]struct {
		file, text string
		want       error
	}{
		"foreign":         {"notes.txt", "mine", ErrForeign},
		"version":         {segmentName(harbor, 1), "", ErrVersion},
		"admitting":       {admittingName, "", ErrVersion},
		"bad header":      {segmentName(harbor, 1), strings.Repeat("\x00", 100), nil},
		"bad admitting":   {admittingName, "x", nil},
		"unfinished file": {admittingName + tmpSuffix, "x", nil},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			must(t, mem.MkdirAll(dir))
			text := []byte(row.text)
			switch name {
			case "version":
				text = appendSegmentHeader(nil, harbor, 1, epoch)
				le.PutUint32(text[8:], 2)
				le.PutUint32(text[44:], crcOf(text[:44]))
			case "admitting":
				text = (&batch{}).encode()
				le.PutUint32(text[8:], 2)
				le.PutUint32(text[len(text)-4:], crcOf(text[:len(text)-4]))
			}
			f, err := mem.Create(dir + "/" + row.file)
			must(t, err)
			_, err = f.WriteAt(text, 0)
			must(t, err)
			s, err := Open(Options{Dir: dir, MaxBytes: 64 << 20, FS: mem})
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Fatalf("%v, want %v", err, row.want)
			}
			if err != nil {
				if got := mem.Bytes(dir + "/" + row.file); string(got) != string(text) {
					t.Errorf("the file became %q", got)
				}
				return
			}
			keep(t, s, refused(harbor, SignWrong, 1, "x"))
			if got := queries(t, mem, harbor); !slices.Equal(got, of(harbor, 1)) {
				t.Errorf("%q", got)
			}
			if _, err := Open(Options{Dir: dir, MaxBytes: 64 << 20, FS: mem}); !errors.Is(err, ErrLocked) {
				t.Errorf("a second one: %v", err)
			}
		})
	}
}

// TestSmallerLimit: a start with a smaller MaxBytes evicts the oldest.
func TestSmallerLimit(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	for n := range 40 {
		keep(t, s, refused(harbor, SignWrong, n, strings.Repeat("x", 50_000)))
	}
	must(t, s.Close())
	s = openIn(t, mem, 16<<20)
	s.pass()
	got := queries(t, mem, harbor)
	if n := s.Stats(); n.Bytes > 1<<20 || n.Bytes != mem.Used() || len(got) < 15 || got[len(got)-1] != of(harbor, 39)[0] {
		t.Errorf("%+v, kept %q", n, got)
	}
}

// TestManyAtOnce: what Offer took while others offer, passes write and admits go on, is there once.
func TestManyAtOnce(t *testing.T) {
	mem := vfs.NewMem()
	s := openIn(t, mem, 64<<20)
	j, err := openJournal(mem)
	must(t, err)
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	const senders, each = 4, 200
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			for n := range each {
				reason := [...]Reason{SignWrong, AppUnknown}[n%2]
				if !s.Offer(refused(harbor, reason, sender*each+n, "x")) {
					t.Error("not taken")
				}
				s.Offer(refused(lantern, reason, n, "x"))
			}
		})
	}
	for range 5 {
		_, err := s.Admit(t.Context(), harbor, j, admitAll, nil)
		must(t, err)
	}
	group.Wait()
	cancel()
	must(t, <-done)
	_, err = s.Admit(t.Context(), harbor, j, admitAll, nil)
	must(t, err)
	got, want := admitted(t, j), of(harbor, upTo(0, senders*each-1)...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(queries(t, mem, lantern)) != senders*each || s.Stats().Entries != senders*each {
		t.Errorf("%d admitted of %d; of another app are left %d; %+v", len(got), len(want), len(queries(t, mem, lantern)), s.Stats())
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, err := Open(Options{Dir: dir, MaxBytes: 64 << 20, FS: vfs.NewMem(), Metrics: reg})
	must(t, err)
	keep(t, s, refused(harbor, SignWrong, 1, "x"), refused(harbor, RequestTime, 1, "x"))
	must(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP tidegate_gateway_quarantine_entries Refused callbacks that are kept in quarantine.
# TYPE tidegate_gateway_quarantine_entries gauge
tidegate_gateway_quarantine_entries 2
# HELP tidegate_gateway_quarantined_total Refused callbacks that were kept in quarantine, by why they were refused.
# TYPE tidegate_gateway_quarantined_total counter
tidegate_gateway_quarantined_total{reason="app_unknown"} 0
tidegate_gateway_quarantined_total{reason="request_time"} 1
tidegate_gateway_quarantined_total{reason="sign_missing"} 0
tidegate_gateway_quarantined_total{reason="sign_wrong"} 1
`), "tidegate_gateway_quarantine_entries", "tidegate_gateway_quarantined_total"))
}

// TestMinBytes: at that limit a callback of that size is kept.
func TestMinBytes(t *testing.T) {
	mem := vfs.NewMem()
	c := refused(harbor, SignWrong, 1, strings.Repeat("x", 100_000))
	s := openIn(t, mem, MinBytes(100_000+len(c.Query)+len(c.Command)))
	keep(t, s, c)
	keep(t, s, c)
	if got := queries(t, mem, harbor); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
