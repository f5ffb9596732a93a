package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// fileName is where the rows are, in their folder.
const fileName = "rows.jsonl"

// Row is what one scenario came to. The counts are the ledger's: see ledger.Report.
type Row struct {
	Test     string  `json:"test"`               // whose row this is
	Scenario string  `json:"scenario"`           // what was done, for people; empty: the test did not come to its comparison
	Began    bool    `json:"began,omitempty"`    // it has begun and not ended
	Failed   bool    `json:"failed"`             //
	Skipped  bool    `json:"skipped,omitempty"`  // it was not run here: it proves nothing
	Wrong    string  `json:"wrong,omitempty"`    // what the comparison says is wrong, or why it was skipped
	Seed     uint64  `json:"seed,omitempty"`     // of the moments, 0: nothing is random
	Faults   int     `json:"faults"`             // kills, outages and stalls
	Seconds  float64 `json:"seconds"`            // from the running stack until everything was compared
	Requests int     `json:"requests"`           //
	Accepted int     `json:"answered_200"`       //
	Found    int     `json:"found"`              // of them
	Lost     int     `json:"lost"`               // must be 0
	InMemory int     `json:"memory_200"`         // answered 200 at ack level memory
	Forgot   int     `json:"memory_not_found"`   // of them; the level allows it when its process is killed just then
	Late     int     `json:"not_confirmed"`      // answered 503 "not confirmed", and found
	Silent   int     `json:"unanswered"`         //
	Heard    int     `json:"unanswered_found"`   //
	Copies   int     `json:"duplicates"`         //
	Bound    *int    `json:"duplicates_at_most"` // nil: none was set
	Disorder int     `json:"out_of_order"`       // first occurrences, per app; must be 0
	Untrue   int     `json:"refused_and_found"`  // must be 0
	Twice    int     `json:"two_ids"`            // must be 0
	Stranger int     `json:"of_no_request"`      // must be 0

	Kills []Kill `json:"kills,omitempty"`
}

// Kill is one kill -9 of the gateway. Times are Unix microseconds.
type Kill struct {
	At   int64 `json:"at_us"`   // when the signal was sent
	Gone int64 `json:"gone_us"` // when the process was gone

	// What the journal said then: see `gateway journal stat`. What was delivered since the
	// last checkpoint, and what was under way, is above Settled and not above Last. Of the
	// LSNs between them only Entries are in use: each life begins far above the last.
	Settled uint64 `json:"settled"`
	Last    uint64 `json:"last"`
	Entries int    `json:"entries"`

	Copies int `json:"duplicates"` // that came of it: of entries above Settled, not above Last
	Forgot int `json:"forgotten"`  // from memory, answered not long before it
}

// Count takes over the counts of a comparison.
func (r *Row) Count(c *ledger.Report) {
	r.Requests, r.Accepted, r.Found, r.Lost = c.Requests, c.Accepted, c.Delivered, len(c.Lost)
	r.Forgot, r.Late, r.Silent, r.Heard = c.Forgotten, c.NotConfirmedFound, c.Unanswered, c.UnansweredFound
	r.Copies, r.Disorder = c.Duplicates, len(c.Disordered)
	r.Untrue, r.Twice, r.Stranger = len(c.Untrue), len(c.Twice), len(c.Strangers)
	r.Wrong = ""
	if err := c.Err(); err != nil {
		r.Wrong = err.Error()
	}
}

// Add appends a row to those in folder, which it makes where it is missing.
func Add(folder string, r *Row) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("add row: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("add row: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, fileName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("add row: %w", err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("add row: %w", err)
	}
	return nil
}

// Read returns the rows in folder in the order in which their tests began, each test's last
// one, without those that ended well and compared nothing; a skipped one is among them, so that
// it is missed. A scenario that has not ended is a failed one.
func Read(folder string) ([]Row, error) {
	data, err := os.ReadFile(filepath.Join(folder, fileName))
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	var rows []Row
	for line := range bytes.Lines(data) {
		var r Row
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("read rows: %q: %w", line, err)
		}
		if at := slices.IndexFunc(rows, func(known Row) bool { return known.Test == r.Test }); at >= 0 {
			rows[at] = r
		} else {
			rows = append(rows, r)
		}
	}
	for i := range rows {
		rows[i].Failed = rows[i].Failed || rows[i].Began
	}
	return slices.DeleteFunc(rows, func(r Row) bool { return r.Scenario == "" && !r.Failed && !r.Skipped }), nil
}
