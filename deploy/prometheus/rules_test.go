// Package prometheus has no code: its tests hold rules.yml to the metrics and the runbook.
package prometheus

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tidegate/tidegate/internal/metricslist"
)

// rule is one alert of rules.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, "rules.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s is there twice", r.Alert)
			}
			seen[r.Alert] = true
		}
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("%d alerts only", len(all))
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every alert says how bad it is, for a person, and where to read on.
func TestEveryAlertSaysWhatAPersonNeeds(t *testing.T) {
	for _, r := range rules(t) {
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity is %q", r.Alert, s)
		}
		if len(r.Labels) != 1 || len(r.Annotations) != 2 || r.Annotations["summary"] == "" {
			t.Errorf("%s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
		}
		if got, want := r.Annotations["runbook"], "docs/runbook.md#"+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s: runbook is %q, want %q", r.Alert, got, want)
		}
	}
}

// paragraph is a heading of the runbook with what stands below it.
var paragraph = regexp.MustCompile(`(?m)^### (\w+)\n((?:[^#\n].*\n)*)`)

// Every alert has its paragraph in the runbook, which begins with its severity, and every
// paragraph is an alert's.
func TestEveryAlertHasItsParagraph(t *testing.T) {
	paragraphs := map[string]string{}
	for _, m := range paragraph.FindAllStringSubmatch(string(read(t, "../../docs/runbook.md")), -1) {
		paragraphs[m[1]] = m[2]
	}
	for _, r := range rules(t) {
		text, ok := paragraphs[r.Alert]
		begin := strings.ToUpper(r.Labels["severity"][:1]) + r.Labels["severity"][1:]
		if !ok || len(text) < 100 || !strings.HasPrefix(text, begin) {
			t.Errorf("%s: paragraph %.60q, want one that begins with %s", r.Alert, text, begin)
		}
		delete(paragraphs, r.Alert)
	}
	for name := range paragraphs {
		t.Errorf("%s is in the runbook and is no alert", name)
	}
}

// metric is a name of ours in an expression or a text.
var metric = regexp.MustCompile(`\btidegate_[a-z_]+`)

// Every metric of ours that the rules, their tests and the runbook name is in the list of
// metrics, and so exists.
func TestEveryMetricExists(t *testing.T) {
	listed, err := metricslist.Read("../../docs/metrics.md", "Both", "Gateway", "Consumer")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"docs/runbook.md": string(read(t, "../../docs/runbook.md")), "rules_test.yml": string(read(t, "rules_test.yml"))}
	for _, r := range rules(t) {
		texts[r.Alert] = r.Expr
	}
	for _, where := range slices.Sorted(maps.Keys(texts)) {
		for _, name := range metric.FindAllString(texts[where], -1) {
			_, ok := listed[name]
			if base, is := strings.CutSuffix(name, "_bucket"); is {
				ok = listed[base].Type == "histogram"
			}
			if !ok {
				t.Errorf("%s names %s, which is not in docs/metrics.md", where, name)
			}
		}
	}
}

// matched are the labels that an expression selects or groups by.
var matched = regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"|by \(([\w, ]+)\)`)

// Every label that an expression names is one of its metrics', or of those that Prometheus adds.
func TestEveryLabelExists(t *testing.T) {
	listed, err := metricslist.Read("../../docs/metrics.md", "Both", "Gateway", "Consumer")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		known := []string{"", "instance", "job", "le"}
		for _, name := range metric.FindAllString(r.Expr, -1) {
			known = append(known, listed[strings.TrimSuffix(name, "_bucket")].Labels...)
		}
		for _, m := range matched.FindAllStringSubmatch(r.Expr, -1) {
			for _, label := range append(strings.Split(m[2], ", "), m[1]) {
				if !slices.Contains(known, label) {
					t.Errorf("%s names the label %s, which none of its metrics has", r.Alert, label)
				}
			}
		}
	}
}

// Every alert is played: there is a time at which it is quiet and one at which it fires.
func TestEveryAlertIsPlayed(t *testing.T) {
	played := string(read(t, "rules_test.yml"))
	for _, r := range rules(t) {
		expr := `'ALERTS{alertname="` + r.Alert + `", alertstate="firing"}'`
		if strings.Count(played, "{expr: "+expr) != 2 || !strings.Contains(played, `alertname="`+r.Alert+`", alertstate="firing", severity="`+r.Labels["severity"]+`"`) {
			t.Errorf("%s is not played as quiet and as firing in rules_test.yml", r.Alert)
		}
	}
}
