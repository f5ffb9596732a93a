package clock_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/clock"
)

// Promise: a program goes by the clock's file at once when it is set, and by the machine's
// clock without one; its monotonic time is never shifted.
func TestProgramGoesByTheClock(t *testing.T) {
	folder := t.TempDir()
	if err := clock.Build(folder, "./testdata/tell"); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 10, 24, 15, 30, 0, 0, time.UTC)
	c, err := clock.New(folder, day)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, at := range []time.Time{day, day.Add(30 * time.Minute), day.AddDate(-20, 0, 0)} {
		if err := c.Set(at); err != nil {
			t.Fatal(err)
		}
		if got := tell(t, folder, clock.Variable+"="+c.Path()); got.Before(at) || got.Sub(at) > time.Minute {
			t.Errorf("the program says %s, the clock was set to %s", got, at)
		}
	}
	if got := tell(t, folder, "NONE=1"); time.Since(got).Abs() > time.Minute {
		t.Errorf("without a clock the program says %s", got)
	}
}

func tell(t *testing.T, folder, variable string) time.Time {
	t.Helper()
	command := exec.Command(filepath.Join(folder, "tell"))
	command.Env = append(os.Environ(), variable)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return at
}
