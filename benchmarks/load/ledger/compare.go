package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/schema"
)

// Found is one record as Compare needs it. Records of one app are given in the order of
// their partition.
type Found struct {
	App       int64
	Digest    string // of the value
	ID        string // ce_id: the identity of the callback
	Partition int32
	Offset    int64
}

// FoundOf returns what Compare needs of a raw record. App is 0 where the key is no
// number: no entry will match it, so it is reported as a stranger.
func FoundOf(r *schema.Record) Found {
	app, err := strconv.ParseInt(string(r.Key), 10, 64)
	if err != nil {
		app = 0
	}
	id, _ := r.Header(schema.HeaderID)
	return Found{App: app, Digest: Digest(r.Value), ID: string(bytes.Clone(id)), Partition: r.Partition, Offset: r.Offset}
}

// Answers says what an answer promises, where its status alone does not.
type Answers struct {
	NotConfirmed []int // with 503: appended, but its ack level was not reached in time: may come, once

	// Excused reports whether a 200 that is not found is none of the lost: its ack level was
	// memory and its process was killed just then. It is counted as Forgotten. nil: never.
	Excused func(*Entry) bool
}

// Report is the outcome of a comparison. The counts of entries are by request; a run is
// good when Err returns nil.
type Report struct {
	Requests  int // entries of the ledger that were compared
	Accepted  int // answered 200
	Delivered int // answered 200 and found
	Records   int // records given

	// What is allowed, and counted apart.
	NotConfirmedFound int // answered 503 "not confirmed", and found
	UnansweredFound   int // no answer (killed, timed out), and found
	Unanswered        int // no answer at all
	Duplicates        int // further copies of a found record with the same id
	Forgotten         int // answered 200, not found, and excused

	Copies []Found // the duplicates, in the order of the records

	// What is not.
	Lost       []Entry    // answered 200 and not found
	Untrue     []Entry    // refused for good (4xx, 429, 503 "not taken", never sent), and found
	Twice      []Found    // a second record of the same request under another id
	Disordered []Disorder // of one app, against the order of answers
	Strangers  []Found    // records of no request
	Alike      []Entry    // a further request with the app and the body of another: nobody can tell their records apart
}

// Disorder is a pair of callbacks of one app that came out of order: Later was sent after
// Earlier had been answered, the same journal took both, and yet Later's first record stands
// before Earlier's.
type Disorder struct {
	Earlier, Later Entry
	Offset         int64 // of Earlier's first record
}

// key identifies a request's body.
type key struct {
	app    int64
	digest string
}

// Compare holds the entries that pass the filter (nil: all) against the records of a
// topic. Every 200 must be there, in order per app; whatever was refused for good must not;
// each request has one id, whose further copies are duplicates. The order that must hold is
// the real one: of two requests, the one that had been answered before the other was sent
// comes first. So it holds for senders that wait and for those that do not. It is a promise of
// each journal for itself: two gateways side by side deliver an app's callbacks in two orders.
func Compare(entries []Entry, records []Found, answers Answers, filter func(*Entry) bool) Report {
	report := Report{Records: len(records)}
	requests := make(map[key]*Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		if filter == nil || filter(e) {
			report.Requests++
			k := key{e.App, e.Digest}
			if requests[k] != nil {
				report.Alike = append(report.Alike, *e)
			}
			requests[k] = e
		}
	}
	firsts := report.match(requests, records)
	for k, e := range requests {
		_, found := firsts[k]
		report.classify(e, found, answers)
	}
	byNumber := func(a, b Entry) int { return int(a.Seq - b.Seq) }
	slices.SortFunc(report.Lost, byNumber)
	slices.SortFunc(report.Untrue, byNumber)
	return report
}

// match finds each request's first record, and what is wrong with the records themselves.
func (r *Report) match(requests map[key]*Entry, records []Found) map[key]Found {
	firsts := make(map[key]Found, len(requests))
	type lane struct {
		app     int64
		journal uint64
	}
	newest := map[lane]*Entry{} // of the records so far, the one that was sent last
	for _, record := range records {
		k := key{record.App, record.Digest}
		e, known := requests[k]
		if !known {
			r.Strangers = append(r.Strangers, record)
			continue
		}
		if first, again := firsts[k]; again {
			if first.ID == record.ID {
				r.Duplicates++
				r.Copies = append(r.Copies, record)
			} else {
				r.Twice = append(r.Twice, record)
			}
			continue
		}
		firsts[k] = record
		id, _ := schema.ParseCallbackID([]byte(record.ID)) // 0 where it is none: one journal then
		from := lane{e.App, id.Journal}
		last := newest[from]
		if last != nil && e.Status != 0 && e.Done < last.Sent {
			r.Disordered = append(r.Disordered, Disorder{Earlier: *e, Later: *last, Offset: record.Offset})
		}
		if last == nil || e.Sent > last.Sent {
			newest[from] = e
		}
	}
	return firsts
}

