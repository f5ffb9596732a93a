package schema_test

import (
	"flag"
	"os"
	"testing"
)

// update rewrites the golden records with what the code writes today:
//
//	go test ./schema -run Golden -update
//
// Within v1 a golden record changes only where something was added.
var update = flag.Bool("update", false, "rewrite testdata/golden")

// TestMain lets every property hold for 1,000 values: the contract promises that many.
// A -rapid.checks on the command line is read later and so wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "1000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
