package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

func drawEntry(t *rapid.T) Entry {
	return Entry{
		Seq: rapid.Int64().Draw(t, "seq"), App: rapid.Int64().Draw(t, "app"), N: rapid.Int64().Draw(t, "n"),
		Kind:    rapid.SampledFrom([]Kind{KindAlarm, KindCallback, KindMalformed, KindUnsigned}).Draw(t, "kind"),
		Command: rapid.String().Draw(t, "command"), EventTime: rapid.Int64().Draw(t, "event"),
		Used: rapid.Int64().Draw(t, "used"), Quota: rapid.Int64().Draw(t, "quota"),
		Digest: Digest(rapid.SliceOf(rapid.Byte()).Draw(t, "body")),
		Due:    rapid.Int64().Draw(t, "due"), Sent: rapid.Int64().Draw(t, "sent"), Done: rapid.Int64().Draw(t, "done"),
		Status: rapid.IntRange(0, 599).Draw(t, "status"), Code: rapid.Int().Draw(t, "code"),
		Failure:  rapid.SampledFrom([]Failure{"", FailureConnect, FailureReset, FailureClosed, FailureCut, FailureTimeout, FailureBadAnswer}).Draw(t, "failure"),
		Exchange: rapid.Int64().Draw(t, "exchange"), Close: rapid.Bool().Draw(t, "close"), Retry: rapid.Int().Draw(t, "retry"),
	}
}

// The hand-made encoder says what encoding/json would say.
func TestLinesAreJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		var back Entry
		line := appendLine(nil, &e)
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if !reflect.DeepEqual(e, back) {
			t.Fatalf("wrote %+v, read %+v", e, back)
		}
		if n := bytes.Count(line, []byte("\n")); n != 1 {
			t.Fatalf("line has %d line ends: %q", n, line)
		}
	})
}

func TestFileKeepsAllEntriesOfAllWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 500
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for n := range each {
				w.Append(&Entry{Seq: int64(i*each + n), Kind: KindAlarm, Status: 200})
			}
		})
	}
	group.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for _, e := range entries {
		seen[e.Seq] = true
	}
	if len(entries) != writers*each || len(seen) != writers*each {
		t.Fatalf("read %d entries, %d different, want %d", len(entries), len(seen), writers*each)
	}
}

func TestWriterKeepsItsFirstError(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	w.Append(&Entry{Seq: 1})
	w.flush()
	w.Append(&Entry{Seq: 2})
	if w.entries != 1 {
		t.Fatalf("wrote %d entries, want none after the error", w.entries-1)
	}
	if err := w.Close(); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("close: %v, want the first error", err)
	}
}

