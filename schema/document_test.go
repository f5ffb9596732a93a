package schema_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/tidegate/tidegate/schema"
)

// What openapi.yaml and asyncapi.yaml have in common for their tests: a YAML file, and
// ways through it.

// yamlDocument returns a published YAML file, decoded, with its aliases resolved.
func yamlDocument(t testing.TB, name string) map[string]any {
	t.Helper()
	data, err := schema.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return doc.(map[string]any)
}

// at returns what stands at path in doc.
func at(t testing.TB, doc any, path ...string) any {
	t.Helper()
	for i, name := range path {
		object, ok := doc.(map[string]any)
		if ok {
			doc, ok = object[name]
		}
		if !ok {
			t.Fatalf("nothing at %s", strings.Join(path[:i+1], " / "))
		}
	}
	return doc
}

// object is at, of an object.
func object(t testing.TB, doc any, path ...string) map[string]any {
	t.Helper()
	value, ok := at(t, doc, path...).(map[string]any)
	if !ok {
		t.Fatalf("no object at %s", strings.Join(path, " / "))
	}
	return value
}

// references returns every $ref in doc.
func references(doc any) (refs []string) {
	switch value := doc.(type) {
	case map[string]any:
		for name, v := range value {
			if ref, ok := v.(string); ok && name == "$ref" {
				refs = append(refs, ref)
				continue
			}
			refs = append(refs, references(v)...)
		}
	case []any:
		for _, v := range value {
			refs = append(refs, references(v)...)
		}
	}
	return refs
}

// A reference is a place in the same file or a JSON Schema beside it.
func TestReferencesLeadSomewhere(t *testing.T) {
	for name, least := range map[string]int{"openapi.yaml": 10, "asyncapi.yaml": 15} {
		t.Run(name, func(t *testing.T) {
			doc := yamlDocument(t, name)
			refs := references(doc)
			if len(refs) < least {
				t.Errorf("%d references only", len(refs))
			}
			for _, ref := range refs {
				if path, ok := strings.CutPrefix(ref, "#/"); ok {
					at(t, doc, strings.Split(path, "/")...)
					continue
				}
				file, ok := strings.CutPrefix(ref, "./")
				if !ok {
					t.Errorf("reference %s leads out of the folder", ref)
					continue
				}
				compile(t, file)
			}
		})
	}
}

// Every schema that is published is one that these tests know, and is referred to.
func TestEverySchemaIsReferredTo(t *testing.T) {
	refs := references(yamlDocument(t, "asyncapi.yaml"))
	entries, err := schema.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".schema.json") {
			count++
			if !slices.Contains(refs, "./"+entry.Name()) {
				t.Errorf("asyncapi.yaml does not refer to %s", entry.Name())
			}
		}
	}
	if count != 5 {
		t.Errorf("%d schemas are published, want 5", count)
	}
}
