package schema_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Importing the contract costs a downstream consumer nothing: the standard library only,
// and of that nothing that does I/O on the network.
func TestThePackageImportsTheStandardLibraryOnly(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		looked++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(path, "/")
			// Only the standard library's paths begin with an element without a dot.
			if strings.Contains(first, ".") || first == "C" || first == "net" || first == "os" {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
	if looked < 10 {
		t.Errorf("looked at %d files only", looked)
	}
}
