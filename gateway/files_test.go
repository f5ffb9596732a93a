package main

import (
	"testing"

	"github.com/tidegate/tidegate/gateway/internal/receive"
)

func TestFewerConnections(t *testing.T) {
	for _, tt := range []struct {
		name          string
		wanted, files int
		most          int
		fewer         bool
	}{
		{name: "enough", wanted: 1000, files: 1000 + ownFiles, most: 1000},
		{name: "one too few", wanted: 1000, files: 999 + ownFiles, most: 999, fewer: true},
		{name: "hardly any", wanted: 1000, files: 64, most: 1, fewer: true},
		{name: "none for those that are closing", wanted: 16384, files: 16384 + 256, most: 16384 - receive.SpareConnections, fewer: true},
		{name: "not known", wanted: 1000, files: 0, most: 1000},
	} {
		if most, fewer := fewerConnections(tt.wanted, tt.files); most != tt.most || fewer != tt.fewer {
			t.Errorf("%s: %d, %t, want %d, %t", tt.name, most, fewer, tt.most, tt.fewer)
		}
	}
	if maxFiles() < 64 {
		t.Errorf("this process may open %d files", maxFiles())
	}
}
