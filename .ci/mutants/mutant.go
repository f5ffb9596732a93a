package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Packages with mutants, as directories of this module.
const (
	journalPkg    = "gateway/internal/journal"
	forwardPkg    = "gateway/internal/forward"
	receivePkg    = "gateway/internal/receive"
	edgePkg       = "gateway/internal/edge"
	gatewayPkg    = "gateway"
	quarantinePkg = "gateway/internal/quarantine"
	producePkg    = "internal/produce"
	connPkg       = "internal/kafkaconn"
	reloadPkg     = "internal/reload"
	appsPkg       = "internal/apps"
	pipelinePkg   = "consumer/internal/pipeline"
	groupPkg      = "consumer/internal/group"
)

// mutant is one promise broken on purpose.
type mutant struct {
	name    string
	promise string // an invariant of the journal's documentation, or the package whose documentation has it
	edits   []edit
	pkg     string // of the test
	test    string // its name, subtests after slashes, spaces as written; one that fails
	long    bool   // not with -short
	race    bool   // with the race detector
	end     ending
}

// edit is a change of one file.
type edit struct {
	file string // in the module
	old  string // is there exactly once
	new  string
}

// ending is how the test ends that catches a mutant.
type ending string

const (
	failure ending = ""           // it fails, the usual thing
	panics  ending = "by panic"   // the code under test says that it is broken
	hangs   ending = "by timeout" // nothing but time shows it: avoid
)

// overlay writes the changed files and the overlay that names them into dir, and returns the
// path of the latter.
func (m *mutant) overlay(root, dir string) (string, error) {
	replace := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		from := path
		if changed, ok := replace[path]; ok {
			from = changed // a second edit of the same file
		}
		b, err := os.ReadFile(from)
		if err != nil {
			return "", fmt.Errorf("the mutant no longer applies: %w", err)
		}
		if n := strings.Count(string(b), e.old); n != 1 {
			return "", fmt.Errorf("the mutant no longer applies: %s has its text %d times", e.file, n)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if from != path {
			to = from
		}
		if err := os.WriteFile(to, []byte(strings.Replace(string(b), e.old, e.new, 1)), 0o600); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// pattern is the test as -test.run wants it; name is how its result is printed.
func pattern(test string) (pattern, name string) {
	name = strings.ReplaceAll(test, " ", "_")
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, "^"+quote(part)+"$")
	}
	return strings.Join(parts, "/"), name
}
