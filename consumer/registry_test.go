package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestEmptiedAppsFile: nothing changes, and it is told, in the metrics of the file in use too.
func TestEmptiedAppsFile(t *testing.T) {
	b := newBench(t, allTopics())
	r := b.run()
	info := func(text string) string {
		return fmt.Sprintf(`tidegate_file_info{file="apps",sha256="%x"}`, sha256.Sum256([]byte(text)))
	}
	if got := r.metric(info(appsYAML)); got != "1" {
		t.Errorf("the file of the start: %s", got)
	}
	rewrite := func(text, success string) {
		t.Helper()
		if err := os.WriteFile(b.apps, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file is read", func() bool { return r.metric(`tidegate_reload_success{file="apps"}`) == success })
	}
	rewrite("apps: []\n", "0")
	if got := r.metric(info(appsYAML)); got != "1" {
		t.Errorf("the file in use: %s", got)
	}
	if _, page := r.get("/readyz?verbose"); !strings.Contains(page, "1 of 1 apps are gone, more than a tenth, and these are not under removed: 1400000001 (Harbor Chat); if that is meant, add removed: [1400000001]") {
		t.Errorf("the page does not say why:\n%s", page)
	}
	named := "apps: []\nremoved: [1400000001]\n"
	rewrite(named, "1")
	if got := r.metric(info(named)); got != "1" {
		t.Errorf("the file that names it: %s", got)
	}
}
