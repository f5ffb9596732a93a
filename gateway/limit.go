package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/internal/process"
)

// limitCommand shows the budget of a live gateway's journal, or changes it.
type limitCommand struct {
	journalFlags `embed:""`
	Bytes        givenSize `arg:"" optional:"" name:"bytes" help:"The new limit, such as 40GiB, until the gateway's next start: give it to --journal-max-bytes too. Without it the limit is only shown."`
}

// givenSize is a size that may be absent.
type givenSize struct {
	size
	given bool
}

// UnmarshalText reads a size.
func (s *givenSize) UnmarshalText(text []byte) error {
	s.given = true
	return s.size.UnmarshalText(text)
}

// budgetReport is the journal's budget and what of it is used, all in bytes but Undelivered.
type budgetReport struct {
	Limit       int64 `json:"limit"`
	Before      int64 `json:"before"` // the limit until now, where it was changed; else Limit
	Used        int64 `json:"used"`   // files on disk
	Undelivered int64 `json:"undelivered"`
}

// Run asks the gateway that runs on the journal. Kafka need not be there, nor room in the
// journal: with a larger limit callbacks are taken from the next one on. A journal on which no
// gateway runs has no limit: it is a setting of the start.
func (c *limitCommand) Run(con *process.Console) error {
	if err := c.exists(); err != nil {
		return err
	}
	client, err := dialControl(con.Context, c.JournalDir)
	if errors.Is(err, errNoGateway) {
		return fmt.Errorf("%w: its limit is the --journal-max-bytes of the next start", err)
	}
	if err != nil {
		return err
	}
	defer client.close()
	method, query := http.MethodGet, url.Values{}
	if c.Bytes.given {
		method = http.MethodPost
		query.Set("bytes", strconv.FormatInt(int64(c.Bytes.size), 10))
	}
	body, err := client.call(con.Context, method, "/journal/limit", query)
	if err != nil {
		return err
	}
	defer body.Close()
	var report budgetReport
	if err := json.NewDecoder(body).Decode(&report); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	c.print(con, &report)
	return nil
}

// print says what holds now, and what an operator may not expect of it.
func (c *limitCommand) print(con *process.Console, r *budgetReport) {
	used := fmt.Sprintf("%s used, %d undelivered", about(r.Used), r.Undelivered)
	if !c.Bytes.given {
		fmt.Fprintf(con.Stdout, "limit %v, %s\n", size(r.Limit), used)
		return
	}
	fmt.Fprintf(con.Stdout, "limit %v, was %v, %s\n", size(r.Limit), size(r.Before), used)
	fmt.Fprintf(con.Stdout, "it holds until the gateway's next start: give that --journal-max-bytes=%v too\n", size(r.Limit))
	if r.Used > r.Limit {
		fmt.Fprintln(con.Stdout, "more is used than that: what is not delivered stays, and callbacks are answered 503 until the rest fits")
	}
	var st unix.Statfs_t
	if unix.Statfs(c.JournalDir, &st) != nil {
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // the types differ between systems
	if r.Limit-r.Used > free {
		fmt.Fprintf(con.Stdout, "only %s are free on its disk: callbacks are answered 503 when that is full\n", about(free))
	}
}

// showLimit answers with the journal's budget.
func (c *control) showLimit(w http.ResponseWriter, _ *http.Request) {
	s := c.delivery.journal.Stats()
	writeJSON(w, budgetReport{Limit: s.LimitBytes, Before: s.LimitBytes, Used: s.Bytes, Undelivered: s.Entries})
}

// setLimit changes the journal's budget, at once and until the next start.
func (c *control) setLimit(w http.ResponseWriter, r *http.Request) {
	j := c.delivery.journal
	before := j.Stats()
	n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	switch least := j.LeastBytes(); {
	case err != nil:
		http.Error(w, "bytes: want a number", http.StatusBadRequest)
		return
	case n < least:
		http.Error(w, fmt.Sprintf("the limit stays %v: want at least %v, have %v; %s are used", size(before.LimitBytes), size(least), size(n), about(before.Bytes)), http.StatusBadRequest)
		return
	}
	j.SetMaxBytes(n)
	after := j.Stats()
	c.log.Warn("the journal's limit was changed until the next start", zap.Int64("bytes", after.LimitBytes),
		zap.Int64("before", before.LimitBytes), zap.Int64("used", after.Bytes), zap.Int64("undelivered", after.Entries))
	writeJSON(w, budgetReport{Limit: after.LimitBytes, Before: before.LimitBytes, Used: after.Bytes, Undelivered: after.Entries})
}
