package acceptance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/acceptance/proof"
	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// notConfirmed are the gateway's ErrorCodes (gateway/internal/receive/refusal.go) of
// callbacks that were appended but whose ack level was not reached in time.
var notConfirmed = ledger.Answers{NotConfirmed: []int{25, 26}}

// report has the scene's row written to the folder of TIDEGATE_TEST_REPORT: that it has
// begun, now, and what it came to when the test and its stack have ended. Without the
// variable it does nothing.
func (s *scene) report() {
	s.t.Helper()
	folder := os.Getenv("TIDEGATE_TEST_REPORT")
	if folder == "" {
		return
	}
	s.row = proof.Row{Test: s.t.Name(), Began: true}
	write := func() {
		if err := proof.Add(folder, &s.row); err != nil {
			s.t.Error(err)
		}
	}
	write()
	s.t.Cleanup(func() {
		s.row.Began, s.row.Failed, s.row.Skipped = false, s.t.Failed(), s.t.Skipped()
		write()
	})
}

// skip skips a scenario before its scene is there, with a row that says so: a table in which it
// is just not there would pass for a whole one.
func skip(t *testing.T, why string) {
	t.Helper()
	if folder := os.Getenv("TIDEGATE_TEST_REPORT"); folder != "" {
		if err := proof.Add(folder, &proof.Row{Test: t.Name(), Skipped: true, Wrong: why}); err != nil {
			t.Error(err)
		}
	}
	t.Skip(why)
}

// proof does what settled does, and makes the scene's row of it, under the scenario's name.
// Duplicates are held to the bound of atMost or, where the gateway was killed by kill, to
// what its journal allows: see blame.
func (s *scene) proof(name string, entries []ledger.Entry) *ledger.Report {
	s.t.Helper()
	report, err := s.compare(entries)
	s.row.Scenario = name
	s.row.Count(report)
	s.row.InMemory = count(entries, func(e *ledger.Entry) bool { return e.Accepted() && s.routed[e.Command] == levelMemory })
	s.row.Faults += len(s.row.Kills)
	s.row.Seconds = time.Since(s.began).Seconds()
	if err == nil {
		err = errors.Join(s.bounded(report), checkForgotten(s.row.Kills, s.forgotten, entries, s.found()))
	}
	if err != nil {
		s.row.Wrong = err.Error()
		s.t.Fatal(err)
	}
	s.t.Log(report.String())
	return report
}

// atMost sets how many duplicates the scenario may make.
func (s *scene) atMost(duplicates int) { s.bound = &duplicates }

// bounded holds the duplicates to their bound.
func (s *scene) bounded(report *ledger.Report) error {
	if len(s.row.Kills) > 0 {
		blamed, allowed := blame(s.row.Kills, report.Copies)
		if s.bound == nil {
			s.bound = &allowed
		}
		s.row.Bound = s.bound
		if err := checkCopies(report.Copies, blamed); err != nil {
			return err
		}
	}
	if s.row.Bound = s.bound; s.bound != nil && report.Duplicates > *s.bound {
		return fmt.Errorf("%d duplicates, want at most %d", report.Duplicates, *s.bound)
	}
	return nil
}

// settled waits until every 200 is in Kafka and returns the comparison, which is good.
func (s *scene) settled(entries []ledger.Entry) *ledger.Report {
	s.t.Helper()
	report, err := s.compare(entries)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Log(report.String())
	return report
}

// compare waits until every 200 is in Kafka, but for what memory may forget, and returns the
// comparison of all topics together, with its error.
func (s *scene) compare(entries []ledger.Entry) (*ledger.Report, error) {
	var report ledger.Report
	err := s.poll(func() error {
		report, s.forgotten = ledger.Report{}, nil
		for i := range s.row.Kills {
			s.row.Kills[i].Forgot = 0
		}
		for _, topic := range s.topics() {
			one, err := s.compareTopic(topic, entries)
			if err != nil {
				return err
			}
			report.Add(one)
		}
		if len(report.Lost) > 0 {
			return report.Err()
		}
		return nil
	})
	if wrong := report.Err(); wrong != nil {
		err = wrong
	}
	return &report, err
}

// found returns what tells whether an entry was among the records that were read.
func (s *scene) found() func(*ledger.Entry) bool {
	type body struct {
		app    int64
		digest string
	}
	all := map[body]bool{}
	for _, records := range s.kept {
		for i := range records {
			all[body{records[i].App, records[i].Digest}] = true
		}
	}
	return func(e *ledger.Entry) bool { return all[body{e.App, e.Digest}] }
}

// compareTopic compares with what is in a topic now. What came is read once, however often
// it is compared.
func (s *scene) compareTopic(topic string, entries []ledger.Entry) (*ledger.Report, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	records, err := stack.ReadAll(ctx, s.stack.Kafka(), topic, s.read)
	if err != nil {
		return nil, err
	}
	for i := range records {
		r := &records[i]
		s.read[topic][r.Partition] = r.Offset + 1
		if s.isOurs(r) {
			s.kept[topic] = append(s.kept[topic], ledger.FoundOf(r))
		}
	}
	answers := notConfirmed
	answers.Excused = s.excused
	report := ledger.Compare(entries, s.kept[topic], answers, func(e *ledger.Entry) bool { return s.topicOf(e) == topic })
	return &report, nil
}

// isOurs passes records of the scene's apps, and those of nobody.
func (s *scene) isOurs(r *schema.Record) bool {
	app, err := strconv.ParseInt(string(r.Key), 10, 64)
	return err != nil || slices.Contains(s.apps, app)
}

// topics returns the topics that are compared: the raw alarms', and the raw callbacks' where
// the scene has routes of its own.
func (s *scene) topics() []string {
	if len(s.routed) == 0 {
		return []string{s.stack.Topics().AlarmsRaw}
	}
	return []string{s.stack.Topics().AlarmsRaw, s.stack.Topics().CallbacksRaw}
}

// topicOf returns where a callback goes: the quota alarm always, others by the scene's own
// routes. Empty: it is answered 200 and dropped.
func (s *scene) topicOf(e *ledger.Entry) string {
	switch {
	case isAlarm(e):
		return s.stack.Topics().AlarmsRaw
	case s.routed[e.Command] != "":
		return s.stack.Topics().CallbacksRaw
	}
	return ""
}

// isAlarm passes what goes to the raw alarms' topic.
func isAlarm(e *ledger.Entry) bool { return e.Command == schema.CommandQuotaAlarm }
