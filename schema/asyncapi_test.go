package schema_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

func TestAsyncAPIHasTheTopics(t *testing.T) {
	doc := yamlDocument(t, "asyncapi.yaml")
	var addresses []string
	for name := range object(t, doc, "channels") {
		addresses = append(addresses, at(t, doc, "channels", name, "address").(string))
		if messages := object(t, doc, "channels", name, "messages"); len(messages) != 1 {
			t.Errorf("channel %s has %d messages, want one", name, len(messages))
		}
	}
	want := slices.Sorted(slices.Values(schema.NewTopics("").All()))
	if slices.Sort(addresses); !slices.Equal(addresses, want) {
		t.Errorf("addresses are %v, in Go %v", addresses, want)
	}
}

// message returns the one message of the channel with an address.
func message(t *testing.T, doc map[string]any, address string) map[string]any {
	for name := range object(t, doc, "channels") {
		if at(t, doc, "channels", name, "address") != address {
			continue
		}
		for _, m := range object(t, doc, "channels", name, "messages") {
			ref := at(t, m, "$ref").(string)
			return object(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	t.Fatalf("no channel %s", address)
	return nil
}

// The header names of a topic are those of the schema that its message refers to, and
// TestHeaderSchemasHaveTheGoNames holds that schema to the Go constants.
func TestAsyncAPIMessagesHaveTheirSchemas(t *testing.T) {
	doc := yamlDocument(t, "asyncapi.yaml")
	topics := schema.NewTopics("")
	for topic, want := range map[string]string{
		topics.AlarmsRaw:    "./callback.schema.json",
		topics.CallbacksRaw: "./callback.schema.json",
		topics.Alarms:       "./enriched-alarm.v1.headers.schema.json",
		topics.AlarmsDLQ:    "./dead-letter.schema.json",
	} {
		if got := at(t, message(t, doc, topic), "headers", "$ref"); got != want {
			t.Errorf("headers of %s are %v, want %s", topic, got, want)
		}
	}
	if got := at(t, message(t, doc, topics.Alarms), "payload", "$ref"); got != "./enriched-alarm.v1.schema.json" {
		t.Errorf("payload of %s is %v", topics.Alarms, got)
	}
	for topic, want := range map[string]string{
		topics.AlarmsRaw: schema.RawTypePrefix + schema.CommandQuotaAlarm,
		topics.Alarms:    schema.EnrichedAlarmType,
	} {
		if got := at(t, message(t, doc, topic), "name"); got != want {
			t.Errorf("message of %s is named %v, want its ce_type %s", topic, got, want)
		}
	}
}

// The examples are what the code writes for the documented callback.
func TestAsyncAPIExamples(t *testing.T) {
	doc := yamlDocument(t, "asyncapi.yaml")
	c, e := documentedCallback(), documentedAlarm()
	raw, enriched := c.Record("im.alarms.raw"), e.Record("im.alarms", nil)
	for _, row := range []struct {
		topic   string
		headers map[string]any
		payload map[string]any
		schemas [2]string
	}{
		{raw.Topic, headerObject(raw.Headers), decoded(t, rawJSON(c.Body)), [2]string{"callback.schema.json", "quota-alarm.schema.json"}},
		{enriched.Topic, headerObject(enriched.Headers), decoded(t, e), [2]string{"enriched-alarm.v1.headers.schema.json", "enriched-alarm.v1.schema.json"}},
	} {
		t.Run(row.topic, func(t *testing.T) {
			examples := at(t, message(t, doc, row.topic), "examples").([]any)
			if len(examples) != 1 {
				t.Fatalf("%d examples, want one", len(examples))
			}
			headers, payload := object(t, examples[0], "headers"), object(t, examples[0], "payload")
			if !maps.Equal(headers, row.headers) {
				t.Errorf("headers are %v\nwant        %v", headers, row.headers)
			}
			if !reflect.DeepEqual(payload, row.payload) {
				t.Errorf("payload is %v\nwant       %v", payload, row.payload)
			}
			for i, value := range []any{headers, payload} {
				if err := compile(t, row.schemas[i]).Validate(value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	a := schema.QuotaAlarm{QuotaUsed: 7321, Quota: 10000, EventTime: c.ReceivedAt.Add(-178e6)}
	if id := schema.AlarmID(&c, &a); id != e.AlarmID {
		t.Errorf("the example's alarm id is %s, its callback gives %s", e.AlarmID, id)
	}
}

// rawJSON is JSON that is encoded already.
type rawJSON []byte

// MarshalJSON returns the bytes themselves.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func TestAsyncAPIKeys(t *testing.T) {
	doc := yamlDocument(t, "asyncapi.yaml")
	for _, topic := range []string{"im.alarms.raw", "im.callbacks.raw", "im.alarms"} {
		pattern := regexp.MustCompile(at(t, message(t, doc, topic), "bindings", "kafka", "key", "pattern").(string))
		rapid.Check(t, func(t *rapid.T) {
			c := schema.Callback{AppID: appIDs().Draw(t, "app")}
			if key := c.AppendKey(nil); !pattern.Match(key) {
				t.Fatalf("key %s of %s does not match %s", key, topic, pattern)
			}
		})
	}
}

// Each topic is written by one program, and the raw alarms are read by the consumer.
func TestAsyncAPIOperations(t *testing.T) {
	doc := yamlDocument(t, "asyncapi.yaml")
	var got []string
	for name := range object(t, doc, "operations") {
		got = append(got, at(t, doc, "operations", name, "action").(string)+" "+
			strings.TrimPrefix(at(t, doc, "operations", name, "channel", "$ref").(string), "#/channels/"))
	}
	slices.Sort(got)
	want := []string{"receive alarmsRaw", "send alarms", "send alarmsDLQ", "send alarmsRaw", "send callbacksRaw"}
	if !slices.Equal(got, want) {
		t.Errorf("operations are %v, want %v", got, want)
	}
}
