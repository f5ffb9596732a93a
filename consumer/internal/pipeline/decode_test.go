package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// received is when the callbacks of the tests were received.
var received = time.Date(2022, 12, 9, 8, 26, 55, 250e6, time.UTC)

// rawRecord returns the raw record of a quota alarm as the gateway makes it.
func rawRecord(app int64, lsn uint64, body string) schema.Record {
	c := schema.Callback{
		ID: schema.CallbackID{Journal: 0x0123456789abcdef, LSN: lsn}, Gateway: []byte("gw-1"), AppID: app,
		Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: received,
		Authenticated: schema.AuthenticatedSign, Body: []byte(body),
	}
	c.Attributes[schema.AttributeClientIP] = []byte("203.0.113.7")
	c.Attributes[schema.AttributeOptPlatform] = []byte("Android")
	return c.Record("im.alarms.raw")
}

// withCommand returns the record with another command in its headers: the URL's.
func withCommand(r schema.Record, command string) schema.Record {
	for i := range r.Headers {
		if r.Headers[i].Key == schema.HeaderType {
			r.Headers[i].Value = []byte(schema.RawTypePrefix + command)
		}
	}
	return r
}

// alarmBody returns a good body with its three values as given.
func alarmBody(used, quota, eventTime string) string {
	return `{"CallbackCommand":"` + schema.CommandQuotaAlarm + `","QuotaUsed":` + used + `,"Quota":` + quota + `,"EventTime":` + eventTime + `}`
}

// with returns a good body with more members.
func with(members string) string {
	return strings.TrimSuffix(alarmBody("7321", "10000", `"1670574414123"`), "}") + "," + members + "}"
}

const at = 1670574414123

