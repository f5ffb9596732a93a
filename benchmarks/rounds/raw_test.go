package rounds_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

func TestRawResultsAreReadAsTheyWere(t *testing.T) {
	type sample struct {
		Name  string
		Value float64
	}
	path := filepath.Join(t.TempDir(), "raw.jsonl")
	if _, err := rounds.ReadRaw[sample](path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	want := []sample{{"a\nb", 0.1}, {"c", 1e9}}
	raw, err := rounds.Raw(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := rounds.ReadRaw[sample](path); err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v, %v", got, err)
	}
	if err := os.WriteFile(path, append(raw, "{"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rounds.ReadRaw[sample](path); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a broken line: %v", err)
	}
}
