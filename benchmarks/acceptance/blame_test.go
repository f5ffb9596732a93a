package acceptance

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/acceptance/proof"
	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/schema"
)

// copyOf is a further copy of the entry with an LSN.
func copyOf(lsn uint64) ledger.Found {
	return ledger.Found{ID: schema.CallbackID{Journal: 1, LSN: lsn}.String()}
}

// A copy is excused by a kill that found its entry above the checkpoint, and each by one of
// its own.
func TestBlame(t *testing.T) {
	kills := []proof.Kill{{Settled: 10, Last: 14, Entries: 4}, {Settled: 12, Last: 1014, Entries: 6}}
	copies := []ledger.Found{copyOf(11), copyOf(13), copyOf(13), copyOf(14), copyOf(1014)}
	blamed, allowed := blame(kills, copies)
	if !slices.Equal(blamed, []int{0, 0, 1, 0, 1}) || allowed != 10 || kills[0].Copies != 3 || kills[1].Copies != 2 {
		t.Errorf("blamed %v, allowed %d, kills %+v", blamed, allowed, kills)
	}
	if err := checkCopies(copies, blamed); err != nil {
		t.Error(err)
	}
	for name, copies := range map[string][]ledger.Found{
		"settled at every kill": {copyOf(10)},
		"never there":           {copyOf(1015)},
		"more than kills":       {copyOf(13), copyOf(13), copyOf(13)},
		"settled at the second": {copyOf(12), copyOf(12)},
		"no id":                 {{ID: "?"}},
	} {
		blamed, _ := blame(kills, copies)
		if err := checkCopies(copies, blamed); blamed[len(blamed)-1] != -1 || err == nil || !strings.Contains(err.Error(), "settled") {
			t.Errorf("%s: blamed %v, %v", name, blamed, err)
		}
	}
}

// A checkpoint that is never written makes a copy of everything at every kill.
func TestTooManyCopies(t *testing.T) {
	copies := slices.Repeat([]ledger.Found{copyOf(1), copyOf(2)}, mostCopies)
	if err := checkCopies(copies, make([]int, len(copies))); err != nil {
		t.Errorf("%d copies of each: %v", mostCopies, err)
	}
	copies = append(copies, copyOf(2))
	if err := checkCopies(copies, make([]int, len(copies))); err == nil || !strings.Contains(err.Error(), "-2") {
		t.Errorf("one more: %v", err)
	}
}

// Memory may forget only what was answered shortly before a kill.
func TestNearKill(t *testing.T) {
	margin := forgets.Microseconds()
	kills := []proof.Kill{{At: 10 * margin, Gone: 10*margin + 5}, {At: 20 * margin, Gone: 20*margin + 5}}
	for _, test := range []struct {
		name       string
		sent, done int64
		want       int
	}{
		{"long before", 10*margin - margin - 9, 10*margin - margin - 1, -1},
		{"shortly before", 10*margin - 9, 10*margin - 1, 0},
		{"while it died", 10*margin + 4, 10*margin + 9, 0},
		{"after it was gone", 10*margin + 6, 10*margin + 9, -1},
		{"before the next", 20*margin - 9, 20*margin - 8, 1},
	} {
		if got := nearKill(kills, &ledger.Entry{Sent: test.sent, Done: test.done}); got != test.want {
			t.Errorf("%s: kill %d, want %d", test.name, got, test.want)
		}
	}
}

// Memory may forget the end of a life, and nothing before what was kept of that life.
func TestForgottenIsAnEnd(t *testing.T) {
	kills := []proof.Kill{{At: 100, Gone: 105}, {At: 200, Gone: 205}}
	at := func(seq, sent int64) ledger.Entry { return ledger.Entry{Seq: seq, Sent: sent, Done: sent + 5} }
	for _, test := range []struct {
		name      string
		forgotten []int64 // when they were sent
		found     []int64
		wrong     bool
	}{
		{"the end", []int64{60, 70}, []int64{10, 50}, false},
		{"under way at the same time", []int64{50}, []int64{54}, false},
		{"answered before what was kept was sent", []int64{50}, []int64{56}, true},
		{"what was kept is of the next life", []int64{90}, []int64{110}, false},
		{"in the next life", []int64{120}, []int64{130}, true},
		{"sent while the process died, so of no sure life", []int64{80}, []int64{103}, false},
		{"after the last kill", []int64{150}, []int64{210}, false},
	} {
		found := map[int64]bool{}
		var entries, forgotten []ledger.Entry
		for _, sent := range test.found {
			found[sent] = true
			entries = append(entries, at(sent, sent))
		}
		for _, sent := range test.forgotten {
			forgotten = append(forgotten, at(sent, sent))
		}
		entries = append(entries, forgotten...)
		err := checkForgotten(kills, forgotten, entries, func(e *ledger.Entry) bool { return found[e.Sent] })
		if (err != nil) != test.wrong {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
