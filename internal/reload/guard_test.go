package reload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// losing is a guard that lets no name go but those in released.
func losing(released map[string]bool) Guard[*setting] {
	return func(prev, next *setting) (problems Problems) {
		if prev.Name != next.Name && !released[prev.Name] {
			problems.Add(Pos{}, "name %s is gone", prev.Name)
		}
		return problems
	}
}

// TestGuardKeepsTheFileInUse: what a guard objects to is refused as a file with a mistake is, whole,
// visibly, and told once.
func TestGuardKeepsTheFileInUse(t *testing.T) {
	b := newBench(t, "name: one\n")
	released := map[string]bool{}
	b.file.SetGuard(losing(released))
	var heard int
	b.file.OnChange(func(*setting) { heard++ })

	b.write("name: two\n")
	for range 3 {
		if changed, err := b.file.Reload(); changed || err == nil {
			t.Fatalf("changed %v, error %v", changed, err)
		}
	}
	b.wantName("one")
	b.wantSuccess(0)
	b.wantLogged(kept, 1)
	if err := b.file.Status().Err; err == nil || err.Error() != b.path+": name one is gone" {
		t.Errorf("status: %v", err)
	}
	if n := testutil.ToFloat64(b.file.metrics.reloads.WithLabelValues("set", "failed")); n != 1 || heard != 0 {
		t.Errorf("counted %v times, hooks called %d times", n, heard)
	}

	// What a guard knows changes with time; what it refused does not, until the text does.
	released["one"] = true
	if changed, err := b.file.Reload(); changed || err == nil {
		t.Errorf("the same text after a while: changed %v, error %v", changed, err)
	}
	b.write("name: two # meant\n")
	if changed, err := b.file.Reload(); !changed || err != nil {
		t.Fatalf("another text: changed %v, error %v", changed, err)
	}
	b.wantName("two")
	b.wantSuccess(1)
}

// TestGuardAfterAMistakeIsMended: the file in use, written again, is no loss; nor does a mistake in
// the file reach the guard.
func TestGuardAfterAMistakeIsMended(t *testing.T) {
	b := newBench(t, "name: one\n")
	b.file.SetGuard(losing(nil))
	for _, step := range []struct {
		content string
		success float64
		err     string // a part; empty: none
	}{
		{"name: two\n", 0, "name one is gone"},
		{"name: 5\n", 0, "want text"},
		{"name: two\n", 0, "name one is gone"},
		{"name: one\n", 1, ""},
		{"name: two\n", 0, "name one is gone"},
	} {
		b.write(step.content)
		_, err := b.file.Reload()
		if (err == nil) != (step.err == "") || err != nil && !strings.Contains(err.Error(), step.err) {
			t.Errorf("%q: error %v, want %q", step.content, err, step.err)
		}
		b.wantName("one")
		b.wantSuccess(step.success)
	}
}

// TestGuardedValueKeepsItsFiles: while a file is refused, those of the value in use are looked at on,
// and a change of theirs takes nothing by the back door.
func TestGuardedValueKeepsItsFiles(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, "name: one\ntoken: "+token+"\n")
	released := map[string]bool{}
	b.file.SetGuard(losing(released))
	b.write("name: two\ntoken: " + token + "\n")
	if _, err := b.file.Reload(); err == nil {
		t.Fatal("taken")
	}
	released["one"] = true
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := b.file.Reload(); changed || err == nil {
		t.Errorf("after the token's change: changed %v, error %v", changed, err)
	}
	b.wantName("one")
}
