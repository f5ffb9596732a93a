package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutantsApply: each mutant changes the code as it is, and the test that is to kill it is
// in its package, so that whoever moves code or renames a test hears of it at once.
func TestMutantsApply(t *testing.T) {
	root := filepath.Join("..", "..")
	list, err := choose("")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if _, err := m.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		name, _, _ := strings.Cut(m.test, "/")
		if !declares(t, filepath.Join(root, filepath.FromSlash(m.pkg)), "func "+name+"(") {
			t.Errorf("%s: %s has no %s", m.name, m.pkg, name)
		}
	}
}

func declares(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}
