package schema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// The published JSON Schemas say the same as the Go types: what the types can say is
// valid, and a value that lacks a property, or has it in another type, is not.

// document returns a published file, decoded.
func document(t testing.TB, name string) map[string]any {
	t.Helper()
	data, err := schema.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("decode %s: %v", name, err)
	}
	return doc.(map[string]any)
}

// compile returns a published schema, checked against its own metaschema.
func compile(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document(t, name)); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		t.Fatalf("compile %s: %v", name, err)
	}
	return compiled
}

// decoded returns v as a validator sees it after it went through JSON.
func decoded(t rapid.TB, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return value.(map[string]any)
}

// headerObject returns headers as the schemas describe them: of a name the last.
func headerObject(headers []schema.Header) map[string]any {
	object := make(map[string]any)
	for _, h := range headers {
		object[h.Key] = string(h.Value)
	}
	return object
}

// otherTypes returns values of every JSON type that a Go field of type typ cannot have.
func otherTypes(typ reflect.Type) []any {
	other := map[string]any{
		"null": nil, "boolean": true, "integer": json.Number("1"), "number": json.Number("1.5"),
		"string": "x", "array": []any{}, "object": map[string]any{},
	}
	if typ.Kind() == reflect.Pointer {
		delete(other, "null")
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.Bool:
		delete(other, "boolean")
	case reflect.Int32, reflect.Int64:
		delete(other, "integer")
	case reflect.Float64:
		delete(other, "integer")
		delete(other, "number")
	case reflect.String:
		delete(other, "string")
	}
	return slices.Collect(maps.Values(other))
}

// changedValues is how many values each change is tried on: a hundred changes to each.
const changedValues = 50

// refusesChanges checks that value, which is valid, is not without any one of required
// and not with any one of the properties of types in another type.
func refusesChanges(t rapid.TB, compiled *jsonschema.Schema, value map[string]any, required []string, types map[string]reflect.Type) {
	t.Helper()
	for _, name := range required {
		without := maps.Clone(value)
		delete(without, name)
		if compiled.Validate(without) == nil {
			t.Fatalf("valid without %s", name)
		}
	}
	for name, typ := range types {
		for _, wrong := range otherTypes(typ) {
			retyped := maps.Clone(value)
			retyped[name] = wrong
			if compiled.Validate(retyped) == nil {
				t.Fatalf("valid with %s = %v", name, wrong)
			}
		}
	}
}

// fields returns the JSON names of a struct's fields, in order, and their types.
func fields(v any) (names []string, types map[string]reflect.Type) {
	types = make(map[string]reflect.Type)
	for field := range reflect.TypeOf(v).Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if options != "" {
			panic("a field that can be left out: " + field.Name)
		}
		names = append(names, name)
		types[name] = field.Type
	}
	return names, types
}

// properties returns the names under properties, sorted, and those required, in order.
func properties(doc map[string]any) (names, required []string) {
	for _, name := range doc["required"].([]any) {
		required = append(required, name.(string))
	}
	return slices.Sorted(maps.Keys(doc["properties"].(map[string]any))), required
}

func TestEnrichedAlarmsAreValid(t *testing.T) {
	compiled := compile(t, "enriched-alarm.v1.schema.json")
	names, types := fields(schema.EnrichedAlarm{})
	rapid.Check(t, func(t *rapid.T) {
		e := enrichedAlarms().Draw(t, "alarm")
		value := decoded(t, e)
		if err := compiled.Validate(value); err != nil {
			t.Fatal(err)
		}
		value["added_in_a_later_release"] = "readers ignore it"
		if err := compiled.Validate(value); err != nil {
			t.Fatalf("a property that was added: %v", err)
		}
	})
	for seed := range changedValues {
		refusesChanges(t, compiled, decoded(t, enrichedAlarms().Example(seed)), names, types)
	}
}

func TestEnrichedAlarmHasTheSchemasProperties(t *testing.T) {
	inSchema, required := properties(document(t, "enriched-alarm.v1.schema.json"))
	inGo, _ := fields(schema.EnrichedAlarm{})
	if !slices.Equal(required, inGo) {
		t.Errorf("required in the schema: %v\nin Go:                  %v", required, inGo)
	}
	if sorted := slices.Sorted(slices.Values(inGo)); !slices.Equal(inSchema, sorted) {
		t.Errorf("properties in the schema: %v\nin Go:                    %v", inSchema, sorted)
	}
	if len(inGo) != 29 {
		t.Errorf("v1 has %d fields, the contract 29", len(inGo))
	}
}

// headerSchemas are the schemas of headers, each with its generator and its names in Go.
var headerSchemas = []struct {
	file     string
	headers  *rapid.Generator[[]schema.Header]
	required []string
	optional []string
}{
	{
		file: "callback.schema.json",
		headers: rapid.Custom(func(t *rapid.T) []schema.Header {
			c := callbacks().Draw(t, "callback")
			return c.Record("im.alarms.raw").Headers
		}),
		required: []string{
			schema.HeaderContentType, schema.HeaderSpecVersion, schema.HeaderID, schema.HeaderSource, schema.HeaderType,
			schema.HeaderSubject, schema.HeaderTime, schema.HeaderSequence, schema.HeaderGateway, schema.HeaderAuthenticated,
		},
		optional: attributeHeaders(),
	},
	{
		file: "enriched-alarm.v1.headers.schema.json",
		headers: rapid.Custom(func(t *rapid.T) []schema.Header {
			e := enrichedAlarms().Draw(t, "alarm")
			return e.Record("im.alarms", nil).Headers
		}),
		required: []string{
			schema.HeaderContentType, schema.HeaderSpecVersion, schema.HeaderID, schema.HeaderSource, schema.HeaderType,
			schema.HeaderSubject, schema.HeaderTime, schema.HeaderDataSchema,
		},
		optional: []string{schema.AttributeTraceparent.Header()}, // as the callback had it
	},
	{
		file: "dead-letter.schema.json",
		headers: rapid.Custom(func(t *rapid.T) []schema.Header {
			d := deadLetters().Draw(t, "letter")
			return d.DeadRecord("im.alarms.dlq", rapid.SampledFrom([]int{0, 500, 1 << 20}).Draw(t, "limit")).Headers
		}),
		required: []string{
			schema.HeaderDeadTopic, schema.HeaderDeadPartition, schema.HeaderDeadOffset, schema.HeaderDeadGroup,
			schema.HeaderDeadMessage, schema.HeaderDeadReason, schema.HeaderDeadFailedAt,
		},
		optional: []string{schema.HeaderDeadSHA256},
	},
}

