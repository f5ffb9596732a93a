package receive

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestTable holds what is true of every row, so that a new one cannot be half written.
func TestTable(t *testing.T) {
	reasons := map[string]bool{}
	for f := refusedMethod; f < numRefusals; f++ {
		row := refusals[f]
		if row.status < 400 || http.StatusText(row.status) == "" || row.text == "" || row.reason == "" {
			t.Errorf("refusal %d is incomplete: %+v", f, row)
		}
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(row.reason) || reasons[row.reason] {
			t.Errorf("refusal %d: reason %q is no label or is not unique", f, row.reason)
		}
		reasons[row.reason] = true
		if passes := row.status == 503 || row.status == 429; passes != (row.retryAfter > 0) {
			t.Errorf("refusal %q: status %d, Retry-After %d", row.reason, row.status, row.retryAfter)
		}
		if row.result == resultUnconfirmed && row.status != 503 {
			t.Errorf("refusal %q: not confirmed is a 503, not %d", row.reason, row.status)
		}
		var envelope struct {
			ActionStatus, ErrorInfo string
			ErrorCode               int
		}
		if err := json.Unmarshal(row.envelope, &envelope); err != nil {
			t.Errorf("refusal %q: %v", row.reason, err)
		}
		if envelope.ActionStatus != "FAIL" || envelope.ErrorInfo != row.text || envelope.ErrorCode != int(f) {
			t.Errorf("refusal %q: envelope %s", row.reason, row.envelope)
		}
	}
}

// TestDocumentation holds the published numbers to the table: doc.go has one line for each
// refusal, in order, and no other.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^//\t *(\d+)  (\d{3})  (\w+) +\S`).FindAllStringSubmatch(string(text), -1)
	if len(lines) != int(numRefusals)-1 {
		t.Fatalf("%d refusals are documented, there are %d", len(lines), numRefusals-1)
	}
	for i, line := range lines {
		row := refusals[i+1]
		if line[1] != strconv.Itoa(i+1) || line[2] != strconv.Itoa(row.status) || line[3] != row.reason {
			t.Errorf("documented as %s %s %s, is %d %d %s", line[1], line[2], line[3], i+1, row.status, row.reason)
		}
	}
}

// TestPublishedNumbers pins the numbers: those who read answers rely on them.
func TestPublishedNumbers(t *testing.T) {
	for f, want := range map[refusal]int{
		refusedMethod: 1, refusedQuery: 7, refusedSignMissing: 15, refusedAppUnknown: 18, refusedRate: 19,
		refusedJournalFull: 20, refusedDraining: 23, unconfirmed: 25, unconfirmedParked: 26, refusedGuessing: 27, refusedSource: 28,
	} {
		if int(f) != want {
			t.Errorf("%s has become %d, it was published as %d", refusals[f].reason, f, want)
		}
	}
}
