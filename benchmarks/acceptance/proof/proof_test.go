package proof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// add adds rows as the scenarios do: each says that it begins, and then what it came to.
func add(t *testing.T, folder string, rows ...Row) {
	t.Helper()
	for i := range rows {
		if err := Add(folder, &rows[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLastRowOfEachTestCounts(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made")
	add(t, folder,
		Row{Test: "A", Began: true}, Row{Test: "B", Began: true},
		Row{Test: "B", Scenario: "b", Requests: 7},
		Row{Test: "A", Scenario: "a", Requests: 5},
		Row{Test: "no scenario", Began: true}, Row{Test: "no scenario"},
		Row{Test: "failed early", Began: true}, Row{Test: "failed early", Failed: true},
		Row{Test: "skipped", Began: true}, Row{Test: "skipped", Skipped: true},
		Row{Test: "never ended", Began: true},
	)
	rows, err := Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		text := r.Test
		if r.Failed {
			text += " FAILED"
		}
		if r.Skipped {
			text += " SKIPPED"
		}
		got = append(got, text)
	}
	if want := "A, B, failed early FAILED, skipped SKIPPED, never ended FAILED"; strings.Join(got, ", ") != want {
		t.Errorf("rows %v, want %s", got, want)
	}
	if rows[0].Requests != 5 || rows[1].Requests != 7 {
		t.Errorf("rows %+v", rows)
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	if _, err := Read(folder); err == nil {
		t.Error("no rows at all, and no error")
	}
	if err := os.WriteFile(filepath.Join(folder, fileName), []byte(`{"test":"A"}`+"\n{\"te"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(folder); err == nil || !strings.Contains(err.Error(), `{\"te`) {
		t.Errorf("half a row: %v", err)
	}
}

// Every count of the comparison comes into the row, and what is wrong with it.
func TestCountTakesTheWholeReportOver(t *testing.T) {
	var r Row
	r.Count(&ledger.Report{
		Requests: 1, Accepted: 2, Delivered: 3, NotConfirmedFound: 4, UnansweredFound: 5, Unanswered: 6, Duplicates: 7, Forgotten: 8,
		Lost: make([]ledger.Entry, 9), Untrue: make([]ledger.Entry, 10), Twice: make([]ledger.Found, 11), Disordered: make([]ledger.Disorder, 12), Strangers: make([]ledger.Found, 13),
	})
	got := []int{r.Requests, r.Accepted, r.Found, r.Late, r.Heard, r.Silent, r.Copies, r.Forgot, r.Lost, r.Untrue, r.Twice, r.Disorder, r.Stranger}
	for i, n := range got {
		if n != i+1 {
			t.Errorf("count %d is %d", i+1, n)
		}
	}
	if !strings.Contains(r.Wrong, "9 answered 200 but not in Kafka") {
		t.Errorf("wrong: %q", r.Wrong)
	}
	r.Count(&ledger.Report{})
	if r.Wrong != "" {
		t.Errorf("a good comparison after a bad one: %q", r.Wrong)
	}
}

func TestTable(t *testing.T) {
	three, two := 3, 2
	text := Table([]Row{
		{Test: "A", Scenario: "kafka | away", Requests: 10, Accepted: 9, Found: 8, InMemory: 4, Forgot: 1, Copies: 3, Bound: &three, Faults: 2, Seconds: 1.6},
		{Test: "B", Scenario: "killed", Failed: true, Wrong: "1 lost", Requests: 5, Accepted: 5, Found: 4, Lost: 1, Copies: 3, Bound: &two, Disorder: 2, Faults: 1},
		{Test: "C", Failed: true, Began: true},
		{Test: "D", Failed: true},
		{Test: "E", Skipped: true, Wrong: "no root"},
	})
	for _, want := range []string{
		"| kafka / away | 10 | 9 | 8 | 0 | 4 | 1 | 0 | 0 | 0 | 3 (3) | 0 | 2 | 2 |\n",
		"| **FAILED** killed | 5 | 5 | 4 | **1** | 0 | 0 | 0 | 0 | 0 | **3** (2) | **2** | 1 | 0 |\n",
		"| **FAILED** C | 0 |", "| **SKIPPED** E | 0 |",
		"| all | 15 | 14 | 12 | **1** | 4 | 1 | 0 | 0 | 0 | 6 | **2** | 3 | 2 |\n",
		"\n- B: 1 lost\n- C has not ended.\n- D: see the output of the test\n- E was not run: no root\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	lines := strings.Split(text, "\n")
	for _, line := range lines[:8] {
		if strings.Count(line, "|") != len(columns)+1 {
			t.Errorf("line %q has another number of cells than there are columns", line)
		}
	}
}

func TestWrite(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "results", "proven")
	if err := Write(prefix, "make it so", []Row{{Test: "A", Scenario: "a", Kills: []Kill{{Settled: 5}}}}); err != nil {
		t.Fatal(err)
	}
	for end, want := range map[string]string{".md": "# proven\n", ".jsonl": `"settled":5`} {
		text, err := os.ReadFile(prefix + end)
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "%!") {
			t.Errorf("%s: %v\n%s", end, err, text)
		}
	}
}