func TestDecodeTakesWhatIsLegal(t *testing.T) {
	ms := strconv.FormatInt(at, 10)
	for _, test := range []struct {
		name string
		body string
		want schema.QuotaAlarm
	}{
		{"the vendor's sample, EventTime a string", alarmBody("7321", "10000", `"`+ms+`"`), quotaAlarm(7321, 10000, at)},
		{"the vendor's table, EventTime an integer", alarmBody("7321", "10000", ms), quotaAlarm(7321, 10000, at)},
		{"no EventTime", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000}`, schema.QuotaAlarm{QuotaUsed: 7321, Quota: 10000}},
		{"used above the cap", alarmBody("10001", "10000", ms), quotaAlarm(10001, 10000, at)},
		{"nothing used", alarmBody("0", "10000", ms), quotaAlarm(0, 10000, at)},
		{"smallest cap", alarmBody("1", "1", ms), quotaAlarm(1, 1, at)},
		{"largest numbers", alarmBody("9007199254740991", "9007199254740991", ms), quotaAlarm(1<<53-1, 1<<53-1, at)},
		{"earliest EventTime", alarmBody("1", "2", "1000000000000"), quotaAlarm(1, 2, 1000000000000)},
		{"latest EventTime", alarmBody("1", "2", `"9999999999999"`), quotaAlarm(1, 2, 9999999999999)},
		{"EventTime of 2099", alarmBody("1", "2", "4073500800000"), quotaAlarm(1, 2, 4073500800000)},
		{"EventTime spelled with escapes", alarmBody("1", "2", `"\u0031670574414123"`), quotaAlarm(1, 2, at)},
		{"white space everywhere", " \t\r\n{ \"CallbackCommand\" :\n\"Group.CallbackOnDailyGroupQuotaAlarm\" , \"QuotaUsed\"\t: 1 , \"Quota\" : 2 } \n", schema.QuotaAlarm{QuotaUsed: 1, Quota: 2}},
		{"members in another order", `{"EventTime":` + ms + `,"Quota":2,"QuotaUsed":1,"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm"}`, quotaAlarm(1, 2, at)},
		{"unknown members of every kind", with(`"a":null,"b":[1,{"c":[]}],"d":{},"e":-1.5e+3,"f":"\u00e9\n\ud83d\ude00","g":true,"h":false`), quotaAlarm(7321, 10000, at)},
		{"a key that differs in case is another key", with(`"quota":"x","QUOTAUSED":-1,"eventtime":{},"callbackcommand":1`), quotaAlarm(7321, 10000, at)},
		{"only the same key in other objects", with(`"a":{"Quota":1},"b":{"Quota":2},"c":[{"x":1},{"x":1}]`), quotaAlarm(7321, 10000, at)},
		{"the command spelled with escapes", strings.Replace(alarmBody("1", "2", ms), "Group.", `\u0047roup\u002e`, 1), quotaAlarm(1, 2, at)},
		{"a key spelled with escapes", strings.Replace(alarmBody("1", "2", ms), `"Quota"`, `"\u0051uota"`, 1), quotaAlarm(1, 2, at)},
		{"NUL as an escape", with(`"a":"\u0000"`), quotaAlarm(7321, 10000, at)},
		{"half a surrogate pair", with(`"a":"\ud800"`), quotaAlarm(7321, 10000, at)},
		{"comment marks inside a string", with(`"a":"// no /* comment"`), quotaAlarm(7321, 10000, at)},
		{"as deep as is allowed", with(`"a":` + strings.Repeat("[", maxBodyDepth-1) + strings.Repeat("]", maxBodyDepth-1)), quotaAlarm(7321, 10000, at)},
		{"a thousand members", with(manyMembers(1000)), quotaAlarm(7321, 10000, at)},
		{"empty key", with(`"":1`), quotaAlarm(7321, 10000, at)},
		{"DEL and non-characters", with("\"a\":\"\x7f\uffff\ufffd\""), quotaAlarm(7321, 10000, at)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rawRecord(1400000001, 7, test.body)
			c, got, ps := parse(&walker{}, &r)
			if len(ps) > 0 {
				t.Fatalf("refused: %s", ps)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if c.AppID != 1400000001 || string(c.Command) != schema.CommandQuotaAlarm {
				t.Errorf("callback %+v", c)
			}
		})
	}
}

func quotaAlarm(used, quota, ms int64) schema.QuotaAlarm {
	return schema.QuotaAlarm{QuotaUsed: used, Quota: quota, EventTime: time.UnixMilli(ms).UTC()}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestDecodeRefuses(t *testing.T) {
	good := alarmBody("7321", "10000", `"1670574414123"`)
	ms := "1670574414123"
	for _, test := range []struct {
		name   string
		body   string
		reason schema.Reason
		text   string // stands in the message
	}{
		// not one JSON object
		{"empty", "", schema.ReasonBadJSON, "the body is empty"},
		{"white space only", " \n\t", schema.ReasonBadJSON, "the body is empty"},
		{"not JSON", "hello", schema.ReasonBadJSON, "not JSON at byte 0"},
		{"form fields", "QuotaUsed=1&Quota=2", schema.ReasonBadJSON, "not JSON at byte 0"},
		{"HTML", "<html></html>", schema.ReasonBadJSON, "not JSON at byte 0"},
		{"the vendor's documented sample with its comments", "{\n  \"CallbackCommand\": \"Group.CallbackOnDailyGroupQuotaAlarm\", // command\n  \"QuotaUsed\": 7321, // used\n  \"Quota\": 10000,\n  \"EventTime\": \"1670574414123\" // ms\n}", schema.ReasonBadJSON, "comments are not JSON"},
		{"comment before the object", "// hi\n" + good, schema.ReasonBadJSON, "comments are not JSON"},
		{"comment after the object", good + " // bye", schema.ReasonBadJSON, "comments are not JSON"},
		{"block comment", strings.Replace(good, ",", ",/* x */", 1), schema.ReasonBadJSON, "comments are not JSON"},
		{"comment after a colon", strings.Replace(good, ":", "://x\n", 1), schema.ReasonBadJSON, "comments are not JSON"},
		{"lone slash", "/" + good, schema.ReasonBadJSON, "not JSON at byte 0"},
		{"truncated in a string", good[:20], schema.ReasonBadJSON, "ends at byte 20 in the middle"},
		{"truncated after a colon", `{"Quota":`, schema.ReasonBadJSON, "ends at byte 9 in the middle"},
		{"truncated before the last bracket", good[:len(good)-1], schema.ReasonBadJSON, "in the middle"},
		{"truncated in an escape", `{"a":"\u12`, schema.ReasonBadJSON, "in the middle"},
		{"truncated in a literal", `{"a":tru`, schema.ReasonBadJSON, "in the middle"},
		{"array", "[" + good + "]", schema.ReasonBadJSON, "the body is an array, not an object"},
		{"null", "null", schema.ReasonBadJSON, "the body is null, not an object"},
		{"true", " true ", schema.ReasonBadJSON, "the body is a boolean, not an object"},
		{"number", "-1.5e3", schema.ReasonBadJSON, "the body is a number, not an object"},
		{"string", `"` + schema.CommandQuotaAlarm + `"`, schema.ReasonBadJSON, "the body is a string, not an object"},
		{"byte order mark", "\xef\xbb\xbf" + good, schema.ReasonBadJSON, "byte order mark"},
		{"UTF-16", "\xff\xfe{\x00}\x00", schema.ReasonBadUTF8, "not UTF-8 at byte 0"},
		{"NUL before", "\x00" + good, schema.ReasonBadJSON, "NUL at byte 0"},
		{"NUL after", good + "\x00", schema.ReasonBadJSON, "NUL at byte " + strconv.Itoa(len(good))},
		{"NUL in a string", with("\"a\":\"x\x00y\""), schema.ReasonBadJSON, "NUL at byte"},
		{"NUL in a key", with("\"a\x00\":1"), schema.ReasonBadJSON, "NUL at byte"},
		{"control character in a string", with("\"a\":\"x\ny\""), schema.ReasonBadJSON, "control character"},
		{"trailing bytes", good + "x", schema.ReasonBadJSON, "something follows the JSON"},
		{"two objects", good + "\n" + good, schema.ReasonBadJSON, "something follows the JSON"},
		{"trailing comma", strings.TrimSuffix(good, "}") + ",}", schema.ReasonBadJSON, "a key in quotes should be here"},
		{"trailing comma in an array", with(`"a":[1,]`), schema.ReasonBadJSON, "a value should be here"},
		{"leading comma", `{,"a":1}`, schema.ReasonBadJSON, "a key in quotes should be here"},
		{"missing comma", `{"a":1 "b":2}`, schema.ReasonBadJSON, "a comma or a closing bracket"},
		{"missing colon", `{"a" 1}`, schema.ReasonBadJSON, "a colon should be here"},
		{"single quotes", `{'a':1}`, schema.ReasonBadJSON, "a key in quotes"},
		{"bare key", `{a:1}`, schema.ReasonBadJSON, "a key in quotes"},
		{"wrong bracket", `{"a":[1}`, schema.ReasonBadJSON, "a comma or a closing bracket"},
		{"upper-case literal", with(`"a":True`), schema.ReasonBadJSON, "a value should be here"},
		{"NaN", alarmBody("NaN", "10000", ms), schema.ReasonBadJSON, "a value should be here"},
		{"leading zero", alarmBody("07321", "10000", ms), schema.ReasonBadJSON, "a comma or a closing bracket"},
		{"leading plus", alarmBody("+1", "10000", ms), schema.ReasonBadJSON, "a value should be here"},
		{"hexadecimal", alarmBody("0x1F", "10000", ms), schema.ReasonBadJSON, "a comma or a closing bracket"},
		{"number that ends in a point", alarmBody("1.", "10000", ms), schema.ReasonBadJSON, "a digit should be here"},
		{"number that begins with a point", alarmBody(".5", "10000", ms), schema.ReasonBadJSON, "a value should be here"},
		{"exponent without digits", alarmBody("1e", "10000", ms), schema.ReasonBadJSON, "a digit should be here"},
		{"lone minus", alarmBody("-", "10000", ms), schema.ReasonBadJSON, "a value should be here"},
		{"unknown escape", with(`"a":"\x41"`), schema.ReasonBadJSON, "unknown escape"},
		{"half a hex escape", with(`"a":"\u12g4"`), schema.ReasonBadJSON, "four hex digits"},
		{"form feed as white space", "\f" + good, schema.ReasonBadJSON, "not JSON at byte 0"},
		{"no-break space as white space", "\u00a0" + good, schema.ReasonBadJSON, "not JSON at byte 0"},

		// encoding
		{"invalid UTF-8 in a string", with("\"a\":\"\xff\""), schema.ReasonBadUTF8, "not UTF-8 at byte"},
		{"invalid UTF-8 in a key", with("\"\xc3\":1"), schema.ReasonBadUTF8, "not UTF-8 at byte"},
		{"surrogate in UTF-8", with("\"a\":\"\xed\xa0\x80\""), schema.ReasonBadUTF8, "not UTF-8 at byte"},
		{"overlong encoding", with("\"a\":\"\xc0\xaf\""), schema.ReasonBadUTF8, "not UTF-8 at byte"},
		{"GBK", with("\"a\":\"\xc4\xe3\xba\xc3\""), schema.ReasonBadUTF8, "not UTF-8 at byte"},

		// size
		{"10,000 deep arrays", strings.Repeat("[", 10000) + strings.Repeat("]", 10000), schema.ReasonTooLarge, "nested more than 64 deep"},
		{"10,000 deep in a member", with(`"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000)), schema.ReasonTooLarge, "nested more than 64 deep"},
		{"10,000 deep objects", strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), schema.ReasonTooLarge, "nested more than 64 deep"},
		{"10,000 deep and never closed", strings.Repeat(`{"a":[`, 10000), schema.ReasonTooLarge, "nested more than 64 deep"},
		{"one deeper than allowed", with(`"a":` + strings.Repeat("[", maxBodyDepth) + strings.Repeat("]", maxBodyDepth)), schema.ReasonTooLarge, "nested more than 64 deep"},
		{"over a mebibyte", with(`"a":"` + strings.Repeat("x", maxBodyBytes) + `"`), schema.ReasonTooLarge, "more than 1048576"},

		// keys
		{"repeated key", with(`"Quota":10000`), schema.ReasonDuplicateKey, `key "Quota" stands twice`},
		{"repeated unknown key", with(`"a":1,"a":1`), schema.ReasonDuplicateKey, `key "a" stands twice`},
		{"repeated key inside", with(`"a":[{"b":{"c":1,"c":2}}]`), schema.ReasonDuplicateKey, `key "c" stands twice`},
		{"repeated key after a nested object", `{"a":{"b":1},"a":2}`, schema.ReasonDuplicateKey, `key "a" stands twice`},
		{"repeated key, once with escapes", with(`"\u0051uota":1`), schema.ReasonDuplicateKey, `key "Quota" stands twice`},
		{"repeated key, both with escapes", with(`"\u00e9\n":1,"é\u000a":2`), schema.ReasonDuplicateKey, "stands twice"},
		{"repeated key beyond the basic plane", with(`"😀":1,"\ud83d\ude00":2`), schema.ReasonDuplicateKey, "stands twice"},
		{"repeated key among a thousand", with(manyMembers(1000) + `,"k500":1`), schema.ReasonDuplicateKey, `key "k500" stands twice`},
		{"repeated empty key", with(`"":1,"":2`), schema.ReasonDuplicateKey, `key "" stands twice`},

		// command
		{"no command in the body", `{"QuotaUsed":1,"Quota":2}`, schema.ReasonBadField, "CallbackCommand is missing"},
		{"only a command in another case", `{"callbackcommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":1,"Quota":2}`, schema.ReasonBadField, "CallbackCommand is missing"},
		{"another command in the body", strings.Replace(good, "Group.CallbackOnDailyGroupQuotaAlarm", "State.StateChange", 1), schema.ReasonCommandMismatch, `the URL says command "Group.CallbackOnDailyGroupQuotaAlarm", the body "State.StateChange"`},
		{"the command in another case", strings.Replace(good, "Group.Callback", "group.callback", 1), schema.ReasonCommandMismatch, "the URL says command"},
		{"a number for a command", `{"CallbackCommand":1,"QuotaUsed":1,"Quota":2}`, schema.ReasonBadField, "CallbackCommand is a number, not a string"},
		{"null for a command", `{"CallbackCommand":null,"QuotaUsed":1,"Quota":2}`, schema.ReasonBadField, "CallbackCommand is null, not a string"},

		// fields
		{"QuotaUsed missing", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","Quota":2}`, schema.ReasonBadField, "QuotaUsed is missing"},
		{"Quota missing", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":2}`, schema.ReasonBadField, "Quota is missing"},
		{"Quota only in another case", `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":2,"quota":3}`, schema.ReasonBadField, "Quota is missing"},
		{"QuotaUsed a string", alarmBody(`"7321"`, "10000", ms), schema.ReasonBadField, "QuotaUsed is a string, not a number"},
		{"Quota a string", alarmBody("7321", `"10000"`, ms), schema.ReasonBadField, "Quota is a string, not a number"},
		{"QuotaUsed negative", alarmBody("-1", "10000", ms), schema.ReasonBadField, "QuotaUsed is negative: -1"},
		{"QuotaUsed minus zero", alarmBody("-0", "10000", ms), schema.ReasonBadField, "QuotaUsed is negative: -0"},
		{"Quota negative", alarmBody("1", "-10000", ms), schema.ReasonBadField, "Quota is negative"},
		{"QuotaUsed fractional", alarmBody("7321.5", "10000", ms), schema.ReasonBadField, "QuotaUsed is not a whole number: 7321.5"},
		{"QuotaUsed whole with a fraction", alarmBody("7321.0", "10000", ms), schema.ReasonBadField, "QuotaUsed is not a whole number"},
		{"Quota with an exponent", alarmBody("7321", "1e4", ms), schema.ReasonBadField, "Quota is not a whole number: 1e4"},
		{"QuotaUsed over 64 bits", alarmBody("9223372036854775808", "10000", ms), schema.ReasonBadField, "QuotaUsed is too large"},
		{"Quota of a hundred digits", alarmBody("1", strings.Repeat("9", 100), ms), schema.ReasonBadField, "Quota is too large"},
		{"QuotaUsed over what every reader holds", alarmBody("9007199254740992", "10000", ms), schema.ReasonBadField, "QuotaUsed is too large"},
		{"Quota 0", alarmBody("0", "0", ms), schema.ReasonBadField, "Quota is 0, less than 1"},
		{"QuotaUsed null", alarmBody("null", "10000", ms), schema.ReasonBadField, "QuotaUsed is null, not a number"},
		{"QuotaUsed a boolean", alarmBody("true", "10000", ms), schema.ReasonBadField, "QuotaUsed is a boolean, not a number"},
		{"QuotaUsed an array", alarmBody("[1]", "10000", ms), schema.ReasonBadField, "QuotaUsed is an array, not a number"},
		{"Quota an object", alarmBody("1", "{}", ms), schema.ReasonBadField, "Quota is an object, not a number"},
		{"EventTime null", alarmBody("1", "2", "null"), schema.ReasonBadField, "EventTime is null, neither"},
		{"EventTime empty", alarmBody("1", "2", `""`), schema.ReasonBadField, `EventTime is "", not digits`},
		{"EventTime fractional", alarmBody("1", "2", "1670574414123.5"), schema.ReasonBadField, "EventTime is not a plausible time in whole milliseconds"},
		{"EventTime with an exponent", alarmBody("1", "2", "1.670574414123e12"), schema.ReasonBadField, "EventTime is not a plausible time in whole milliseconds"},
		{"EventTime negative", alarmBody("1", "2", "-1670574414123"), schema.ReasonBadField, "EventTime is not a plausible time"},
		{"EventTime a negative string", alarmBody("1", "2", `"-1670574414123"`), schema.ReasonBadField, "not digits"},
		{"EventTime a signed string", alarmBody("1", "2", `"+1670574414123"`), schema.ReasonBadField, "not digits"},
		{"EventTime a string with a blank", alarmBody("1", "2", `" 1670574414123"`), schema.ReasonBadField, "not digits"},
		{"EventTime in other digits", alarmBody("1", "2", `"１６７０５７４４１４１２３"`), schema.ReasonBadField, "not digits"},
		{"EventTime a date", alarmBody("1", "2", `"2022-12-09T08:26:54Z"`), schema.ReasonBadField, "not digits"},
		{"EventTime in seconds", alarmBody("1", "2", "1670574414"), schema.ReasonBadField, "not a plausible time in milliseconds"},
		{"EventTime in microseconds", alarmBody("1", "2", `"1670574414123000"`), schema.ReasonBadField, "not a plausible time in milliseconds"},
		{"EventTime 0", alarmBody("1", "2", "0"), schema.ReasonBadField, "not a plausible time in milliseconds"},
		{"EventTime over 64 bits", alarmBody("1", "2", `"99999999999999999999"`), schema.ReasonBadField, "not digits"},
		{"EventTime a boolean", alarmBody("1", "2", "false"), schema.ReasonBadField, "EventTime is a boolean, neither"},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused(t, rawRecord(1400000001, 7, test.body), test.reason, test.text)
		})
	}
}

// refused checks that a record becomes a dead letter with that reason and text, quickly,
// with its bytes as they were.
func refused(t *testing.T, r schema.Record, reason schema.Reason, text string) {
	t.Helper()
	before := string(r.Value)
	p := New(Options{Group: "tidegate"})
	begun := time.Now()
	d := p.decode([]schema.Record{r}, r.Offset+1)
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	letter := d.items[0].dead
	if letter == nil {
		t.Fatalf("taken as %+v", d.items[0].alarm)
	}
	if letter.Reason != reason || !strings.Contains(letter.Message, text) {
		t.Errorf("got %s: %s\nwant %s: ...%s...", letter.Reason, letter.Message, reason, text)
	}
	if string(letter.Record.Value) != before || letter.Group != "tidegate" || letter.FailedAt.IsZero() {
		t.Errorf("letter %+v", letter)
	}
	if len(letter.Message) > schema.MaxDeadLetterMessage {
		t.Errorf("message of %d bytes", len(letter.Message))
	}
}

func TestDecodeRefusesRecordsThatAreNotOurs(t *testing.T) {
	good := alarmBody("7321", "10000", `"1670574414123"`)
	drop := func(r schema.Record, name string) schema.Record {
		for i := range r.Headers {
			if r.Headers[i].Key == name {
				r.Headers = append(r.Headers[:i:i], r.Headers[i+1:]...)
				break
			}
		}
		return r
	}
	another := "Group.CallbackAfterGroupInfoChanged"
	for _, test := range []struct {
		name   string
		record schema.Record
		reason schema.Reason
		text   string
	}{
		{"no headers", schema.Record{Topic: "im.alarms.raw", Key: []byte("1"), Value: []byte(good)}, schema.ReasonBadHeaders, "ce_id is missing"},
		{"no time of receipt", drop(rawRecord(1, 1, good), schema.HeaderTime), schema.ReasonBadHeaders, "ce_time is missing"},
		{"no app", drop(rawRecord(1, 1, good), schema.HeaderSubject), schema.ReasonBadHeaders, "ce_subject is missing"},
		{"no type", drop(rawRecord(1, 1, good), schema.HeaderType), schema.ReasonBadHeaders, "ce_type is missing"},
		{"null value", rawRecord(1, 1, ""), schema.ReasonBadJSON, "empty"},
		{"another command, in both places", withCommand(rawRecord(1, 1, `{"CallbackCommand":"`+another+`","QuotaUsed":1,"Quota":2}`), another), schema.ReasonUnknownCommand, "does not belong to this topic"},
		{"another command in the URL only", withCommand(rawRecord(1, 1, good), another), schema.ReasonCommandMismatch, "the URL says command"},
		{"another command in the URL, none in the body", withCommand(rawRecord(1, 1, `{"QuotaUsed":1,"Quota":2}`), another), schema.ReasonBadField, "CallbackCommand is missing; command \"Group.CallbackAfterGroupInfoChanged\" does not belong"},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, test.record, test.reason, test.text) })
	}
}

func TestDecodeSaysEveryProblemAtOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		record schema.Record
		reason schema.Reason
		want   []string
	}{
		{"three fields", rawRecord(1, 1, `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":-1,"EventTime":"x"}`), schema.ReasonBadField,
			[]string{"QuotaUsed is negative", "Quota is missing", `EventTime is "x"`}},
		{"encoding, keys, command and fields", rawRecord(1, 1, "{\"CallbackCommand\":\"A\",\"x\":\"\xff\",\"x\":1,\"Quota\":0}"), schema.ReasonBadUTF8,
			[]string{"not UTF-8", `key "x" stands twice`, "the URL says command", "QuotaUsed is missing", "Quota is 0"}},
		{"headers and body", schema.Record{Topic: "im.alarms.raw", Key: []byte("1"), Value: []byte("[]")}, schema.ReasonBadHeaders,
			[]string{"ce_id is missing", "ce_type is missing", "the body is an array"}},
		{"every repeated key", rawRecord(1, 1, with(`"a":1,"a":2,"b":{"c":1,"c":2}`)), schema.ReasonDuplicateKey, []string{`key "a"`, `key "c"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, want := range test.want {
				refused(t, test.record, test.reason, want)
			}
		})
	}
}

func TestPanicOnARecordIsADeadLetter(t *testing.T) {
	p := New(Options{Group: "tidegate"})
	r := rawRecord(1, 1, alarmBody("1", "2", "1670574414123"))
	it := p.decodeOne(nil, &r) // a nil walker panics
	if it.dead == nil || it.dead.Reason != schema.ReasonPanic || !strings.Contains(it.dead.Message, "panic in decode") {
		t.Errorf("got %+v", it.dead)
	}
}