func TestReadTornAndForeign(t *testing.T) {
	whole := string(appendLine(nil, &Entry{Seq: 1, Kind: KindAlarm}))
	for _, test := range []struct {
		name, text string
		entries    int
		torn       bool
		err        string
	}{
		{name: "empty"},
		{name: "whole", text: whole + whole, entries: 2},
		{name: "torn last line keeps the rest", text: whole + whole[:len(whole)/2], entries: 1, torn: true},
		{name: "torn in the middle is no ledger", text: whole[:9] + "\n" + whole, err: "line 1"},
		{name: "another format", text: `{"time":1}` + "\n", err: "line 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.jsonl")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			entries, err := Read(path)
			if len(entries) != test.entries {
				t.Errorf("%d entries, want %d", len(entries), test.entries)
			}
			if errors.Is(err, ErrTorn) != test.torn {
				t.Errorf("error %v, want torn %v", err, test.torn)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want one that says %q", err, test.err)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing ledger: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(appendLine(nil, &Entry{Seq: 1, Kind: KindAlarm, Failure: FailureClosed}))
	f.Add([]byte("{}\n{"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := decode(bytes.NewReader(data))
		if err == nil && len(entries) != bytes.Count(data, []byte("\n")) {
			t.Fatalf("%d entries of %d lines, without an error", len(entries), bytes.Count(data, []byte("\n")))
		}
	})
}

// answered makes the entry of app's n-th request: sent at n*10, answered 5 later.
func answered(app, n int64, status, code int) Entry {
	return Entry{
		Seq: n, App: app, N: n, Kind: KindAlarm, Digest: digestOf(n),
		Sent: n * 10, Done: n*10 + 5, Status: status, Code: code,
	}
}

func unanswered(app, n int64, failure Failure) Entry {
	e := answered(app, n, 0, 0)
	e.Failure = failure
	return e
}

func digestOf(n int64) string { return Digest([]byte{byte(n)}) }

func record(app, n int64, id string) Found { return Found{App: app, Digest: digestOf(n), ID: id} }

// journalID is the id of a record that a journal's entry became.
func journalID(journal, lsn uint64) string {
	return schema.CallbackID{Journal: journal, LSN: lsn}.String()
}

func TestCompare(t *testing.T) {
	const notTaken, notConfirmed = 1, 2
	for _, test := range []struct {
		name    string
		entries []Entry
		records []Found
		want    Report // counts only
		err     string // part of Err's text; empty: none
	}{
		{
			name:    "all there, in order",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0), answered(2, 3, 200, 0)},
			records: []Found{record(2, 3, "c"), record(1, 1, "a"), record(1, 2, "b")},
			want:    Report{Requests: 3, Accepted: 3, Delivered: 3, Records: 3},
		},
		{
			name:    "a 200 that is missing is lost",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0)},
			records: []Found{record(1, 2, "b")},
			want:    Report{Requests: 2, Accepted: 2, Delivered: 1, Records: 1},
			err:     "1 answered 200 but not in Kafka (first: request 1: app 1",
		},
		{
			name:    "the same id again is a duplicate, and allowed",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0)},
			records: []Found{record(1, 1, "a"), record(1, 2, "b"), record(1, 1, "a"), record(1, 2, "b")},
			want:    Report{Requests: 2, Accepted: 2, Delivered: 2, Records: 4, Duplicates: 2},
		},
		{
			name:    "another id for the same request is not",
			entries: []Entry{answered(1, 1, 200, 0)},
			records: []Found{record(1, 1, "a"), record(1, 1, "z")},
			want:    Report{Requests: 1, Accepted: 1, Delivered: 1, Records: 2},
			err:     "1 in Kafka under two ids",
		},
		{
			name:    "503 not confirmed may come",
			entries: []Entry{answered(1, 1, 503, notConfirmed), answered(1, 2, 503, notConfirmed)},
			records: []Found{record(1, 1, "a")},
			want:    Report{Requests: 2, Records: 1, NotConfirmedFound: 1},
		},
		{
			name:    "503 not taken must not come",
			entries: []Entry{answered(1, 1, 503, notTaken)},
			records: []Found{record(1, 1, "a")},
			want:    Report{Requests: 1, Records: 1},
			err:     "1 refused for good but in Kafka",
		},
		{
			name:    "401 must not come",
			entries: []Entry{answered(1, 1, 401, notConfirmed)},
			records: []Found{record(1, 1, "a")},
			want:    Report{Requests: 1, Records: 1},
			err:     "refused for good",
		},
		{
			name:    "unanswered may come, never connected may not",
			entries: []Entry{unanswered(1, 1, FailureClosed), unanswered(1, 2, FailureTimeout), unanswered(1, 3, FailureConnect)},
			records: []Found{record(1, 1, "a"), record(1, 3, "c")},
			want:    Report{Requests: 3, Records: 2, Unanswered: 3, UnansweredFound: 1},
			err:     "request 3",
		},
		{
			name:    "answered before the other was sent, but behind it",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0), answered(1, 3, 200, 0)},
			records: []Found{record(1, 1, "a"), record(1, 3, "c"), record(1, 2, "b")},
			want:    Report{Requests: 3, Accepted: 3, Delivered: 3, Records: 3},
			err:     "1 out of order (first: request 2",
		},
		{
			name:    "the same from one journal each is in order",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0), answered(1, 3, 200, 0)},
			records: []Found{record(1, 1, journalID(1, 1)), record(1, 3, journalID(2, 1)), record(1, 2, journalID(1, 2))},
			want:    Report{Requests: 3, Accepted: 3, Delivered: 3, Records: 3},
		},
		{
			name:    "and from one journal is not",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0), answered(1, 3, 200, 0)},
			records: []Found{record(1, 3, journalID(1, 3)), record(1, 1, journalID(2, 1)), record(1, 2, journalID(1, 2))},
			want:    Report{Requests: 3, Accepted: 3, Delivered: 3, Records: 3},
			err:     "1 out of order (first: request 2",
		},
		{
			name: "requests that overlapped have no order",
			entries: []Entry{
				{Seq: 1, App: 1, Digest: digestOf(1), Sent: 10, Done: 30, Status: 200},
				{Seq: 2, App: 1, Digest: digestOf(2), Sent: 20, Done: 25, Status: 200},
			},
			records: []Found{record(1, 2, "b"), record(1, 1, "a")},
			want:    Report{Requests: 2, Accepted: 2, Delivered: 2, Records: 2},
		},
		{
			name:    "no answer, no order: it may have been taken long after it was given up",
			entries: []Entry{unanswered(1, 1, FailureTimeout), answered(1, 2, 200, 0)},
			records: []Found{record(1, 2, "b"), record(1, 1, "a")},
			want:    Report{Requests: 2, Accepted: 1, Delivered: 1, Records: 2, Unanswered: 1, UnansweredFound: 1},
		},
		{
			name:    "a record of no request",
			entries: []Entry{answered(1, 1, 200, 0)},
			records: []Found{record(1, 1, "a"), record(2, 1, "a")},
			want:    Report{Requests: 1, Accepted: 1, Delivered: 1, Records: 2},
			err:     "1 records of no request (first: app 2",
		},
		{
			name:    "two requests of one body hide each other",
			entries: []Entry{answered(1, 1, 200, 0), answered(1, 1, 200, 0)},
			records: []Found{record(1, 1, "a")},
			want:    Report{Requests: 2, Accepted: 1, Delivered: 1, Records: 1},
			err:     "1 requests with the body of another (first: request 1",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := Compare(test.entries, test.records, Answers{NotConfirmed: []int{notConfirmed, 99}}, nil)
			err := report.Err()
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if len(report.Copies) != report.Duplicates {
				t.Errorf("%d copies of %d duplicates", len(report.Copies), report.Duplicates)
			}
			report.Copies = nil
			report.Lost, report.Untrue, report.Twice, report.Disordered, report.Strangers, report.Alike = nil, nil, nil, nil, nil, nil
			if !reflect.DeepEqual(report, test.want) {
				t.Errorf("report %+v\n   want %+v", report, test.want)
			}
		})
	}
}