// classify counts one request by its answer and whether it was found.
func (r *Report) classify(e *Entry, found bool, answers Answers) {
	switch {
	case e.Accepted():
		r.Accepted++
		switch {
		case found:
			r.Delivered++
		case answers.Excused != nil && answers.Excused(e):
			r.Forgotten++
		default:
			r.Lost = append(r.Lost, *e)
		}
	case e.Failure == FailureConnect:
		r.Unanswered++
		if found {
			r.Untrue = append(r.Untrue, *e)
		}
	case e.Failure != "":
		r.Unanswered++
		if found {
			r.UnansweredFound++
		}
	case found && e.Status == 503 && slices.Contains(answers.NotConfirmed, e.Code):
		r.NotConfirmedFound++
	case found:
		r.Untrue = append(r.Untrue, *e)
	}
}

// Add adds the outcome of another comparison, of other entries and other records, to r.
func (r *Report) Add(o *Report) {
	r.Requests += o.Requests
	r.Accepted += o.Accepted
	r.Delivered += o.Delivered
	r.Records += o.Records
	r.NotConfirmedFound += o.NotConfirmedFound
	r.UnansweredFound += o.UnansweredFound
	r.Unanswered += o.Unanswered
	r.Duplicates += o.Duplicates
	r.Forgotten += o.Forgotten
	r.Copies = append(r.Copies, o.Copies...)
	r.Lost = append(r.Lost, o.Lost...)
	r.Untrue = append(r.Untrue, o.Untrue...)
	r.Twice = append(r.Twice, o.Twice...)
	r.Disordered = append(r.Disordered, o.Disordered...)
	r.Strangers = append(r.Strangers, o.Strangers...)
	r.Alike = append(r.Alike, o.Alike...)
}

// Err returns what is wrong as one error, or nil. The text names the first cases of each.
func (r *Report) Err() error {
	var wrong []string
	add := func(n int, what string, example func() string) {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s (first: %s)", n, what, example()))
		}
	}
	add(len(r.Lost), "answered 200 but not in Kafka", func() string { return r.Lost[0].String() })
	add(len(r.Untrue), "refused for good but in Kafka", func() string { return r.Untrue[0].String() })
	add(len(r.Twice), "in Kafka under two ids", func() string { return r.Twice[0].String() })
	add(len(r.Strangers), "records of no request", func() string { return r.Strangers[0].String() })
	add(len(r.Alike), "requests with the body of another", func() string { return r.Alike[0].String() })
	add(len(r.Disordered), "out of order", func() string {
		d := r.Disordered[0]
		return fmt.Sprintf("%s stands at offset %d behind %s", d.Earlier.String(), d.Offset, d.Later.String())
	})
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("ledger and topic differ: %s", strings.Join(wrong, "; "))
}

// String is the report in one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d requests, %d answered 200, %d of them in Kafka, %d from memory only and forgotten; %d duplicates; 503 not confirmed and found: %d; unanswered: %d, of them found: %d",
		r.Requests, r.Accepted, r.Delivered, r.Forgotten, r.Duplicates, r.NotConfirmedFound, r.Unanswered, r.UnansweredFound)
}

// String names an entry for a person.
func (e *Entry) String() string {
	return fmt.Sprintf("request %d: app %d, its number %d, %s, EventTime %d, QuotaUsed %d, status %d code %d %s, exchange %d of its connection",
		e.Seq, e.App, e.N, e.Kind, e.EventTime, e.Used, e.Status, e.Code, e.Failure, e.Exchange)
}

// String names a record for a person.
func (f Found) String() string {
	return fmt.Sprintf("app %d, partition %d, offset %d, id %s", f.App, f.Partition, f.Offset, f.ID)
}
