package schema_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

func TestOpenAPIHasTheParameters(t *testing.T) {
	doc := yamlDocument(t, "openapi.yaml")
	var inQuery, required []string
	for _, p := range at(t, doc, "paths", "/", "post", "parameters").([]any) {
		name := at(t, p, "name").(string)
		switch at(t, p, "in") {
		case "query":
			inQuery = append(inQuery, name)
		case "header":
			if name != schema.AttributeTraceparent.Header() {
				t.Errorf("header %s is no attribute", name)
			}
		}
		if p.(map[string]any)["required"] == true {
			required = append(required, name)
		}
	}
	want := []string{"SdkAppid", "CallbackCommand", "Sign"}
	for a := range schema.NumAttributes {
		if name := a.Parameter(); name != "" {
			want = append(want, name)
		}
	}
	slices.Sort(inQuery)
	if slices.Sort(want); !slices.Equal(inQuery, want) {
		t.Errorf("query parameters are %v, in Go %v", inQuery, want)
	}
	if !slices.Equal(required, []string{"SdkAppid", "CallbackCommand"}) {
		t.Errorf("required are %v", required)
	}
}

func TestOpenAPITakesEveryApp(t *testing.T) {
	doc := yamlDocument(t, "openapi.yaml")
	for _, p := range at(t, doc, "paths", "/", "post", "parameters").([]any) {
		if at(t, p, "name") != "SdkAppid" {
			continue
		}
		pattern := regexp.MustCompile(at(t, p, "schema", "pattern").(string))
		rapid.Check(t, func(t *rapid.T) {
			if id := fmt.Sprint(appIDs().Draw(t, "app")); !pattern.MatchString(id) {
				t.Fatalf("%s does not match %s", id, pattern)
			}
		})
	}
}

func TestOpenAPIRequestExample(t *testing.T) {
	doc := yamlDocument(t, "openapi.yaml")
	example := at(t, doc, "paths", "/", "post", "requestBody", "content", "application/json", "examples", "quotaAlarm", "value")
	if err := compile(t, "quota-alarm.schema.json").Validate(example); err != nil {
		t.Error(err)
	}
}

// refused is one refusal as a client sees it.
type refused struct {
	Code   int
	Status string
	Reason string
	Text   string
}

// published returns the refusals of openapi.yaml by ErrorCode, each checked against the
// schema of the envelope.
func published(t *testing.T, doc map[string]any) map[int]refused {
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.yaml", doc); err != nil {
		t.Fatal(err)
	}
	answer, err := compiler.Compile("openapi.yaml#/components/schemas/Answer")
	if err != nil {
		t.Fatal(err)
	}
	refusal, err := compiler.Compile("openapi.yaml#/components/schemas/Refusal")
	if err != nil {
		t.Fatal(err)
	}
	refusals := make(map[int]refused)
	responses := object(t, doc, "paths", "/", "post", "responses")
	for status := range responses {
		content := object(t, responses, status, "content", "application/json")
		if status == "200" {
			if ok := at(t, content, "example"); answer.Validate(ok) != nil || refusal.Validate(ok) == nil {
				t.Errorf("the answer of a 200 is %v", ok)
			}
			continue
		}
		for reason := range object(t, content, "examples") {
			envelope := object(t, content, "examples", reason, "value")
			if err := refusal.Validate(envelope); err != nil {
				t.Errorf("%s: %v", reason, err)
			}
			for _, name := range slices.Collect(maps.Keys(envelope)) {
				without := maps.Clone(envelope)
				if delete(without, name); refusal.Validate(without) == nil {
					t.Errorf("an envelope without %s is valid", name)
				}
			}
			code, err := strconv.Atoi(envelope["ErrorCode"].(json.Number).String())
			if err != nil {
				t.Fatal(err)
			}
			if _, double := refusals[code]; double {
				t.Errorf("ErrorCode %d stands twice", code)
			}
			refusals[code] = refused{code, status, reason, envelope["ErrorInfo"].(string)}
		}
	}
	return refusals
}

// answered returns the refusals of the gateway, read from its one table: a table of
// keyed rows {status, reason, text}, whose keys are numbered by iota.
func answered(t *testing.T) map[int]refused {
	const name = "../gateway/internal/receive/refusal.go"
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]int)
	refusals := make(map[int]refused)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST && n.Specs[0].(*ast.ValueSpec).Names[0].Name == "notRefused" {
				for code, spec := range n.Specs {
					codes[spec.(*ast.ValueSpec).Names[0].Name] = code
				}
			}
		case *ast.KeyValueExpr:
			key, keyed := n.Key.(*ast.Ident)
			row, ok := n.Value.(*ast.CompositeLit)
			if code, known := codes[identName(key)]; keyed && ok && known {
				values := literals(row)
				refusals[code] = refused{code, values["status"], values["reason"], values["text"]}
				return false
			}
		}
		return true
	})
	if len(refusals) == 0 || len(refusals) != len(codes)-2 {
		t.Fatalf("%d rows for %d names in %s: the table has another form", len(refusals), len(codes), name)
	}
	return refusals
}

func identName(id *ast.Ident) string {
	if id == nil {
		return ""
	}
	return id.Name
}

// literals returns the basic literals among a row's fields, unquoted.
func literals(row *ast.CompositeLit) map[string]string {
	values := make(map[string]string)
	for _, element := range row.Elts {
		field := element.(*ast.KeyValueExpr)
		if literal, ok := field.Value.(*ast.BasicLit); ok {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				text = literal.Value // a number
			}
			values[field.Key.(*ast.Ident).Name] = text
		}
	}
	return values
}

// ErrorCodes are stable: what is published and what the gateway answers are the same.
func TestOpenAPIHasTheGatewaysAnswers(t *testing.T) {
	inFile, inGo := published(t, yamlDocument(t, "openapi.yaml")), answered(t)
	for code := range max(len(inFile), len(inGo)) + 1 {
		if inFile[code] != inGo[code] {
			t.Errorf("ErrorCode %d is published as %+v, answered as %+v", code, inFile[code], inGo[code])
		}
	}
}

// What passes by itself says when to come again.
func TestOpenAPIRetryAfter(t *testing.T) {
	responses := object(t, yamlDocument(t, "openapi.yaml"), "paths", "/", "post", "responses")
	for status := range responses {
		headers, _ := responses[status].(map[string]any)["headers"].(map[string]any)
		_, has := headers["Retry-After"]
		if want := status == "429" || status == "503"; has != want {
			t.Errorf("%s has Retry-After: %v, want %v", status, has, want)
		}
	}
}