func attributeHeaders() (names []string) {
	for a := range schema.NumAttributes {
		names = append(names, a.Header())
	}
	return names
}

func TestHeadersAreValid(t *testing.T) {
	for _, s := range headerSchemas {
		t.Run(s.file, func(t *testing.T) {
			compiled := compile(t, s.file)
			types := make(map[string]reflect.Type)
			for _, name := range slices.Concat(s.required, s.optional) {
				types[name] = reflect.TypeFor[string]()
			}
			rapid.Check(t, func(t *rapid.T) {
				value := headerObject(s.headers.Draw(t, "headers"))
				if err := compiled.Validate(value); err != nil {
					t.Fatal(err)
				}
			})
			for seed := range changedValues {
				refusesChanges(t, compiled, headerObject(s.headers.Example(seed)), s.required, types)
			}
		})
	}
}

func TestHeaderSchemasHaveTheGoNames(t *testing.T) {
	for _, s := range headerSchemas {
		t.Run(s.file, func(t *testing.T) {
			inSchema, required := properties(document(t, s.file))
			if !slices.Equal(required, s.required) {
				t.Errorf("required in the schema: %v\nin Go:                  %v", required, s.required)
			}
			if inGo := slices.Sorted(slices.Values(slices.Concat(s.required, s.optional))); !slices.Equal(inSchema, inGo) {
				t.Errorf("properties in the schema: %v\nin Go:                    %v", inSchema, inGo)
			}
		})
	}
}

// stringsOf returns the values of a closed Go set as text.
func stringsOf[T ~string](values []T) (texts []string) {
	for _, v := range values {
		texts = append(texts, string(v))
	}
	return texts
}

func TestEnumerationsAreTheSame(t *testing.T) {
	for _, e := range []struct {
		file, property string
		inGo           []string
	}{
		{"enriched-alarm.v1.schema.json", "severity", stringsOf(schema.Severities())},
		{"enriched-alarm.v1.schema.json", "event_time_source", stringsOf(schema.EventTimeSources())},
		{"enriched-alarm.v1.schema.json", "forecast_basis", stringsOf(schema.ForecastBases())},
		{"enriched-alarm.v1.schema.json", "authenticated", schema.Authentications()},
		{"callback.schema.json", "ce_authenticated", schema.Authentications()},
		{"dead-letter.schema.json", "dlq-reason", stringsOf(schema.Reasons())},
	} {
		t.Run(e.property, func(t *testing.T) {
			property := document(t, e.file)["properties"].(map[string]any)[e.property].(map[string]any)
			var inSchema []string
			for _, v := range property["enum"].([]any) {
				inSchema = append(inSchema, v.(string))
			}
			if !slices.Equal(inSchema, e.inGo) {
				t.Errorf("in %s: %v, in Go: %v", e.file, inSchema, e.inGo)
			}
		})
	}
}

func TestConstantsAreTheSame(t *testing.T) {
	for _, c := range []struct{ file, property, inGo string }{
		{"quota-alarm.schema.json", "CallbackCommand", schema.CommandQuotaAlarm},
		{"enriched-alarm.v1.headers.schema.json", schema.HeaderSource, schema.EnrichedAlarmSource},
		{"enriched-alarm.v1.headers.schema.json", schema.HeaderType, schema.EnrichedAlarmType},
		{"enriched-alarm.v1.headers.schema.json", schema.HeaderDataSchema, schema.EnrichedAlarmSchema},
	} {
		property := document(t, c.file)["properties"].(map[string]any)[c.property].(map[string]any)
		if property["const"] != c.inGo {
			t.Errorf("%s of %s is %v, in Go %s", c.property, c.file, property["const"], c.inGo)
		}
	}
	for _, m := range []struct {
		file, property string
		inGo           int64
	}{
		{"quota-alarm.schema.json", "QuotaUsed", schema.MaxQuota},
		{"quota-alarm.schema.json", "Quota", schema.MaxQuota},
		{"enriched-alarm.v1.schema.json", "quota_used", schema.MaxQuota},
		{"enriched-alarm.v1.schema.json", "quota", schema.MaxQuota},
		{"enriched-alarm.v1.schema.json", "remaining", schema.MaxQuota},
		{"enriched-alarm.v1.schema.json", "sdk_app_id", schema.MaxAppID},
	} {
		property := document(t, m.file)["properties"].(map[string]any)[m.property].(map[string]any)
		if property["maximum"] != json.Number(strconv.FormatInt(m.inGo, 10)) {
			t.Errorf("%s of %s is at most %v, in Go %d", m.property, m.file, property["maximum"], m.inGo)
		}
	}
	if id := document(t, "enriched-alarm.v1.schema.json")["$id"]; id != schema.EnrichedAlarmSchema {
		t.Errorf("$id is %v, in Go %s", id, schema.EnrichedAlarmSchema)
	}
}
