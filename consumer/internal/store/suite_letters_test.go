package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// saveLetters saves n dead letters, of which letter i failed i minutes after start, and
// returns their rows, in the order of saving.
func saveLetters(t *testing.T, s Store, n int) []DeadLetter {
	t.Helper()
	c := Changes{Progress: progressAt(int64(n))}
	for i := range n {
		l := letter(int64(i))
		l.FailedAt = start.Add(time.Duration(i) * time.Minute)
		c.DeadLetters = append(c.DeadLetters, l)
	}
	save(t, s, c)
	return list(t, s.DeadLetters(t.Context(), DeadLetterFilter{Order: OldestFirst}))
}

// selected returns the offsets of the dead letters that a filter selects, in its order.
func selected(t *testing.T, s Store, f DeadLetterFilter) string {
	t.Helper()
	var offsets []string
	for _, l := range list(t, s.DeadLetters(t.Context(), f)) {
		offsets = append(offsets, fmt.Sprint(l.Record.Offset))
	}
	return strings.Join(offsets, " ")
}

func testReplayed(t *testing.T, d database) {
	now := start.Add(time.Hour)
	s := d.open(t, Options{Now: func() time.Time { return now }})
	letters := saveLetters(t, s, 3)
	brought := Changes{
		Alarms: alarms(1, 1), Periods: map[int64]quota.Period{1: {Date: "2026-11-23"}},
		Notices: []quota.Notice{notice(1, schema.SeverityWatch)}, Replayed: []int64{letters[0].ID, letters[2].ID},
	}

	tx := begin(t, s, nil, 1)
	tx.Rollback()
	spoilt := brought
	spoilt.Alarms = alarms(1, 1)
	spoilt.Alarms[0].Deliveries = 0
	if err := begin(t, s, nil, 1).Save(t.Context(), spoilt); !errors.Is(err, ErrData) {
		t.Errorf("Save: %v, want ErrData", err)
	}
	if got := selected(t, s, DeadLetterFilter{State: DeadLettersOpen, Order: OldestFirst}); got != "0 1 2" {
		t.Errorf("open after a save that failed: %q", got)
	}

	save(t, s, brought)
	got := read(t, s)
	for i, l := range got.DeadLetters {
		if want := map[int]time.Time{0: now, 2: now}[i]; !l.ReplayedAt.Equal(want) || !l.PublishedAt.IsZero() {
			t.Errorf("letter %d: replayed at %v, want %v; published at %v", i, l.ReplayedAt, want, l.PublishedAt)
		}
	}
	if len(got.Alarms) != 1 || len(got.Notices) != 1 || len(got.Periods) != 1 {
		t.Errorf("saved with the letters: %+v", got)
	}
	save(t, s, Changes{DeadLetters: []schema.DeadLetter{letter(0)}, Progress: progressAt(3)}) // the record comes again
	if got := selected(t, s, DeadLetterFilter{State: DeadLettersOpen}); got != "1" {
		t.Errorf("open after the record came again: %q, want 1", got)
	}
}

func testReplayedTwice(t *testing.T, d database) {
	s := d.open(t, Options{})
	letters := saveLetters(t, s, 2)
	first, second := letters[0].ID, letters[1].ID
	save(t, s, Changes{Replayed: []int64{first}})
	for name, ids := range map[string][]int64{"again": {first}, "with one that is open": {first, second}, "of no row": {second + 1}} {
		err := begin(t, s, nil, 1).Save(t.Context(), Changes{Alarms: alarms(1, 1), Replayed: ids})
		if !errors.Is(err, ErrReplayed) || errors.Is(err, ErrData) {
			t.Errorf("%s: %v, want ErrReplayed", name, err)
		}
	}
	if got := read(t, s); len(got.Alarms) != 0 || !got.DeadLetters[1].ReplayedAt.IsZero() {
		t.Errorf("a second replay left something: %+v", got)
	}
}

func testReplayProgress(t *testing.T, d database) {
	s := d.open(t, Options{})
	letters := saveLetters(t, s, 1)
	want := read(t, s).Progress
	save(t, s, Changes{Replayed: []int64{letters[0].ID}})
	equal(t, "progress", read(t, s).Progress, want)
}

func testMarkPublished(t *testing.T, d database) {
	now := start.Add(time.Hour)
	s := d.open(t, Options{Now: func() time.Time { return now }})
	letters := saveLetters(t, s, 3)
	replayed, interrupted, open := letters[0].ID, letters[1].ID, letters[2].ID
	save(t, s, Changes{Replayed: []int64{replayed, interrupted}})
	mark := func(ids ...int64) {
		t.Helper()
		if err := s.MarkPublished(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
	}
	mark()
	mark(replayed, open, open+100)
	now = now.Add(time.Hour)
	mark(replayed)
	got := read(t, s).DeadLetters
	if !got[0].PublishedAt.Equal(start.Add(time.Hour)) || !got[1].PublishedAt.IsZero() || !got[2].PublishedAt.IsZero() {
		t.Errorf("published at %v, %v, %v", got[0].PublishedAt, got[1].PublishedAt, got[2].PublishedAt)
	}
	if got := selected(t, s, DeadLetterFilter{State: DeadLettersUnpublished}); got != "1" {
		t.Errorf("unpublished: %q, want 1", got)
	}
	if err := d.open(t, Options{ReadOnly: true}).MarkPublished(t.Context(), []int64{interrupted}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("MarkPublished of a reader: %v, want ErrReadOnly", err)
	}
}

func testDeadLetterFilters(t *testing.T, d database) {
	s := d.open(t, Options{})
	letters := saveLetters(t, s, 5)
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for name, test := range map[string]struct {
		filter DeadLetterFilter
		want   string
	}{
		"newest first":                 {DeadLetterFilter{}, "4 3 2 1 0"},
		"oldest first":                 {DeadLetterFilter{Order: OldestFirst}, "0 1 2 3 4"},
		"one":                          {DeadLetterFilter{ID: letters[2].ID}, "2"},
		"one that is not there":        {DeadLetterFilter{ID: letters[4].ID + 1}, ""},
		"from a time, included":        {DeadLetterFilter{From: minute(3)}, "4 3"},
		"until a time, included":       {DeadLetterFilter{Until: minute(1)}, "1 0"},
		"between two":                  {DeadLetterFilter{From: minute(1), Until: minute(3), Order: OldestFirst}, "1 2 3"},
		"after one, the next two":      {DeadLetterFilter{After: letters[1].ID, Order: OldestFirst, Limit: 2}, "2 3"},
		"of an app and a reason":       {DeadLetterFilter{AppID: 1400000001, Reason: schema.ReasonBadField, Limit: 1}, "4"},
		"of another reason, in a time": {DeadLetterFilter{Reason: schema.ReasonPanic, From: minute(0)}, ""},
	} {
		if got := selected(t, s, test.filter); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
