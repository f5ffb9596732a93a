package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// oracle reads a body by encoding/json and rules of its own, without the walker and
// without sonic: what must be accepted, and as what.
func oracle(data []byte) (a schema.QuotaAlarm, ok bool) {
	if len(data) > maxBodyBytes || !utf8.Valid(data) || !json.Valid(data) {
		return a, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	first, err := d.Token()
	if err != nil || first != json.Delim('{') || !uniqueKeys(d, true, 1) {
		return a, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return a, false
	}
	var command string
	raw := members["CallbackCommand"]
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &command) != nil || command != schema.CommandQuotaAlarm {
		return a, false
	}
	if a.QuotaUsed, ok = oracleNumber(string(members["QuotaUsed"]), 0, 1<<53-1); !ok {
		return a, false
	}
	if a.Quota, ok = oracleNumber(string(members["Quota"]), 1, 1<<53-1); !ok {
		return a, false
	}
	raw, ok = members["EventTime"]
	if !ok {
		return a, true
	}
	digits := string(raw)
	if raw[0] == '"' {
		if json.Unmarshal(raw, &digits) != nil {
			return a, false
		}
	}
	ms, ok := oracleNumber(digits, 1e12, 1e13-1)
	a.EventTime = time.UnixMilli(ms).UTC()
	return a, ok
}

func oracleNumber(s string, low, high int64) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil && int64(n) >= low && int64(n) <= high
}

// uniqueKeys walks the tokens of an open object or array.
func uniqueKeys(d *json.Decoder, object bool, depth int) bool {
	if depth > maxBodyDepth {
		return false
	}
	seen := make(map[string]bool)
	for d.More() {
		if object {
			key, err := d.Token()
			if err != nil || seen[key.(string)] {
				return false
			}
			seen[key.(string)] = true
		}
		token, err := d.Token()
		if err != nil {
			return false
		}
		if delim, open := token.(json.Delim); open && !uniqueKeys(d, delim == '{', depth+1) {
			return false
		}
	}
	_, err := d.Token()
	return err == nil
}

// agree checks that parse and the oracle say the same about a body, and that a refusal
// has a reason and a text.
func agree(t interface{ Fatalf(string, ...any) }, data []byte) {
	r := rawRecord(1400000001, 7, string(data))
	w := &walker{}
	_, got, ps := parse(w, &r)
	want, ok := oracle(data)
	switch {
	case ok && len(ps) > 0:
		t.Fatalf("%.300q is refused (%s), the oracle takes it", data, ps)
	case !ok && len(ps) == 0:
		t.Fatalf("%.300q is taken as %+v, the oracle refuses it", data, got)
	case ok && got != want:
		t.Fatalf("%.300q is %+v, the oracle says %+v", data, got, want)
	}
	for _, p := range ps {
		if p.reason == "" || p.text == "" {
			t.Fatalf("%.300q is refused without saying why: %+v", data, ps)
		}
	}
	if w.data != nil || cap(w.stack) > 8*maxBodyDepth {
		t.Fatalf("walker keeps %d bytes and a stack of %d", len(w.data), cap(w.stack))
	}
	if !bytes.Equal(r.Value, data) {
		t.Fatalf("body was changed")
	}
}

func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/bodies/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seed bodies: %v", err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}

// bodies generates bodies that are nearly right: the four members, with values and keys
// that are often right, sometimes twice, with noise around.
func bodies() *rapid.Generator[string] {
	value := rapid.SampledFrom([]string{
		"1", "0", "7321", "10000", "9007199254740991", "9007199254740992", "-1", "-0", "1.0", "1e3", "01", `"7321"`, `""`,
		`"1670574414123"`, "1670574414123", "1670574414", "null", "true", "[]", "{}", `[{"a":[1,{"b":null}]}]`, `{"Quota":1,"Quota":2}`,
		`"Group.CallbackOnDailyGroupQuotaAlarm"`, `"Group\u002eCallbackOnDailyGroupQuotaAlarm"`, `"State.StateChange"`, `"\ud800"`, "\"\xff\"", "nul", "",
	})
	key := rapid.SampledFrom([]string{
		"CallbackCommand", "QuotaUsed", "Quota", "EventTime", "quota", "QUOTA", `\u0051uota`, "x", "", "é", `\u00e9`,
	})
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r", "//c\n", "/**/", "\x00", "\v"})
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		if rapid.Bool().Draw(t, "good") {
			members = append(members, `"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm"`,
				`"QuotaUsed":7321`, `"Quota":10000`, `"EventTime":"1670574414123"`)
		}
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			members = append(members, fmt.Sprintf(`%s"%s"%s:%s%s`, space.Draw(t, "s"), key.Draw(t, "key"),
				space.Draw(t, "s"), space.Draw(t, "s"), value.Draw(t, "value")))
		}
		members = rapid.Permutation(members).Draw(t, "order")
		body := "{" + strings.Join(members, ",") + space.Draw(t, "s") + "}" + space.Draw(t, "s")
		if cut := rapid.IntRange(-20, len(body)).Draw(t, "cut"); cut >= 0 {
			body = body[:cut]
		}
		return body
	})
}

func TestParseAgreesWithAnIndependentReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { agree(t, []byte(bodies().Draw(t, "body"))) })
}

// Each byte of a good body replaced, left out or doubled.
func TestParseAgreesOnEveryOneByteMutation(t *testing.T) {
	good := with(`"a":[1,{"b":"\u00e9"}],"c":null`)
	for i := range len(good) {
		for _, c := range []byte("\"\\{}[]:,/0-.eE+ \x00\x1f\x7f\xc3\xfftnu\n") {
			agree(t, []byte(good[:i]+string([]byte{c})+good[i+1:]))
			agree(t, []byte(good[:i]+string([]byte{c})+good[i:]))
		}
		agree(t, []byte(good[:i]+good[i+1:]))
		agree(t, []byte(good[:i]))
	}
}

// An object of very many keys, and very many objects, cost no more than their bytes.
func TestWalkIsLinear(t *testing.T) {
	for _, test := range []struct {
		name string
		body string
	}{
		{"65,000 keys", "{" + manyMembers(65_000) + "}"},
		{"100,000 objects", `{"a":[` + strings.TrimSuffix(strings.Repeat(`{"b":1},`, 100_000), ",") + "]}"},
		{"one long string", `{"a":"` + strings.Repeat(`\u00e9`, 150_000) + `"}`},
		{"100,000 repeated keys", "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 100_000), ",") + "}"},
		{"deep brackets only", `{"a":` + strings.Repeat("[", 1_000_000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if len(test.body) > maxBodyBytes {
				t.Fatalf("body of %d bytes never reaches the walker", len(test.body))
			}
			r := rawRecord(1, 1, test.body)
			begun := time.Now()
			parse(&walker{}, &r)
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	r := rawRecord(1400000001, 7, alarmBody("7321", "10000", `"1670574414123"`))
	w := &walker{}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ps := parse(w, &r); len(ps) > 0 {
			b.Fatal(ps)
		}
	}
}
