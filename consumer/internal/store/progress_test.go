package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

func TestProgressCovers(t *testing.T) {
	p := progressAt(100)
	for _, test := range []struct {
		name   string
		offset int64
		time   time.Duration // after the newest saved
		want   bool
	}{
		{"the last record that was saved", 100, 0, true},
		{"the last record, its time with a fraction of a millisecond", 100, 999 * time.Microsecond, true},
		{"an earlier record", 7, -time.Minute, true},
		{"the next record", 101, time.Second, false},
		{"the next record, of a producer whose clock is behind", 101, -time.Hour, false},
		{"offset 0 of a topic made again", 0, time.Second, false},
		{"offset 100 of a topic made again", 100, time.Millisecond, false},
	} {
		r := schema.Record{Offset: test.offset, Time: p.Newest.Add(test.time)}
		if got := p.Covers(&r); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestProgressAfter(t *testing.T) {
	at := func(offset int64, seconds int) Progress {
		return Progress{Topic: rawTopic, Partition: 3, Offset: offset, Newest: start.Add(time.Duration(seconds) * time.Second)}
	}
	ending := func(p Progress, logEnd int64) Progress { p.LogEnd = logEnd; return p }
	for _, test := range []struct {
		name            string
		old, next, want Progress
	}{
		{"further", at(10, 10), at(20, 20), at(20, 20)},
		{"further, by a clock that is behind", at(10, 10), at(20, 5), at(20, 10)},
		{"the same batch again", at(10, 10), at(10, 10), at(10, 10)},
		{"a part of a batch again", at(10, 10), at(4, 4), at(10, 10)},
		{"a topic made again", at(1000, 10), at(4, 12), at(4, 12)},
		{"a topic made again, already longer", at(10, 10), at(40, 12), at(40, 12)},
		{"the same batch again, when the log had grown", ending(at(10, 10), 11), ending(at(10, 10), 15), ending(at(10, 10), 15)},
		{"an earlier batch of an owner that wakes up late", ending(at(10, 10), 15), ending(at(4, 4), 5), ending(at(10, 10), 15)},
	} {
		if got := test.old.after(test.next); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestProgressLaw redelivers parts of a partition at will: what was saved is covered,
// what was not is not.
func TestProgressLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offset, clock := int64(0), 0
		var saved []schema.Record
		var progress Progress
		begun := false
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			if rapid.IntRange(0, 9).Draw(t, "made again") == 0 {
				offset, saved = 0, nil
				clock += 1000 // a new topic is made after the records of the old one
			}
			batch := drawRedelivered(t, saved)
			for range rapid.IntRange(0, 5).Draw(t, "new") {
				clock++
				at := start.Add(time.Duration(clock+rapid.IntRange(-5, 5).Draw(t, "skew")) * time.Second)
				r := schema.Record{Offset: offset, Time: at}
				offset += 1 + int64(rapid.IntRange(0, 2).Draw(t, "gap"))
				if begun && progress.Covers(&r) {
					t.Fatalf("new record %+v is covered by %+v", r, progress)
				}
				batch, saved = append(batch, r), append(saved, r)
			}
			if len(batch) == 0 {
				continue
			}
			next := Progress{Offset: batch[len(batch)-1].Offset}
			for _, r := range batch {
				if r.Time.After(next.Newest) {
					next.Newest = r.Time
				}
			}
			if begun {
				next = progress.after(next)
			}
			progress, begun = next, true
			for i := range saved {
				if !progress.Covers(&saved[i]) {
					t.Fatalf("saved record %+v is not covered by %+v", saved[i], progress)
				}
			}
		}
	})
}

// drawRedelivered draws a run of records that were saved before.
func drawRedelivered(t *rapid.T, saved []schema.Record) []schema.Record {
	from := rapid.IntRange(0, len(saved)).Draw(t, "from")
	to := rapid.IntRange(from, len(saved)).Draw(t, "to")
	if to < len(saved) && rapid.Bool().Draw(t, "to the end") {
		to = len(saved)
	}
	return append([]schema.Record(nil), saved[from:to]...)
}
