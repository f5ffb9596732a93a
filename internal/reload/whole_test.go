package reload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pair is a value of two other files, which belong together.
type pair struct {
	First  string `yaml:"first"`
	Second string `yaml:"second"`
	got    []string
}

func (p *pair) Files() []string { return []string{p.First, p.Second} }

// TestValueIsOfOneState: a link is swapped between the reading of two files behind it. The value is
// not the first file of the old state and the second of the new one.
func TestValueIsOfOneState(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for state, content := range map[string][2]string{"..v1": {"old", "new"}, "..v2": {"new", "third"}} {
		must(os.Mkdir(filepath.Join(dir, state), 0o700))
		must(os.WriteFile(filepath.Join(dir, state, "first"), []byte(content[0]), 0o600))
		must(os.WriteFile(filepath.Join(dir, state, "second"), []byte(content[1]), 0o600))
	}
	must(os.Symlink("..v1", filepath.Join(dir, "..data")))
	between := func() {}
	parse := func(data []byte) (*pair, Problems) {
		p := new(pair)
		_, problems := Decode(data, p)
		for i, path := range p.Files() {
			if i == 1 {
				between()
			}
			content, err := os.ReadFile(path)
			if err != nil {
				problems.Add(Pos{}, "not there")
			}
			p.got = append(p.got, string(content))
		}
		return p, problems
	}
	path := filepath.Join(dir, "set.yaml")
	text := "first: " + dir + "/..data/first\nsecond: " + dir + "/..data/second\n"
	must(os.WriteFile(path, []byte(text), 0o600))
	file, err := Open("set", path, parse, Options{})
	must(err)
	between = func() {
		between = func() {}
		must(os.Symlink("..v2", filepath.Join(dir, "..tmp")))
		must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	must(os.WriteFile(path, []byte(text+"# read again\n"), 0o600))
	if changed, err := file.Reload(); !changed || err != nil {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	if got := strings.Join(file.Get().got, " "); got != "new third" {
		t.Errorf("the value has %q, of two states", got)
	}

	// What changes with every reading is taken all the same.
	n := 0
	between = func() {
		n++
		must(os.WriteFile(filepath.Join(dir, "..v2", "first"), []byte(strings.Repeat("x", n)), 0o600))
	}
	if changed, err := file.Reload(); !changed || err != nil || n != wholeTries {
		t.Errorf("changed %v, error %v after %d readings", changed, err, n)
	}
}
