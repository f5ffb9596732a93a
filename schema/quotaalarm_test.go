package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// body returns a quota alarm as the vendor may write it.
func body(t *rapid.T, a *schema.QuotaAlarm) map[string]any {
	value := map[string]any{
		"CallbackCommand": schema.CommandQuotaAlarm,
		"QuotaUsed":       json.Number(fmt.Sprint(a.QuotaUsed)),
		"Quota":           json.Number(fmt.Sprint(a.Quota)),
	}
	if !a.EventTime.IsZero() {
		millis := fmt.Sprint(a.EventTime.UnixMilli())
		value["EventTime"] = rapid.SampledFrom([]any{millis, json.Number(millis)}).Draw(t, "spelling")
	}
	if rapid.Bool().Draw(t, "more") {
		value["MsgBody"] = []any{}
	}
	return value
}

func TestQuotaAlarmsAreValid(t *testing.T) {
	compiled := compile(t, "quota-alarm.schema.json")
	_, required := properties(document(t, "quota-alarm.schema.json"))
	if len(required) != 3 {
		t.Errorf("required are %v, want all but EventTime", required)
	}
	integers := []any{nil, true, "1", json.Number("1.5"), json.Number("-1"), json.Number(fmt.Sprint(schema.MaxQuota + 1)), []any{}, map[string]any{}}
	wrong := map[string][]any{
		"CallbackCommand": {nil, true, json.Number("1"), "", "Group.CallbackAfterCreateGroup", []any{}, map[string]any{}},
		"QuotaUsed":       integers,
		"Quota":           append([]any{json.Number("0")}, integers...),
		"EventTime":       {nil, true, json.Number("1.5"), []any{}, map[string]any{}},
	}
	rapid.Check(t, func(t *rapid.T) {
		a := alarms().Draw(t, "alarm")
		value := body(t, &a)
		if err := compiled.Validate(value); err != nil {
			t.Fatal(err)
		}
		refusesChanges(t, compiled, value, required, nil)
		for name, values := range wrong {
			for _, v := range values {
				was, had := value[name]
				if value[name] = v; compiled.Validate(value) == nil {
					t.Fatalf("valid with %s = %v", name, v)
				}
				if value[name] = was; !had {
					delete(value, name)
				}
			}
		}
	})
}

func TestEventTimeInTheSchema(t *testing.T) {
	compiled := compile(t, "quota-alarm.schema.json")
	for _, row := range []struct {
		name      string
		eventTime string
		valid     bool
	}{
		{"the vendor's sample, a string", `"1670574414123"`, true},
		{"the vendor's table, an integer", `1670574414123`, true},
		{"the first plausible", fmt.Sprint(schema.MinEventMillis), true},
		{"the last plausible", fmt.Sprintf(`"%d"`, schema.MaxEventMillis), true},
		{"one before", fmt.Sprint(schema.MinEventMillis - 1), false},
		{"one after", fmt.Sprintf(`"%d"`, schema.MaxEventMillis+1), false},
		{"seconds", `1670574414`, false},
		{"microseconds", `"1670574414123000"`, false},
		{"a fraction", `1670574414123.5`, false},
		{"a fraction in a string", `"1670574414123.5"`, false},
		{"a sign", `"+670574414123"`, false},
		{"negative", `-1670574414123`, false},
		{"an exponent in a string", `"1670574414e03"`, false},
		{"leading zeros are digits too", `"0001670574414123"`, true},
		{"leading zeros before too few", `"0670574414123"`, false},
		{"spaces", `" 670574414123"`, false},
		{"a line break after it", `"1670574414123\n"`, false},
		{"empty", `""`, false},
		{"null", `null`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":` + row.eventTime + `}`
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled.Validate(value); (err == nil) != row.valid {
				t.Errorf("validated: %v", err)
			}
		})
	}
}