// What memory forgot is counted apart, and only where it is excused.
func TestCompareCountsWhatIsExcused(t *testing.T) {
	entries := []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0), answered(1, 3, 200, 0), answered(1, 4, 503, 1)}
	excused := Answers{Excused: func(e *Entry) bool { return e.N != 3 }}
	report := Compare(entries, []Found{record(1, 1, "a")}, excused, nil)
	if report.Accepted != 3 || report.Delivered != 1 || report.Forgotten != 1 || len(report.Lost) != 1 || report.Lost[0].N != 3 {
		t.Errorf("%s, lost %v, want request 2 forgotten and request 3 lost", report.String(), report.Lost)
	}
	report = Compare(entries, nil, Answers{}, nil)
	if report.Forgotten != 0 || len(report.Lost) != 3 {
		t.Errorf("%s, %d lost: want nothing excused", report.String(), len(report.Lost))
	}
}

// Every field is added: one that is forgotten would hide what was lost in the other topic.
func TestReportsAddUp(t *testing.T) {
	one := Report{
		Requests: 1, Accepted: 2, Delivered: 3, Records: 4, NotConfirmedFound: 5, UnansweredFound: 6, Unanswered: 7, Duplicates: 8, Forgotten: 9,
		Copies: []Found{{App: 1}}, Lost: []Entry{{Seq: 2}}, Untrue: []Entry{{Seq: 3}}, Twice: []Found{{App: 4}}, Disordered: []Disorder{{Offset: 5}}, Strangers: []Found{{App: 6}}, Alike: []Entry{{Seq: 7}},
	}
	var sum Report
	sum.Add(&one)
	if !reflect.DeepEqual(sum, one) {
		t.Errorf("nothing and one are %+v, want %+v", sum, one)
	}
	sum.Add(&one)
	for i := range reflect.TypeFor[Report]().NumField() {
		got, of := reflect.ValueOf(sum).Field(i), reflect.ValueOf(one).Field(i)
		if of.Kind() == reflect.Int && got.Int() != 2*of.Int() || of.Kind() == reflect.Slice && got.Len() != 2 {
			t.Errorf("%s is %v", reflect.TypeFor[Report]().Field(i).Name, got)
		}
	}
}

func TestCompareLooksOnlyAtWhatPassesTheFilter(t *testing.T) {
	entries := []Entry{answered(1, 1, 200, 0), answered(1, 2, 200, 0)}
	entries[1].Kind = KindCallback
	alarms := func(e *Entry) bool { return e.Kind == KindAlarm }
	report := Compare(entries, []Found{record(1, 1, "a")}, Answers{}, alarms)
	if err := report.Err(); err != nil || report.Requests != 1 {
		t.Fatalf("%d requests, error %v", report.Requests, err)
	}
}

func TestFoundOf(t *testing.T) {
	r := schema.Record{
		Partition: 3, Offset: 9, Key: []byte("1400000001"), Value: []byte("{}"),
		Headers: []schema.Header{{Key: schema.HeaderID, Value: []byte("00ff-7")}},
	}
	want := Found{App: 1400000001, Digest: Digest([]byte("{}")), ID: "00ff-7", Partition: 3, Offset: 9}
	if got := FoundOf(&r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.Key = []byte("not a number")
	if got := FoundOf(&r); got.App != 0 {
		t.Errorf("app %d of a key that is no number", got.App)
	}
}
